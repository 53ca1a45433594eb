"""One training loop for all networks of this plugin: early stop on unseen runs, an optional polish, a budget."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from cosolve.core.errors import NotConvergedError
from cosolve.plugins.pytorch.lion import Lion
from torch import Tensor, nn

Forward: TypeAlias = Callable[..., Tensor]
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]

_DIVERGENCES = 3
"""So often a quarter of the learning rate is tried."""


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How to fit.

    Attributes:
        epochs: Most epochs.
        batch: Samples in a batch.
        learning_rate: At the start; halved whenever the validation loss stood still for `patience` epochs. Lion wants
            a third to a tenth of AdamW's.
        schedule: `halve` as above, or `cosine`: rising over the first twentieth of the epochs, falling to zero over the
            rest of them.
        patience: See `learning_rate`.
        halvings: After so many halvings the fit stops.
        weight_decay: Decoupled weight decay.
        optimiser: `adamw`, `lion`, or `lbfgs`, which takes all samples at once, 20 iterations an epoch.
        clip: Largest norm of the gradient.
        polish: Rounds of 20 L-BFGS iterations on all samples after Adam.
        seed: Of the order of the samples.
        seconds: CPU seconds that the fit may take.
    """

    epochs: int = 2000
    batch: int = 256
    learning_rate: float = 2e-3
    schedule: Literal["halve", "cosine"] = "halve"
    patience: int = 25
    halvings: int = 7
    weight_decay: float = 0.0
    optimiser: Literal["adamw", "lion", "lbfgs"] = "adamw"
    clip: float = 10.0
    polish: int = 0
    seed: int = 0
    seconds: float = math.inf


@dataclass(frozen=True, slots=True)
class FitResult:
    """How a fit ended.

    Attributes:
        training_loss: Loss on the training samples, at the weights that were kept.
        validation_loss: Loss on the validation samples, at the weights that were kept.
        epochs: Epochs run.
        seconds: CPU seconds.
        stopped_by: `standstill`, `epochs` or `budget`.
    """

    training_loss: float
    validation_loss: float
    epochs: int
    seconds: float
    stopped_by: str


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of squares."""
    squares: Tensor = (output - target) ** 2
    return squares.mean()


def relative_l2(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean over samples of the relative L2 error."""
    difference, size = (output - target).flatten(1).norm(dim=1), target.flatten(1).norm(dim=1)
    errors: Tensor = difference / size.clamp_min(1e-12)
    return errors.mean()


def fit_network(
    network: nn.Module,
    training: Sequence[Tensor],
    validation: Sequence[Tensor],
    settings: FitSettings,
    *,
    forward: Forward | None = None,
    loss: Loss = squared_error,
    progress: Callable[[float, str], None] | None = None,
) -> FitResult:
    """Fit `network` in place and keep the weights with the lowest validation loss (not collective).

    Args:
        network: The network, its normalisers fitted.
        training: Inputs and, last, targets; samples along the first axis.
        validation: The same for runs that the fit does not see.
        settings: How.
        forward: Computes the output from the inputs; the network itself by default.
        loss: Of output and target.
        progress: Told the share of the epochs or of the budget that is done.

    Raises:
        NotConvergedError: The validation loss is not finite from the start, or the loss diverges with the learning rate
            and three smaller ones; says what to try. The network has the best weights that were found.
    """
    start = time.process_time()
    run: Forward = forward or network
    generator = torch.Generator().manual_seed(settings.seed)
    count = len(training[-1])
    rate, divergences = settings.learning_rate, 0
    optimiser = _optimiser(network, settings, rate)

    def measure(samples: Sequence[Tensor]) -> float:
        with torch.no_grad():
            return float(loss(run(*samples[:-1]), samples[-1]))

    best, best_weights, best_epoch, halvings, stopped_by, epoch = (
        measure(validation),
        _weights(network),
        0,
        0,
        "epochs",
        0,
    )
    if not math.isfinite(best):
        raise NotConvergedError(
            "the training cannot start: the validation loss is NaN or infinite at the first weights. "
            "Look for NaN in the training runs, or for a feature of huge size."
        )
    for epoch in range(1, settings.epochs + 1) if settings.optimiser != "lbfgs" else ():
        if settings.schedule == "cosine":
            done = (epoch - 1) / settings.epochs
            for group in optimiser.param_groups:
                group["lr"] = rate * min(20.0 * done + 0.1, 1.0) * 0.5 * (1.0 + math.cos(math.pi * done))
        network.train()
        finite = True
        order = torch.randperm(count, generator=generator).to(training[-1].device)
        for index in torch.split(order, settings.batch):
            optimiser.zero_grad(set_to_none=True)
            value = loss(run(*(sample[index] for sample in training[:-1])), training[-1][index])
            finite = math.isfinite(float(value.detach()))
            if not finite:
                break
            value.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
            nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
            optimiser.step()
        network.eval()
        current = measure(validation) if finite else math.nan
        if not math.isfinite(current):
            network.load_state_dict(best_weights)
            divergences += 1
            if divergences > _DIVERGENCES:
                raise NotConvergedError(
                    f"the training diverges: the loss became NaN or infinite with the learning rates "
                    f"{settings.learning_rate:.2g} to {rate:.2g}; try {rate / 10:.2g}, or a smaller `clip`. The best "
                    f"weights so far are kept (validation loss {best:.3e})."
                )
            rate /= 4.0
            # Its momentum is as infinite as the gradient was.
            optimiser = _optimiser(network, settings, rate)
        elif current < best * (1.0 - 1e-4):
            best, best_weights, best_epoch = current, _weights(network), epoch
        elif settings.schedule == "halve" and epoch - best_epoch >= settings.patience:
            halvings, best_epoch = halvings + 1, epoch
            network.load_state_dict(best_weights)
            for group in optimiser.param_groups:
                group["lr"] *= 0.5
        spent = time.process_time() - start
        if progress is not None and epoch % 10 == 0:
            share = max(epoch / settings.epochs, halvings / settings.halvings, spent / settings.seconds)
            progress(min(share, 1.0), f"epoch {epoch}, validation loss {best:.3e}")
        if halvings >= settings.halvings or spent > settings.seconds:
            stopped_by = "standstill" if halvings >= settings.halvings else "budget"
            break
    network.load_state_dict(best_weights)
    for _ in range(settings.epochs if settings.optimiser == "lbfgs" else settings.polish):
        if time.process_time() - start > settings.seconds:
            stopped_by = "budget"
            break
        _polish(network, training, run, loss)
        current = measure(validation)
        if not current < best:
            stopped_by = "standstill" if settings.optimiser == "lbfgs" else stopped_by
            break
        epoch += settings.optimiser == "lbfgs"
        best, best_weights = current, _weights(network)
    network.load_state_dict(best_weights)
    network.eval()
    return FitResult(measure(training), best, epoch, time.process_time() - start, stopped_by)


def _optimiser(network: nn.Module, settings: FitSettings, rate: float) -> torch.optim.Optimizer:
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if settings.optimiser == "lion":
        return Lion(trained, rate, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(trained, rate, weight_decay=settings.weight_decay)


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(network.state_dict())


def _polish(network: nn.Module, training: Sequence[Tensor], run: Forward, loss: Loss) -> None:
    """Run 20 iterations of L-BFGS on all samples."""
    optimiser = torch.optim.LBFGS(
        network.parameters(), max_iter=20, history_size=30, line_search_fn="strong_wolfe", tolerance_change=0.0
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(run(*training[:-1]), training[-1])
        value.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call,unused-ignore]  # annotated in some versions of torch only
