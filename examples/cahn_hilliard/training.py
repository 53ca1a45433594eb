"""Train the network of the Cahn-Hilliard control: `python -m cosolve.examples.cahn_hilliard.training`."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import torch
from cosolve.core.arrays import Array
from cosolve.core.query import Query
from cosolve.examples.cahn_hilliard.network import MODEL, StepNetwork, features, grid_order
from cosolve.examples.cahn_hilliard.options import CahnHilliardOptions
from cosolve.examples.cahn_hilliard.problem import CahnHilliardProblem
from cosolve.plugins.baselines.options import AdaptiveOptions
from cosolve.plugins.baselines.step_control import run_adaptively
from mpi4py import MPI
from safetensors.torch import save_file

STEPPING = AdaptiveOptions(rtol=3e-3, order=2)
"""The adaptive stepping of training and bench: one per cent of error at the end, as users choose it."""

TRAINING_SEEDS = range(9000, 9006)


def steps(seed: int) -> tuple[list[Array], list[Array]]:
    """Run adaptive stepping from one initial state; return inputs and targets of all its steps."""
    problem = CahnHilliardProblem(CahnHilliardOptions(seed=seed))
    inputs, targets = [], []
    with problem.make_solver(MPI.COMM_SELF, {"prefix": "cahn_hilliard_training_"}) as solver:
        order, side = grid_order(solver.coordinates())

        def committed(query: Query, value: Array) -> None:
            seen = features(query, order, side)
            after, before = value[order].reshape(2, side, side), query.state[order].reshape(2, side, side)
            inputs.append(seen)
            targets.append(np.stack([after[0] - before[0] - seen[1], after[1] - before[1]]))

        run_adaptively(solver, solver.initial_state(), problem.time_span, STEPPING, committed=committed)
    return inputs[1:], targets[1:]


def train(minutes: float = 2.0, seed: int = 0) -> tuple[StepNetwork, dict[str, Any]]:
    """Return the trained network and what it cost (not collective)."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    start = time.process_time()
    pairs = [steps(number) for number in TRAINING_SEEDS]
    inputs = torch.from_numpy(np.array([x for xs, _ in pairs for x in xs], dtype=np.float32))
    targets = torch.from_numpy(np.array([y for _, ys in pairs for y in ys], dtype=np.float32))
    data_seconds = time.process_time() - start
    network = StepNetwork()
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    scale = targets.pow(2).mean(dim=(0, 2, 3), keepdim=True)
    start, epochs, loss = time.process_time(), 0, torch.zeros(())
    while time.process_time() - start < 60.0 * minutes:
        rate = 3e-3 * max(1.0 - (time.process_time() - start) / (60.0 * minutes), 0.02)
        for group in optimiser.param_groups:
            group["lr"] = rate
        for batch in torch.split(torch.randperm(len(inputs)), 16):
            optimiser.zero_grad()
            loss = ((network(inputs[batch]) - targets[batch]).pow(2) / scale).mean()
            loss.backward()
            optimiser.step()
        epochs += 1
    figures = {
        "data_seconds": round(data_seconds, 1),
        "training_seconds": round(time.process_time() - start, 1),
        "steps": len(inputs),
        "epochs": epochs,
        "loss": float(loss),
    }
    return network, figures


if __name__ == "__main__":
    trained, cost = train()
    save_file(trained.state_dict(), MODEL, metadata={"cost": json.dumps(cost)})
    print(f"wrote {MODEL}: {cost}")
