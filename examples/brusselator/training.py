"""Train the patch network of the Brusselator: `python -m cosolve.examples.brusselator.training`."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import numpy as np
import torch
from cosolve.core.communicator import SerialCommunicator
from cosolve.core.query import Query
from cosolve.examples.brusselator.network import LEVELS, WEIGHTS, PatchNetwork, features
from cosolve.examples.brusselator.options import BrusselatorOptions
from cosolve.examples.brusselator.problem import BrusselatorProblem
from safetensors.torch import save_file
from torch import Tensor

SEEDS: Final = (101, 102, 103, 104)
"""Initial states of the training runs; no case of the example uses them."""

CELLS: Final = 48
_POINTS: Final = 150
_ITERATIONS: Final = 600

NOISE: Final = 1e-4
"""Error that is added to each level in training, about what an accepted state may err by: differences of third order
make it many times larger, and a network that never saw it would be right once and wrong in the steps after."""


def samples(seed: int) -> tuple[Tensor, Tensor]:
    """Return levels `(4, n, 2)` and the change that followed, `(n, 2)`, at random points of one run (serial)."""
    options = BrusselatorOptions(cells=CELLS, seed=seed, end_time=5.0)
    solver = BrusselatorProblem(options).make_solver(SerialCommunicator(), {})
    states = [solver.initial_state()]
    for step in range(round(options.end_time / options.dt)):
        query = Query(states[-1], options.dt * step, options.dt, step)
        states.append(solver.step(query).value.copy())
    solver.close()
    fields = torch.from_numpy(np.array(states)).reshape(len(states), -1, 2)
    generator = torch.Generator().manual_seed(seed)
    levels, changes = [], []
    for last in range(LEVELS - 1, len(fields) - 1):
        points = torch.randperm(fields.shape[1], generator=generator)[:_POINTS]
        levels.append(fields[last - LEVELS + 1 : last + 1, points].flip(0))
        changes.append(fields[last + 1, points] - fields[last, points])
    return torch.cat(levels, dim=1), torch.cat(changes)


def train(seed: int = 0) -> tuple[PatchNetwork, dict[str, Any]]:
    """Return the trained network and what it cost, in CPU seconds (serial)."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    start = time.process_time()
    pairs = [samples(number) for number in SEEDS]
    data_seconds = time.process_time() - start
    levels, changes = torch.cat([pair[0] for pair in pairs], dim=1), torch.cat([pair[1] for pair in pairs])
    levels = levels + NOISE * torch.randn(levels.shape, dtype=levels.dtype)
    network = PatchNetwork()
    seen, extrapolated = features(levels)
    network.mean, network.scale = seen.mean(dim=0), seen.std(dim=0)
    network.size = (changes - extrapolated).std(dim=0)
    with torch.no_grad():  # the linear map in closed form: the hidden layer learns what it leaves
        inputs = torch.cat([(seen - network.mean) / network.scale, torch.ones(len(seen), 1)], dim=1)
        weights = torch.linalg.lstsq(inputs, (changes - extrapolated) / network.size).solution
        network.linear.weight[:], network.linear.bias[:] = weights[:-1].T, weights[-1]
        network.outer.weight.zero_()
    optimiser = torch.optim.LBFGS(
        network.parameters(), max_iter=_ITERATIONS, history_size=30, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        found: Tensor = ((network(levels) - changes) / network.size).square().mean()
        found.backward()  # type: ignore[no-untyped-call]  # torch ships no type for it
        return found

    start = time.process_time()
    first = float(loss().detach())
    optimiser.step(loss)  # type: ignore[no-untyped-call]  # torch ships no type for it
    figures = {
        "data_seconds": round(data_seconds, 2),
        "training_seconds": round(time.process_time() - start, 2),
        "samples": len(changes),
        "linear_error": round(first**0.5, 4),
        "error": round(float(loss().detach()) ** 0.5, 4),
    }
    return network, figures


if __name__ == "__main__":
    trained, cost = train()
    tensors = {name: tensor.contiguous() for name, tensor in trained.state_dict().items()}
    save_file(tensors, WEIGHTS, metadata={"cost": json.dumps(cost)})
    print(f"wrote {WEIGHTS}: {cost}")
