"""A start from a coarse mesh: a proposal made there, polished there by a few cheap iterations, then prolonged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from cosolve.core.arrays import Array
from cosolve.core.errors import NotConvergedError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.core.verdict import Decision
from cosolve.core.verifier import Verifier


@dataclass(frozen=True, slots=True)
class CoarseLevel:
    """A coarser discretisation of the same problem.

    Attributes:
        solver: Its solver; knows the same parameters.
        prolong: Takes owned coarse values to owned fine ones (collective), by FE interpolation for instance.
    """

    solver: Solver
    prolong: Callable[[Array], Array]


class CoarseStart(Surrogate):
    """Proposes what a surrogate says on the coarse mesh, after a few iterations of the coarse solver.

    The coarse iterations cost little and tell early that a proposal leads nowhere: then this proposer declines, and
    nothing is tried on the fine mesh.

    Args:
        surrogate: Proposes on the coarse mesh; bound to the coarse solver, and closed with this proposer.
        level: The coarse mesh; its solver is not closed here.
        iterations: Most iterations of the coarse solver; 0 prolongs the proposal as it is.
        loose: Tolerance of the coarse iterations, as a multiple of the coarse solver's own: a start need not be
            better than the coarse mesh is.
        branch: Judges the coarse solution; what it rejects is not proposed. None for no test.
        correction: Proposes the fine solution from the prolonged one: a learned discretisation error. None for none.
        name: Name in records; by default the surrogate's with `_polished`.
    """

    collective = True

    def __init__(
        self,
        surrogate: Surrogate,
        level: CoarseLevel,
        *,
        iterations: int = 16,
        loose: float = 1.0,
        branch: Verifier | None = None,
        correction: Surrogate | None = None,
        name: str = "",
    ) -> None:
        self.surrogate, self.level, self.iterations = surrogate, level, iterations
        self.loose = loose
        self.branch, self.correction = branch, correction
        self.name = name or f"{surrogate.name}_{'polished' if iterations else 'prolonged'}"  # type: ignore[misc]  # one for each object
        self.predict_keeps_memory = all(one.predict_keeps_memory for one in self._within().values())  # type: ignore[misc]  # as those within

    def bind(self, solver: Solver) -> None:
        """Bind the surrogate to the coarse solver, the correction to the fine one (collective)."""
        self.surrogate.bind(self.level.solver)
        if self.correction is not None:
            self.correction.bind(solver)

    def _predict(self, query: Query) -> Prediction:
        coarse = self.level.solver
        context = {**query.context, "tolerance_factor": self.loose}
        below = replace(query, state=coarse.initial_state(), history=(), context=context)
        value = coarse.conditioned(below, self.surrogate.predict(below).value)
        spent = 0
        if self.iterations:
            polished = coarse.correct(below, value, self.iterations)
            spent = polished.iterations
            if not polished.converged:
                raise NotConvergedError(
                    f"declined: on the coarse mesh {spent} iterations from {self.surrogate.name!r} did not converge",
                    reason=polished.reason,
                )
            value = polished.value
            if self.branch is not None:
                verdict = self.branch.judge(coarse, below, Prediction(value, self.name))
                if verdict.decision is Decision.REJECT:
                    raise NotConvergedError(f"declined: on the coarse mesh {verdict.reason}", reason=verdict.reason)
        fine = self.level.prolong(value)
        if self.correction is not None:
            fine = self.correction.predict(replace(query, state=fine)).value
        return Prediction(fine, notes={"coarse_iterations": spent})

    def observe(self, query: Query, value: Array) -> None:
        """Hand the committed fine solution to the correction; the surrogate knows the coarse mesh only."""
        if self.correction is not None:
            self.correction.observe(query, value)

    def memory(self) -> Mapping[str, Array]:
        """Return the memory of surrogate and correction."""
        return {f"{part}.{name}": array for part, one in self._within().items() for name, array in one.memory().items()}

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Restore surrogate and correction."""
        for part, one in self._within().items():
            head = f"{part}."
            one.restore({name.removeprefix(head): array for name, array in memory.items() if name.startswith(head)})

    def _within(self) -> dict[str, Surrogate]:
        parts = {"surrogate": self.surrogate, "correction": self.correction}
        return {part: one for part, one in parts.items() if one is not None}

    def close(self) -> None:
        """Close the surrogates within."""
        for one in self._within().values():
            one.close()
