"""Starts the ranks for cells of the matrix, and reads what came of each, whatever way the ranks ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from cosolve.core.checkpoint_reading import check_checkpoint
from cosolve.core.errors import WATCHDOG_EXIT_CODE, BadInputError, CosolveError
from cosolve.core.testing.fault_matrix import LIMIT_SECONDS, Cell, CellOutcome
from cosolve.examples.faults.targets import TARGETS
from cosolve.examples.faults.worker import folder_of

_GRACE_SECONDS: Final = 60.0


def command_for(ranks: int, module: str) -> list[str]:
    """Return the command that runs a module on so many ranks; one rank needs no launcher.

    Raises:
        BadInputError: There is no mpirun.
    """
    python = [sys.executable, "-m", module]
    if ranks == 1:
        return python
    mpirun = shutil.which("mpirun")
    if mpirun is None:
        raise BadInputError("more than one rank needs mpirun, which is not in PATH; install Open MPI or MPICH")
    return [mpirun, "--oversubscribe", "-n", str(ranks), *python]


def environment() -> dict[str, str]:
    """Return the environment of the ranks: one thread each, and Open MPI as root."""
    return os.environ | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }


def run_cells(
    cells: Sequence[Cell], folder: Path, told: Callable[[CellOutcome], None] | None = None
) -> list[CellOutcome]:
    """Run cells of one number of ranks with as few starts as there can be; those that block come last.

    Args:
        cells: Cells with the same number of ranks.
        folder: Where their files go.
        told: Called with each outcome.
    """
    waiting = sorted(cells, key=lambda cell: cell.blocks)
    outcomes: list[CellOutcome] = []
    while waiting:
        found = _one_start(waiting, folder)
        for outcome in found:
            outcomes.append(outcome)
            if told is not None:
                told(outcome)
        waiting = waiting[len(found) :]
    return outcomes


def _one_start(cells: Sequence[Cell], folder: Path) -> list[CellOutcome]:
    """Start the ranks once; return the outcomes up to and with the cell at which they ended."""
    command = [*command_for(cells[0].ranks, "cosolve.examples.faults.worker"), str(folder), str(LIMIT_SECONDS)]
    command += [cell.name for cell in cells]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    ) as process:
        hung = False
        try:
            output, errors = process.communicate(timeout=_GRACE_SECONDS + 2.0 * LIMIT_SECONDS * len(cells))
        except subprocess.TimeoutExpired:
            hung = True
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
    outcomes = [CellOutcome(**json.loads(line[5:])) for line in output.splitlines() if line.startswith("CELL {")]
    if hung and len(outcomes) == len(cells):  # a rank waits for another one in what libraries do at their end
        last = outcomes[-1]
        outcomes[-1] = replace(last, ended="failed", why=f"the ranks did not end after it; before: {last.ended}")
    if len(outcomes) < len(cells):
        outcomes.append(_ended(cells[len(outcomes)], folder, process.returncode, output, errors))
    return outcomes


def _ended(cell: Cell, folder: Path, code: int, output: str, errors: str) -> CellOutcome:
    """Return the outcome of the cell at which the ranks ended."""
    if f"START {cell.name}" not in output.splitlines():
        return CellOutcome(cell.name, "failed", f"the ranks did not start, exit code {code}: {errors[-2000:]}")
    if code != WATCHDOG_EXIT_CODE:
        return CellOutcome(cell.name, "failed", f"the ranks ended with code {code}: {errors[-2000:]}")
    if "Timeout (" not in errors or "most recent call first" not in errors:
        return CellOutcome(cell.name, "failed", f"the watchdog printed no stacks: {errors[-2000:]}")
    if not TARGETS[cell.target].checkpoints:
        return CellOutcome(cell.name, "watchdog", f"stacks, exit code {code}; a single transaction has no checkpoint")
    try:
        step = check_checkpoint(folder_of(folder, cell))
    except CosolveError as error:
        return CellOutcome(cell.name, "failed", f"after the watchdog the checkpoint is not whole: {error}")
    return CellOutcome(cell.name, "watchdog", f"stacks, exit code {code}, checkpoint of step {step} whole")
