"""What stands behind the safe preconditioner: learned coarse space, learned V-cycle, noise, and a liar."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.surrogate import Surrogate
from cosolve.examples.preconditioning.bases import INNER, Base, make_inner, make_ksp
from cosolve.examples.preconditioning.sequences import Sequence
from cosolve.plugins.petsc import CoarseSpace, KspSolver, slow_modes

COARSE, VCYCLE, NOISE, LIAR = "learned coarse space", "learned V-cycle", "noise", "indefinite liar"
PLUGINS: Final = (COARSE, VCYCLE, NOISE, LIAR)
_TRAINING_SOLVES: Final = 3


class Noise(Surrogate):
    """Answers each residual with random numbers of its size."""

    name = "noise"

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def _predict(self, query: Query) -> Prediction:
        noise = self._random.standard_normal(query.state.shape)
        return Prediction(noise * (np.linalg.norm(query.state) / np.linalg.norm(noise)))


class Liar(Surrogate):
    """Answers with the residual, scaled, and with its sign turned at every other value: linear and indefinite."""

    name = "liar"

    def __init__(self, size: int) -> None:
        self._signs = np.where(np.arange(size) % 2, -10.0, 10.0)

    def _predict(self, query: Query) -> Prediction:
        return Prediction(self._signs * query.state)


@dataclass(slots=True)
class Plugin:
    """A surrogate, how it is combined, and what its training cost in CPU seconds."""

    surrogate: Surrogate
    settings: dict[str, Any]
    training_seconds: float = 0.0


def make_plugin(name: str, sequence: Sequence, base: Base, seed: int) -> Plugin | None:
    """Train one plugin for a sequence with a base method; None where it does not apply."""
    # A factorisation leaves nothing to correct, and is worth avoiding: proposals replace it.
    direct = base.ksp == "preonly"
    combine: dict[str, Any] = {"combine": "replace"} if direct else {"combine": "correct"}
    if name == NOISE:
        return Plugin(Noise(seed), combine)
    if name == LIAR:
        return Plugin(Liar(sequence.b.size), combine)
    begin = time.process_time()
    if name == VCYCLE:
        if sequence.shape is None:
            return None
        surrogate = _vcycle(sequence, seed)
        return Plugin(surrogate, {"combine": "replace"}, time.process_time() - begin)
    return _coarse_space(sequence, base, seed)


def _coarse_space(sequence: Sequence, base: Base, seed: int) -> Plugin:
    """Train the modes that the inner preconditioner damps worst, at the first operator of the training."""
    begin = time.process_time()
    sequence.set_for_training(np.random.default_rng([seed, 7]))
    settings: dict[str, Any] = {"combine": "correct"}
    trained = base
    if sequence.inner:
        settings["inner"] = make_inner(sequence.inner, sequence)
        trained = Base("gmres", *INNER[sequence.inner])
    ksp = make_ksp(trained, sequence)
    with KspSolver(ksp, sequence.b, rtol=1e-8) as solver:
        modes = slow_modes(solver, sequence.modes, degree=12, rounds=3, seed=seed)
    ksp.destroy()
    surrogate = CoarseSpace(sequence.modes, modes, learns=False)
    return Plugin(surrogate, settings, time.process_time() - begin)


def _vcycle(sequence: Sequence, seed: int) -> Surrogate:
    """Train the stencils of a V-cycle on pairs of residuals and errors of training operators."""
    # Imported here: the other plugins need no torch.
    from cosolve.plugins.pytorch.operators.vcycle import VCycleSurrogate

    assert sequence.shape is not None
    n = sequence.shape[0]
    random = np.random.default_rng([seed, 8])
    first = 1.0 / (n + 1)
    levels = max(int(np.log2(n + 1)) - 1, 1)
    scaled = "diagonal" in sequence.parameters
    surrogate = VCycleSurrogate.make(
        (first, first), (1.0 - first, 1.0 - first), levels=levels, scale_by="diagonal" if scaled else ""
    )
    axis = np.arange(1, n + 1) * first
    surrogate.place(np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2))
    if scaled:  # of a scaled operator the diagonal is 1, of the textbook's 4
        surrogate.operator.project.data *= 4.0
    residuals, errors = [], []
    for _ in range(_TRAINING_SOLVES):
        sequence.set(random)
        root = np.sqrt(sequence.parameters["diagonal"]) if scaled else 1.0
        for smooth in (0, 2, 6):
            error = random.standard_normal((n, n))
            for _ in range(smooth):
                around = np.pad(error, 1)
                error = (around[2:, 1:-1] + around[:-2, 1:-1] + around[1:-1, 2:] + around[1:-1, :-2] + 4 * error) / 8
            residual = sequence.sparse @ error.ravel()
            residuals.append((residual / root).reshape(n, n))
            errors.append((error.ravel() * root).reshape(n, n))
    surrogate.learn(np.array(residuals), np.array(errors), epochs=5, batch=3, rate=2e-3, seed=seed)
    return surrogate
