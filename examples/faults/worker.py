"""Runs cells of the matrix of faults on the ranks that started it, one after the other.

    mpirun -n 2 python -m cosolve.examples.faults.worker FOLDER LIMIT_SECONDS CELL [CELL ...]

Rank 0 prints `START CELL` before each cell and `CELL {json}` after it, so that whoever started the ranks knows which
cell was at work when they ended. A cell that blocks ends the process by the watchdog, with exit code 5.
"""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from cosolve.core.communicator import SerialCommunicator, launched_by_mpi, world
from cosolve.core.testing.fault_matrix import Cell, run_cell
from cosolve.core.testing.faults import CATALOGUE
from cosolve.examples.faults.targets import TARGETS


def folder_of(root: Path, cell: Cell) -> Path:
    """Return the folder of a cell's ledger and checkpoints."""
    return root / cell.name.replace("/", "-")


def main(arguments: list[str]) -> None:
    """Run the cells that are named (collective)."""
    root, limit = Path(arguments[0]), float(arguments[1])
    cells = [Cell.named(name) for name in arguments[2:]]
    # Ahead of PETSc and of the watchdog: the import takes seconds.
    for library in {CATALOGUE[cell.kind].needs for cell in cells} - {""}:
        importlib.import_module(library)
    comm = world() if launched_by_mpi() else SerialCommunicator()
    for cell in cells:
        name = cell.name
        if comm.Get_rank() == 0:
            print(f"START {name}", flush=True)
        outcome = run_cell(TARGETS[cell.target], cell, comm, folder_of(root, cell), limit_seconds=limit)
        if comm.Get_rank() == 0:
            print(f"CELL {json.dumps(asdict(outcome))}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
