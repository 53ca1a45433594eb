"""What runs create in PETSc they destroy: by PETSc's own count of objects, and by the numbers of communicators."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cosolve.examples.faults.launching import environment

pytestmark = pytest.mark.skipif(importlib.util.find_spec("petsc4py") is None, reason="petsc4py is not installed here")

RUN = """
import gc, json, re, sys
from collections import Counter
from pathlib import Path
import cosolve
from petsc4py import PETSc

case, folder, cells, t_end = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
PETSc.Log.begin()
comm = PETSc.COMM_WORLD.tompi4py()

def alive(number):
    '''Objects of each class that are not destroyed, and the number that MPI gives to a new communicator.'''
    gc.collect()
    if hasattr(PETSc, 'garbage_cleanup'):  # what only a collective call may destroy
        PETSc.garbage_cleanup()
    path = folder / f'view-{number}.txt'
    viewer = PETSc.Viewer().createASCII(str(path), comm=PETSc.COMM_WORLD)
    PETSc.Log.view(viewer)
    viewer.destroy()
    comm.Barrier()
    table = path.read_text().split('Object Type', 1)[1].split('=====', 1)[0]
    found = Counter()
    for name, made, gone in re.findall(r'^ *([A-Z][A-Za-z :/-]*?) {2,}(\\d+) +(\\d+)', table, re.MULTILINE):
        found[name] += int(made) - int(gone)
    assert 'Vector' in found and 'Matrix' in found, table
    del found['Viewer']
    fresh = comm.Dup()
    code = int(fresh.py2f())
    fresh.Free()
    return {name: count for name, count in found.items() if count}, code

def once(number):
    cosolve.run(case, overrides={'output.directory': str(folder / f'run-{number}'), 'output.report': False,
        'problem.cells': cells, 'coupling.t_end': t_end, 'governor.mode': 'off'})

once(0)
counts = [alive(0)]
for number in range(1, 4):
    once(number)
    counts.append(alive(number))
if comm.Get_rank() == 0:
    print(json.dumps(counts))
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(("name", "cells", "t_end"), [("brusselator", 12, 0.3), ("heat", 8, 0.1)])
def test_petsc_objects_and_communicators_are_freed(
    name: str, cells: int, t_end: float, ranks: int, tmp_path: Path
) -> None:
    if name == "heat" and importlib.util.find_spec("dolfinx") is None:
        pytest.skip("FEniCSx is not installed here")
    if ranks > 1 and shutil.which("mpirun") is None:
        pytest.skip("needs mpirun: `make setup` installs it on Debian")
    launcher = [] if ranks == 1 else [str(shutil.which("mpirun")), "--oversubscribe", "-n", str(ranks)]
    case = Path(__file__).resolve().parents[2] / "examples" / name / "case.toml"
    command = [*launcher, sys.executable, "-c", RUN, str(case), str(tmp_path), str(cells), str(t_end)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=280, check=False, env=environment(), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, *later = json.loads(done.stdout.strip().splitlines()[-1])
    # What stays of the first run (PETSc's own, caches of a library) may not become more.
    assert all(one == first for one in later), [first, *later]
