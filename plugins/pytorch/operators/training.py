"""One recipe that trains any grid operator on pairs of fields, in a budget of CPU seconds.

AdamW with a short warm-up and a cosine to zero, the relative L2 error as loss, clipped gradients, weights of the best
validation error kept. The cosine follows the epochs or the budget, whichever is further: it always ends at zero.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from cosolve.core.errors import BadInputError, NotConvergedError
from cosolve.plugins.pytorch.operators.regression import GridRegressor
from torch import Tensor, nn

RATES = (1e-3, 3e-3, 1e-2)
"""Learning rates that are tried where none is given."""
_TRIAL_SHARE = 0.04
_FEWEST = 10
_MOST_POINTS = 500_000
"""Of a batch: what lies between the layers grows with it, and must fit into memory."""


@dataclass(frozen=True, slots=True)
class OperatorFit:
    """How to train.

    Attributes:
        seconds: CPU seconds, trials of the learning rate included. Infinite: the epochs alone decide, and the same seed
            gives the same weights, bit for bit.
        epochs: Most epochs.
        batch: Samples in a batch; 0 for a thirtieth of the samples, between 4 and 20, fewer on large grids.
        learning_rate: Largest one; 0 tries a few for a moment each and keeps the best.
        weight_decay: Of AdamW.
        validation_share: Share of the samples that are held back to choose the weights.
        clip: Largest norm of the gradient.
        seed: Of split and order.
    """

    seconds: float = 120.0
    epochs: int = 500
    batch: int = 0
    learning_rate: float = 0.0
    weight_decay: float = 1e-4
    validation_share: float = 0.1
    clip: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class OperatorResult:
    """How it ended.

    Attributes:
        validation_error: Mean relative L2 error on the samples that were held back.
        training_error: The same as a mean over the last epoch.
        epochs: Epochs, the last one perhaps in part.
        learning_rate: Largest one.
        seconds: CPU seconds.
        curve: CPU seconds and validation error after each epoch.
    """

    validation_error: float
    training_error: float
    epochs: float
    learning_rate: float
    seconds: float
    curve: Sequence[tuple[float, float]] = field(default_factory=tuple)


class _Diverged(Exception):
    """The loss is not finite."""


def relative_errors(found: Tensor, true: Tensor, floor: Tensor) -> Tensor:
    """Return the relative L2 error of each channel of each sample, shape `(n, c)`.

    Args:
        found: Fields, shape `(n, c, *spatial)`.
        true: The same.
        floor: Smallest norm of each channel that counts, shape `(c,)`: fields of no size have no relative error.
    """
    difference, size = (found - true).flatten(2).norm(dim=2), true.flatten(2).norm(dim=2)
    errors: Tensor = difference / torch.maximum(size, floor)
    return errors


def fit_operator(
    model: GridRegressor,
    x: Tensor,
    y: Tensor,
    fit: OperatorFit,
    progress: Callable[[float, str], None] | None = None,
) -> OperatorResult:
    """Train `model` in place and keep the weights of the smallest validation error (not collective).

    Args:
        model: Its scaling is fitted here, to the training samples alone.
        x: Inputs, shape `(n, c_in, *spatial)`.
        y: Outputs, shape `(n, c_out, *spatial)`.
        fit: How.
        progress: Told the share that is done.

    Raises:
        BadInputError: There are too few samples.
        NotConvergedError: The loss is not finite from the start, or becomes so with every learning rate that was tried.
    """
    # The first optimiser of a process imports half of torch: seconds that are no training.
    torch.optim.AdamW(model.parameters())
    start = time.process_time()
    if len(x) < _FEWEST:
        raise BadInputError(f"a network needs at least {_FEWEST} training samples, found {len(x)}; give more.")
    training, validation = split_samples(len(x), fit.validation_share, fit.seed)
    model.fit_scaling(x[training], y[training])
    floor = 1e-3 * y[training].flatten(2).norm(dim=2).square().mean(dim=0).sqrt() + torch.finfo(torch.float32).tiny
    batch = fit.batch or min(max(len(training) // 30, 4), 20, fitting(y.shape[2:]))
    loop = _Loop(model, x, y, training, validation, floor, fit, batch, start)
    if not math.isfinite(loop.measure()):
        raise NotConvergedError(
            "the training cannot start: the validation error is NaN or infinite at the first weights; look for values "
            "of huge size in the training data."
        )
    rate = fit.learning_rate or loop.best_rate()
    for _ in range(4):
        try:
            return loop.run(rate, progress)
        except _Diverged:
            rate /= 4.0
    raise NotConvergedError(
        f"the loss became NaN or infinite with each learning rate from {256 * rate:.2g} to {4 * rate:.2g}; try "
        f"{rate / 4:.2g}, or look for outliers in the training data. The weights are the best ones found."
    )


def fitting(shape: Sequence[int]) -> int:
    """Return how many samples on a grid of `shape` are computed at once."""
    return max(_MOST_POINTS // math.prod(shape), 1)


def split_samples(count: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return indices of training and validation samples; between 4 and 200 are held back."""
    held = min(max(round(share * count), 4), 200)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(count))
    return order[held:], order[:held]


@dataclass(slots=True)
class _Loop:
    """The samples and how far the budget is spent."""

    model: GridRegressor
    x: Tensor
    y: Tensor
    training: Tensor
    validation: Tensor
    floor: Tensor
    fit: OperatorFit
    batch: int
    start: float

    def measure(self) -> float:
        """Return the mean validation error."""
        self.model.eval()
        with torch.no_grad():
            errors = [
                relative_errors(self.model(self.x[index]), self.y[index], self.floor).flatten()
                for index in torch.split(self.validation, min(max(self.batch, 16), fitting(self.y.shape[2:])))
            ]
        return float(torch.cat(errors).mean())

    def best_rate(self) -> float:
        """Return the learning rate whose short training ends best; the weights are as before."""
        before, found = copy.deepcopy(self.model.state_dict()), {}
        whole, begun = self.fit, self.start
        for rate in RATES:
            self.start = time.process_time()
            self.fit = replace(whole, seconds=_TRIAL_SHARE * whole.seconds, epochs=max(whole.epochs // 20, 2))
            try:
                found[rate] = self.run(rate, None).validation_error
            except _Diverged:
                found[rate] = math.inf
            self.model.load_state_dict(before)
        self.fit, self.start = whole, begun
        return min(found, key=lambda rate: found[rate])

    def run(self, rate: float, progress: Callable[[float, str], None] | None) -> OperatorResult:
        """Train with a cosine that starts at `rate`."""
        fit, model = self.fit, self.model
        optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=fit.weight_decay)
        generator = torch.Generator().manual_seed(fit.seed)
        steps = -(-len(self.training) // self.batch)
        # What trials and failed attempts have spent is gone: the cosine goes over what is left.
        begun = time.process_time()
        left = max(fit.seconds - (begun - self.start), 0.25 * fit.seconds)
        best, weights, curve, done, mean = math.inf, copy.deepcopy(model.state_dict()), [], 0, math.nan
        share = 0.0
        for epoch in range(fit.epochs):
            model.train()
            order, total = self.training[torch.randperm(len(self.training), generator=generator)], 0.0
            for number, index in enumerate(torch.split(order, self.batch)):
                share = max((epoch + number / steps) / fit.epochs, (time.process_time() - begun) / left)
                if share >= 1.0:
                    break
                for group in optimiser.param_groups:
                    group["lr"] = rate * schedule(share)
                optimiser.zero_grad(set_to_none=True)
                loss = relative_errors(model(self.x[index]), self.y[index], self.floor).mean()
                value = float(loss.detach())
                if not math.isfinite(value):
                    model.load_state_dict(weights)
                    raise _Diverged
                loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
                nn.utils.clip_grad_norm_(model.parameters(), fit.clip)
                optimiser.step()
                total, done, mean = (
                    total + float(loss.detach()),
                    done + 1,
                    (total + float(loss.detach())) / (number + 1),
                )
            current = self.measure()
            curve.append((time.process_time() - self.start, current))
            if current < best:
                best, weights = current, copy.deepcopy(model.state_dict())
            if progress is not None:
                progress(min(share, 1.0), f"epoch {epoch + 1}, validation error {best:.3e}")
            if share >= 1.0:
                break
        model.load_state_dict(weights)
        model.eval()
        if not math.isfinite(best):
            raise _Diverged
        return OperatorResult(best, mean, done / steps, rate, time.process_time() - self.start, tuple(curve))


def schedule(share: float, warm_up: float = 0.05) -> float:
    """Return the learning rate relative to its largest value when `share` of the training is done."""
    if share < warm_up:
        return 0.1 + 0.9 * share / warm_up
    return 0.5 * (1.0 + math.cos(math.pi * min((share - warm_up) / (1.0 - warm_up), 1.0)))
