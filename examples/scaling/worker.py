"""Measures on the ranks that started it and prints one line of JSON on rank 0.

mpirun -n 2 python -m cosolve.examples.scaling.worker count SIZE [SIZE ...]
mpirun -n 2 python -m cosolve.examples.scaling.worker gate CELLS STEPS
"""

from __future__ import annotations

import json
import sys
from typing import Any

from cosolve.core.communicator import SerialCommunicator, launched_by_mpi, world
from cosolve.examples.scaling.attempts import WHATS, count_attempt, gate_share


def main(arguments: list[str]) -> None:
    """Measure what the first argument names (collective)."""
    comm = world() if launched_by_mpi() else SerialCommunicator()
    numbers = [int(word) for word in arguments[1:]]
    found: list[dict[str, Any]]
    if arguments[0] == "count":
        found = [
            {"values": size, "attempt": what, **count_attempt(comm, size, what)} for size in numbers for what in WHATS
        ]
    else:
        cells, steps = numbers
        found = [{"cells": cells, **gate_share(comm, cells, steps)}]
    if comm.Get_rank() == 0:
        print(json.dumps([{"ranks": comm.Get_size(), **one} for one in found]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
