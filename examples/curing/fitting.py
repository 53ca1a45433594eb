"""Fits one network in torch: a linear least-squares map plus a perceptron on what it leaves over.

Run as a program (`python -m cosolve.examples.curing.fitting FILE.npz SECONDS WIDTH SEED`) it reads `inputs` and
`outputs` from the file and writes the tensors beside it. `training` starts it as a process of its own, because torch
that is imported after PETSc runs on PETSc's BLAS, five times slower (measured with Debian's PETSc 3.18).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

FloatArray = npt.NDArray[np.float64]

_LEARNING_RATE = 3e-3
_BATCH = 256


def fit(
    inputs: FloatArray, outputs: FloatArray, seconds: float, width: int, seed: int
) -> tuple[dict[str, npt.NDArray[np.float32]], float]:
    """Train one network for `seconds` CPU seconds on one thread.

    Args:
        inputs: Shape `(n_samples, n_in)`; the last twelfth (whole schedules) is held out.
        outputs: POD coefficients, shape `(n_samples, n_out)`; their plain squared error is that of the field.
        seconds: CPU seconds.
        width: Units in each of the two hidden layers.
        seed: Seed of weights and batches.

    Returns:
        The tensors of `cosolve.examples.curing.surrogate.Network`, and the root mean square error on the held-out
        samples relative to the outputs' own.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    mean, scale = inputs.mean(0), inputs.std(0) + 1e-9
    x = torch.tensor((inputs - mean) / scale, dtype=torch.float32)
    size = np.sqrt((outputs**2).sum(1).mean())
    y = torch.tensor(outputs / size, dtype=torch.float32)
    held = len(x) - len(x) // 12
    linear = torch.linalg.lstsq(torch.cat([x[:held], torch.ones(held, 1)], 1), y[:held]).solution
    residual = y - x @ linear[:-1] - linear[-1]
    network = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], width),
        torch.nn.Tanh(),
        torch.nn.Linear(width, width),
        torch.nn.Tanh(),
        torch.nn.Linear(width, y.shape[1]),
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=1e-5)
    generator = torch.Generator().manual_seed(seed)
    start, spent, epoch = time.process_time(), 0.0, 0
    while spent < seconds:
        # A cosine from the full rate to a thousandth, over the time there is.
        for group in optimizer.param_groups:
            decay = 0.5 * (1.0 + np.cos(np.pi * spent / seconds))
            group["lr"] = _LEARNING_RATE * (1e-3 + decay) * min(1.0, (epoch + 1) / 5)
        for batch in torch.randperm(held, generator=generator).split(_BATCH):  # type: ignore[no-untyped-call]  # torch's
            optimizer.zero_grad(set_to_none=True)
            loss = ((network(x[batch]) - residual[batch]) ** 2).sum(1).mean()
            loss.backward()
            optimizer.step()
        epoch += 1
        spent = time.process_time() - start
    with torch.no_grad():
        error = float(((network(x[held:]) - residual[held:]) ** 2).sum(1).mean().sqrt())
        base = float((y[held:] ** 2).sum(1).mean().sqrt())
        parameters = [parameter.numpy().copy() for parameter in network.parameters()]
    tensors = dict(zip(("w0", "b0", "w1", "b1", "w2", "b2"), parameters, strict=True))
    tensors["w2"], tensors["b2"] = tensors["w2"] * size, (tensors["b2"] + linear[-1].numpy()) * size
    tensors |= {"linear": linear[:-1].numpy().T * size, "mean": mean, "scale": scale}
    return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in tensors.items()}, error / base


def main(arguments: list[str]) -> None:
    """Fit the network of one file, see the module."""
    file = Path(arguments[0])
    with np.load(file) as tables:
        tensors, error = fit(
            tables["inputs"], tables["outputs"], float(arguments[1]), int(arguments[2]), int(arguments[3])
        )
    np.savez(file.with_suffix(".fitted.npz"), error=error, **tensors)


if __name__ == "__main__":
    main(sys.argv[1:])
