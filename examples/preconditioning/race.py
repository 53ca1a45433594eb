"""Solves a sequence by several methods, step by step in turn, and keeps CPU times, iterations and true residuals."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.query import Query
from cosolve.examples.preconditioning.bases import BASES, make_ksp
from cosolve.examples.preconditioning.proposers import Plugin
from cosolve.examples.preconditioning.sequences import Sequence
from cosolve.plugins.petsc import KspSolver


class Method:
    """A classical method, alone or with a plugin; its time is that of set-up, solve and learning.

    Args:
        base: Name of the classical method.
        sequence: What is solved.
        stack: Closes the solver.
        plugin: Betters the preconditioner; None for the method alone.
        name: As in the tables; None for that of the base.

    Attributes:
        seconds: CPU seconds of each solve.
        iterations: Krylov iterations of each solve, all methods together.
        asked: Solves in which the surrogate was asked.
        used: Solves that ended with proposals.
        unsolved: Solves that did not meet the tolerance.
        probe: Last verdict of the probes.
    """

    def __init__(
        self, base: str, sequence: Sequence, stack: ExitStack, plugin: Plugin | None = None, name: str | None = None
    ) -> None:
        self.name, self.base, self.plugin = name or base, base, plugin
        self._kept = BASES[base].kept
        self.ksp = make_ksp(BASES[base], sequence)
        stack.callback(self.ksp.destroy)
        self.solver = stack.enter_context(
            KspSolver(self.ksp, sequence.b, rtol=sequence.rtol, coordinates=sequence.places)
        )
        if plugin is not None:
            self.solver.precondition(plugin.surrogate, **plugin.settings)
        self.seconds: list[float] = []
        self.iterations: list[int] = []
        self.asked = self.used = self.unsolved = 0
        self.probe: dict[str, Any] = {}
        self.told: dict[str, Any] = {}

    def solve(self, step: int, parameters: dict[str, Any]) -> Array:
        """Solve what the sequence has set, from zero, and return the answer."""
        query = Query(self.solver.initial_state(), step=step, transaction="solve", parameters=parameters)
        if self._kept > 1:
            self.ksp.getPC().setReusePreconditioner(step % self._kept != 0)
        begin = time.process_time()
        result = self.solver.step(query)
        self.seconds.append(time.process_time() - begin)
        self.iterations.append(result.linear_iterations)
        self.unsolved += not result.converged
        told = result.notes.get("preconditioner")
        if told is not None:
            self.asked += 1
            self.used += "gave_up" not in told
            self.probe = told.get("probe", self.probe)
            self.told = told
        return result.value


def tuned(sequence: Sequence, bases: Iterable[str], count: int, seed: list[int]) -> dict[str, float]:
    """Return the CPU seconds of `count` validation solves by each classical method; infinite where one fails."""
    seconds: dict[str, float] = {}
    for base in bases:
        random = np.random.default_rng(seed)
        with ExitStack() as stack:
            method = Method(base, sequence, stack)
            spent = 0.0
            for step in range(count):
                sequence.set(random)
                method.solve(step, sequence.parameters)
                spent += method.seconds[-1]
                if method.unsolved or spent > 5.0 * min(seconds.values(), default=np.inf):
                    break
            seconds[base] = np.inf if method.unsolved or step < count - 1 else spent
    return seconds


def race(sequence: Sequence, methods: list[Method], count: int, seed: int) -> tuple[float, float]:
    """Solve `count` problems by all methods in turn.

    Returns:
        The largest true residual over the tolerance, and the largest relative distance between answers.
    """
    random = np.random.default_rng([seed, 6])
    worst = distance = 0.0
    for step in range(count):
        sequence.set(random)
        answers = {}
        # Who begins changes: whatever the first one leaves in the caches helps everybody alike.
        for place in range(len(methods)):
            method = methods[(step + place) % len(methods)]
            answers[method.name] = method.solve(step, sequence.parameters)
        reference, size = answers[methods[0].name], float(sequence.b.norm())
        for answer in answers.values():
            residual = sequence.b.array_r - sequence.sparse @ answer
            worst = max(worst, float(np.linalg.norm(residual)) / (sequence.rtol * size))
            distance = max(distance, float(np.linalg.norm(answer - reference) / np.linalg.norm(reference)))
    return worst, distance
