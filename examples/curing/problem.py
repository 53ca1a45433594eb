"""The flagship problem: hundreds of cycles of a curing process in FEniCSx, see `process` for its equations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.consensus import FaultAwareCommunicator
from cosolve.core.model_card import ModelCard
from cosolve.core.model_file import save_surrogate, versions
from cosolve.core.problem import Problem
from cosolve.core.training import TrainingReport, TrainingSettings
from cosolve.couplings.cycle_solver import CycleSolver
from cosolve.examples.curing.cyclic_solver import SETTINGS, CuringSolver, blocks_of
from cosolve.examples.curing.discretisation import Discretisation
from cosolve.examples.curing.options import CuringOptions
from cosolve.examples.curing.process import RANGES
from cosolve.examples.curing.surrogate import LOAD_NAMES
from cosolve.plugins.fenicsx import FieldWriter


class CuringProblem(Problem):
    """One run of the curing process.

    Args:
        options: Mesh, blocks and loads.
    """

    name: ClassVar[str] = "curing"

    def __init__(self, options: CuringOptions | None = None) -> None:
        self.options = options or CuringOptions()
        self.schedule = self.options.schedule()
        first = self.schedule.blocks[0].load
        self.parameters: Mapping[str, Any] = {
            name: np.array([getattr(block.load, name) for block in self.schedule.blocks]) for name in LOAD_NAMES
        } | {"bump_height": self.schedule.bump.height, "first_power": first.power}

    @property
    def time_span(self) -> tuple[float, float, float]:
        """Start, end and length of the first block, in periods."""
        return 0.0, float(self.schedule.periods), float(self.schedule.blocks[0].periods)

    def make_solver(self, comm: Communicator, settings: Mapping[str, Any]) -> CycleSolver:
        """Build mesh, matrices and solver on `comm` (collective).

        Args:
            comm: An mpi4py communicator.
            settings: As `CuringSolverOptions`.
        """
        chosen = dict(settings)
        scheme = chosen.pop("scheme", "cn-ab2")
        raw: Any = comm.raw if isinstance(comm, FaultAwareCommunicator) else comm
        cyclic = CuringSolver(Discretisation(raw, self.options.cells), scheme)
        start = cyclic.initial(self.schedule)
        return CycleSolver(cyclic, start, blocks_of(self.schedule), replace(SETTINGS, **chosen))

    def describe(self) -> Mapping[str, Any]:
        """Return what a model must match; it serves any mesh."""
        return {
            "problem": self.name,
            "parameters": sorted(self.parameters),
            "units": {"phi": "1", "theta": "1", "t": "period"},
        }

    def open_fields(self, solver: Any, directory: Path) -> CuringFields:
        """Open a time series of the degree of cure and the temperature for ParaView (collective)."""
        return CuringFields(directory / "fields", solver)

    def train(self, settings: TrainingSettings, progress: Callable[[float, str], None]) -> TrainingReport:
        """Generate data, train the slow surrogate and write its model file (serial)."""
        # Imported here: only training needs torch, in a process of its own.
        from cosolve.examples.curing.training import TrainingPlan, train

        seconds = 60.0 * settings.budget_minutes
        plan = TrainingPlan(
            data_seconds=min(430.0, 0.48 * seconds),
            fit_seconds=min(380.0, 0.42 * seconds),
            seed=settings.seed,
            **settings.options,
        )
        surrogate, figures = train(plan, progress)
        path = settings.output_for(self.name)
        card = ModelCard(
            surrogate=surrogate.name,
            problem=self.name,
            units={"phi": "1", "theta": "1", "t": "period"},
            parameters=LOAD_NAMES,
            envelope={name: getattr(RANGES, name) for name in LOAD_NAMES},
            seed=settings.seed,
            versions=versions("torch", "fenics-dolfinx"),
            cost_data_seconds=figures.pop("data_seconds"),
            cost_training_seconds=figures.pop("training_seconds"),
            figures=figures,
            made_by="cosolve train examples/curing/case.toml",
        )
        return TrainingReport(path, save_surrogate(path, surrogate, card), runs={"samples": int(figures["samples"])})


class CuringFields:
    """A time series of alpha and theta; all methods are collective."""

    def __init__(self, path: Path, solver: CycleSolver) -> None:
        cyclic: Any = solver.cyclic
        self._solver = solver
        self._writer = FieldWriter(path, cyclic.discretisation.space, ["alpha", "theta"])

    @property
    def path(self) -> Path:
        """The file that is written."""
        path: Path = self._writer.path
        return path

    @property
    def names(self) -> list[str]:
        """The name of what `write` takes: the whole state."""
        return ["state"]

    def write(self, t: float, fields: Mapping[str, Array], source: str = "") -> None:
        """Write the fields of a state at time `t`, in periods."""
        phi, theta = self._solver.parts(fields["state"])
        self._writer.write(t, {"alpha": -np.expm1(-phi), "theta": theta}, source)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._writer.close()
