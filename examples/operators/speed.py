"""Our Fourier neural operator against the package `neuraloperator`: equal modes and channels, one core, interleaved."""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import torch
from cosolve.plugins.pytorch.operators.fno import FourierNeuralOperator
from cosolve.plugins.pytorch.operators.presets import count_of
from torch import Tensor, nn

_POINTS: Final = 64
_MODES: Final = 12
_WIDTH: Final = 24
_BATCH: Final = 8
_REPEATS: Final = 12


def compared_speed() -> dict[str, Any]:
    """Return CPU milliseconds of a training step and of an inference, and where the package is there their ratios.

    Below 1 a ratio says that ours is faster. Parameters are compared by their ratio, too: the package keeps both halves
    of a real field's spectrum along all axes but the last, as we do.
    """
    torch.manual_seed(0)
    ours = FourierNeuralOperator(1, 1, [_MODES, _MODES], _WIDTH, 4)
    models: dict[str, nn.Module] = {"ours": ours}
    if importlib.util.find_spec("neuralop") is not None:
        from neuralop.models import FNO

        models["theirs"] = FNO(
            n_modes=(2 * _MODES - 1, 2 * _MODES - 1),
            in_channels=1,
            out_channels=1,
            hidden_channels=_WIDTH,
            n_layers=4,
            lifting_channel_ratio=2,
            projection_channel_ratio=2,
            positional_embedding=None,
            channel_mlp_skip="linear",
            use_channel_mlp=False,
        )
    x = torch.randn(_BATCH, 1, _POINTS, _POINTS)
    steps = {name: _step_of(model, x) for name, model in models.items()}
    answers = {name: _answer_of(model, x) for name, model in models.items()}
    times: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in models} for kind in ("step", "answer")}
    for turn in range(_REPEATS + 2):
        for kind, runs in (("step", steps), ("answer", answers)):
            for name in list(models) if turn % 2 else list(models)[::-1]:
                begin = time.process_time()
                runs[name]()
                if turn >= 2:
                    times[kind][name].append(time.process_time() - begin)
    found: dict[str, Any] = {
        "training_step_ms": 1e3 * statistics.median(times["step"]["ours"]),
        "inference_ms": 1e3 * statistics.median(times["answer"]["ours"]),
    }
    if "theirs" in models:
        for kind, label in (("step", "training_step"), ("answer", "inference")):
            ratios = [a / b for a, b in zip(times[kind]["ours"], times[kind]["theirs"], strict=True)]
            found[f"{label}_over_neuraloperator"] = statistics.median(ratios)
        found["parameters_over_neuraloperator"] = count_of(ours) / _real_count(models["theirs"])
    return found


def _real_count(model: nn.Module) -> int:
    return sum(p.numel() * (2 if p.is_complex() else 1) for p in model.parameters())


def _step_of(model: nn.Module, x: Tensor) -> Callable[[], None]:
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        model(x).square().mean().backward()
        optimiser.step()

    return step


def _answer_of(model: nn.Module, x: Tensor) -> Callable[[], None]:
    def answer() -> None:
        with torch.inference_mode():
            model(x)

    return answer
