"""How good a predicted field is: in L2, in H1, by the solver's residual, and as the start of a solve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.core.governor import Governor
from cosolve.core.query import Query
from cosolve.core.session import Session
from cosolve.couplings.guessed_solves import FunctionStart, GuessedSolves
from cosolve.examples.operators.tasks import Equations, Fields

Errors = npt.NDArray[np.float64]


def l2_errors(found: Fields, true: Fields) -> Errors:
    """Return the relative L2 error of each sample, all channels together, shape `(n,)`."""
    return _ratio([found - true], [true])


def h1_errors(found: Fields, true: Fields) -> Errors:
    """Return the relative error of each sample in the H1 seminorm, by differences of neighbours, shape `(n,)`."""
    return _ratio(_slopes(found - true), _slopes(true))


def _slopes(fields: Fields) -> list[Fields]:
    """Return the differences of neighbours along each axis, over the spacing."""
    slopes: list[Fields] = [
        (np.diff(fields, axis=axis) * fields.shape[axis]).astype(np.float32) for axis in range(2, fields.ndim)
    ]
    return slopes


def _ratio(difference: list[Fields], true: list[Fields]) -> Errors:
    above, below = (
        np.sqrt(sum(np.square(part.reshape(len(part), -1).astype(np.float64)).sum(axis=1) for part in parts))
        for parts in (difference, true)
    )
    tiny = 1e-12 * max(float(below.max()), 1e-300)
    ratio: Errors = above / np.maximum(below, tiny)
    return ratio


@dataclass(frozen=True, slots=True)
class StartGain:
    """What predictions are worth as starts of the solves that made the data.

    Attributes:
        residual: Residual of a prediction over that of the solver's own start, geometric mean.
        won: Share of the tournaments of the coupling that the prediction won.
        iterations_own: Iterations from the solver's own start, in all.
        iterations: Iterations through the coupling, in all.
    """

    residual: float
    won: float
    iterations_own: int
    iterations: int

    @property
    def saved(self) -> float:
        """Share of the iterations that the coupling saves."""
        return 1.0 - self.iterations / max(self.iterations_own, 1)


def start_gain(equations: Equations, x: Fields, found: Fields) -> StartGain:
    """Solve each sample from the solver's own start and, through the coupling `initial_guess`, from the prediction."""
    ratios, won, own, coupled = [], 0, 0, 0
    solver = equations.solver
    for sample, field in zip(x, found, strict=True):
        equations.choose(sample)
        start = equations.start()
        proposal = field.reshape(-1).astype(np.float64)
        query = Query(start, dt=0.0, transaction="solve")
        measured = [solver.measure(query, candidate).ratio for candidate in (proposal, start)]
        ratios.append(measured[0] / max(measured[1], 1e-300))
        own += solver.step(query, start).linear_iterations

        # One tournament for each sample: neither candidate is asked less often for what it lost before.
        session = Session(solver, None, mode="initial_guess", governor=Governor("off"))
        with GuessedSolves(session, [FunctionStart(partial(_proposed, proposal))]) as guess:
            guess.state = start
            outcome = guess.solve()
        won += outcome.source.startswith("own")
        coupled += 0 if outcome.solve is None else outcome.solve.linear_iterations
    return StartGain(float(np.exp(np.mean(np.log(np.maximum(ratios, 1e-300))))), won / len(x), own, coupled)


def _proposed(proposal: Array, parameters: Mapping[str, Any]) -> Array:
    return proposal
