"""Fits a network to labels: imitation of strong branching, as a choice among a node's candidates.

The loss is the cross-entropy between the softmax of the network's scores and that of strong branching's, so near ties
among labels count little. numpy alone: the network is small, and users need no further library.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.core.progress import Progress, silent
from cosolve.plugins.scip.labels import Labels
from cosolve.plugins.scip.network import Network

Indices: TypeAlias = npt.NDArray[np.int64]

UNITS: Final = 32
EPOCHS: Final = 60
BATCH: Final = 32
RATE: Final = 3e-3
DECAY: Final = 1e-5
TEMPERATURE: Final = 0.1
_BETAS: Final = (0.9, 0.999)


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted network with its figures on instances that the fit did not see.

    Attributes:
        network: The network of the best epoch.
        score_ratio: Mean of strong branching's score of the choice over the best score; 1 is full strong branching.
        baseline_ratio: The same of the pseudo-cost rule.
        epochs: Epochs that were run.
        seconds: CPU seconds.
    """

    network: Network
    score_ratio: float
    baseline_ratio: float
    epochs: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Nodes:
    """Labelled nodes side by side."""

    inputs: Array
    scores: Array
    starts: Indices

    @property
    def count(self) -> int:
        return len(self.starts) - 1

    def batch(self, chosen: Indices) -> tuple[Array, Array, Indices]:
        """Return inputs, scores and segment starts of some nodes."""
        spans = [np.arange(self.starts[k], self.starts[k + 1]) for k in chosen]
        rows = np.concatenate(spans)
        starts = np.concatenate([[0], np.cumsum([len(span) for span in spans])])
        return self.inputs[rows], self.scores[rows], starts


def together(labels: Sequence[Labels], columns: Sequence[int] | None = None) -> _Nodes:
    """Put the labels of several instances side by side, with some of the inputs or all."""
    inputs = np.concatenate([one.inputs for one in labels])
    sizes = np.concatenate([np.diff(one.starts) for one in labels])
    return _Nodes(
        inputs if columns is None else inputs[:, list(columns)],
        np.concatenate([one.scores for one in labels]),
        np.concatenate([[0], np.cumsum(sizes)]),
    )


def score_ratio(choose: Callable[[Array], Array], nodes: _Nodes) -> float:
    """Return the mean over nodes of the label of the choice over the best label.

    Args:
        choose: Returns a score for each row of inputs.
        nodes: Labelled nodes.
    """
    scores = choose(nodes.inputs)
    ratios = []
    for start, end in zip(nodes.starts[:-1], nodes.starts[1:], strict=True):
        best = nodes.scores[start:end].max()
        if best > 0.0:
            ratios.append(float(nodes.scores[start + int(np.argmax(scores[start:end]))] / best))
    return float(np.mean(ratios)) if ratios else float("nan")


def _softmax(values: Array, starts: Indices) -> Array:
    """Return the softmax within each segment."""
    sizes = np.diff(starts)
    shifted = values - np.repeat(np.maximum.reduceat(values, starts[:-1]), sizes)
    powers = np.exp(shifted)
    return np.asarray(powers / np.repeat(np.add.reduceat(powers, starts[:-1]), sizes))


def _targets(scores: Array, starts: Indices) -> Array:
    best = np.repeat(np.maximum.reduceat(scores, starts[:-1]), np.diff(starts))
    return _softmax(scores / np.maximum(best, 1e-12) / TEMPERATURE, starts)


def fit(
    training: Sequence[Labels],
    validation: Sequence[Labels],
    *,
    columns: Sequence[int] | None = None,
    baseline: int,
    units: int = UNITS,
    epochs: int = EPOCHS,
    seed: int = 0,
    progress: Progress = silent,
) -> Fit:
    """Fit a network and keep its best epoch on the validation instances.

    Args:
        training: Labels to fit.
        validation: Labels of other instances.
        columns: Which of the 66 inputs the network reads; None for all.
        baseline: Which of the 66 inputs the rival chooses by.
        units: Hidden units.
        epochs: Passes over the labels.
        seed: Draws start and order.
        progress: What to report to.
    """
    began = time.process_time()
    rng = np.random.default_rng(seed)
    nodes, unseen = together(training, columns), together(validation, columns)
    mean, spread = nodes.inputs.mean(axis=0), nodes.inputs.std(axis=0)
    scale = 1.0 / np.where(spread > 1e-6, spread, 1.0)
    m = nodes.inputs.shape[1]
    weights = [
        rng.normal(0.0, np.sqrt(2.0 / m), (units, m)).astype(np.float32),
        np.zeros(units, np.float32),
        rng.normal(0.0, np.sqrt(1.0 / units), units).astype(np.float32),
    ]

    def network() -> Network:
        hidden, bias, output = (array.copy() for array in weights)
        return Network(mean.astype(np.float32), scale.astype(np.float32), hidden, bias, output)

    first = [np.zeros_like(array) for array in weights]
    second = [np.zeros_like(array) for array in weights]
    best, best_ratio = network(), -1.0
    normalised = _Nodes(best.normalised(nodes.inputs), nodes.scores, nodes.starts)
    steps = epochs * -(-nodes.count // BATCH)
    step = 0
    for epoch in range(epochs):
        order = rng.permutation(nodes.count)
        for k in range(0, nodes.count, BATCH):
            step += 1
            rate = RATE * 0.5 * (1.0 + np.cos(np.pi * step / steps))
            inputs, scores, starts = normalised.batch(order[k : k + BATCH])
            gradients = _gradients(weights, inputs, _targets(scores, starts), starts)
            for array, gradient, one, two in zip(weights, gradients, first, second, strict=True):
                gradient = gradient + DECAY * array
                one += (1.0 - _BETAS[0]) * (gradient - one)
                two += (1.0 - _BETAS[1]) * (gradient * gradient - two)
                corrected = one / (1.0 - _BETAS[0] ** step), two / (1.0 - _BETAS[1] ** step)
                array -= (rate * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)).astype(np.float32)
        candidate = network()
        ratio = score_ratio(candidate.scores, unseen)
        if ratio > best_ratio:
            best, best_ratio = candidate, ratio
        progress((epoch + 1) / epochs, f"fit: epoch {epoch + 1}, score ratio {ratio:.3f}")
    rival = score_ratio(lambda inputs: inputs[:, baseline], together(validation))
    return Fit(best, best_ratio, rival, epochs, time.process_time() - began)


def _gradients(weights: Sequence[Array], inputs: Array, targets: Array, starts: Indices) -> list[Array]:
    """Return the gradients of the mean cross-entropy by hidden weights, biases and output weights."""
    hidden, bias, output = weights
    active = inputs @ hidden.T + bias
    units = np.maximum(active, 0.0)
    error = (_softmax(units @ output, starts) - targets) / (len(starts) - 1)
    back = (error[:, None] * output) * (active > 0.0)
    return [back.T @ inputs, back.sum(axis=0), units.T @ error]
