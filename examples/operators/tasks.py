"""What a comparison is made on: pairs of fields, and where they are ours the solver that made them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.core.solver import Solver

Fields = npt.NDArray[np.float32]


class Equations(ABC):
    """The equations behind the pairs of a task; each sample is one solve.

    Attributes:
        solver: Solves and measures the sample that was chosen last.
    """

    solver: Solver

    @abstractmethod
    def choose(self, sample: Fields) -> None:
        """Set up the equations of one input, shape `(c_in, *spatial)`."""

    @abstractmethod
    def start(self) -> Array:
        """Return what the solver starts from by itself, shape `(n,)`."""

    def close(self) -> None:
        """Free the solver."""
        self.solver.close()


@dataclass(frozen=True, slots=True)
class Task:
    """Pairs of fields on a regular grid, channels first.

    Attributes:
        name: For tables.
        x_train: Shape `(n, c_in, *spatial)`.
        y_train: Shape `(n, c_out, *spatial)`.
        x_test: Unseen inputs.
        y_test: Their outputs.
        equations: Of the test samples; None for data from elsewhere.
        groups: Name of the family of each test sample, empty where there is one only.
        seconds: CPU seconds of the training data; NaN where unknown.
    """

    name: str
    x_train: Fields
    y_train: Fields
    x_test: Fields
    y_test: Fields
    equations: Equations | None = None
    groups: tuple[str, ...] = ()
    seconds: float = float("nan")

    @property
    def shape(self) -> tuple[int, ...]:
        """Points of the grid."""
        return tuple(self.y_train.shape[2:])
