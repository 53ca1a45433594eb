"""Every Python block of the documentation runs as it stands; the tutorial's script is short and is run as a file."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from snippets import DOCS, ROOT, as_the_page_says, blocks, code_lines, pages, script

NEEDS = {"petsc4py": "petsc4py", "dolfinx": "dolfinx", "torch": "torch", "pyscipopt": "pyscipopt"}
RUN_PAGES = [page for page in pages() if blocks(page) and page.parent.name != "tutorial"]


def run(code, folder):
    """Run `code` as a file in `folder`, and return its output."""
    file = folder / "page.py"
    file.write_text(as_the_page_says(code))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(file)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr[-3000:]}"
    return done.stdout


def skip_without_libraries(code):
    for word, library in NEEDS.items():
        if re.search(rf"\b{word}\b", code) and importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")


@pytest.mark.parametrize("page", RUN_PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_blocks_of_a_page_run_in_order(page, tmp_path):
    code = "\n\n".join(blocks(page))
    skip_without_libraries(code)
    run(code, tmp_path)


def test_the_tutorial_couples_an_own_form_in_25_lines(tmp_path):
    pytest.importorskip("dolfinx")
    code = script(DOCS / "tutorial" / "first_hybrid_run.md", "plate.py")
    assert code_lines(code) <= 25
    output = run(code, tmp_path)
    found = re.search(r"(\d+) of 100 steps needed no solve: every accepted value passed its verifier", output)
    assert found
    assert 1 <= int(found.group(1)) <= 99  # how many depends on the governor, which reads clocks
    from cosolve.core.ledger import read_ledger

    steps = [record for record in read_ledger(tmp_path / "runs/plate") if record["kind"] == "step"]
    assert len(steps) == 100
    for record in steps:
        for verdict in record["verdicts"]:
            if verdict["decision"] == "accept":
                assert verdict["measure"] <= 0.5 * verdict["tolerance"]


def test_the_tutorial_skips_load_stepping_in_25_lines(tmp_path):
    pytest.importorskip("dolfinx")
    code = script(DOCS / "tutorial" / "skip_load_stepping.md", "bend.py")
    assert code_lines(code) <= 25
    found = re.search(
        r"(\S+) Newton iterations with load stepping, (\S+) from the surrogate's start", run(code, tmp_path)
    )
    assert found
    before, after = float(found.group(1)), float(found.group(2))
    assert after <= 0.3 * before


def test_the_embedded_tutorial_runs(tmp_path):
    code = script(DOCS / "tutorial" / "embedded.md", "spot.py")
    assert code_lines(code) <= 25
    assert re.search(r"\d+ accepted, \d+ corrected, of 100", run(code, tmp_path))


def test_an_own_snes_takes_ten_lines_and_saves_newton_iterations(tmp_path):
    pytest.importorskip("petsc4py")
    code = script(DOCS / "tutorial" / "own_petsc_solver.md", "bratu.py")
    assert code_lines(code.split("# From here on: cosolve.")[1].split("cold =")[0]) <= 10
    output = run(code, tmp_path)
    found = re.search(r"(\d+) Newton iterations instead of (\d+); the largest value is (\S+)", output)
    assert found, output
    assert int(found.group(1)) <= 0.7 * int(found.group(2))
    assert abs(float(found.group(3)) - bratu(32, 6.0)) < 2e-4


def test_multigrid_is_warm_started_in_25_lines(tmp_path):
    pytest.importorskip("petsc4py")
    code = script(DOCS / "tutorial" / "warm_start_multigrid.md", "moving.py")
    assert code_lines(code) <= 25
    output = run(code, tmp_path)
    found = re.search(r"(\d+) multigrid cycles instead of (\d+), for 31 solves", output)
    assert found, output
    assert int(found.group(1)) <= 0.6 * int(found.group(2))


def bratu(n, lam):
    """Return the largest value of the Bratu problem's lower solution on n x n points, by Newton's method in scipy."""
    from scipy.sparse import diags, identity, kron
    from scipy.sparse.linalg import spsolve

    line = diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(n, n))
    matrix = (kron(line, identity(n)) + kron(identity(n), line)).tocsc() * (n + 1) ** 2
    u = np.zeros(n * n)
    for _ in range(20):
        u = u - spsolve(matrix - diags(lam * np.exp(u)), matrix @ u - lam * np.exp(u))
    return u.max()


def test_an_own_network_takes_ten_lines():
    text = (DOCS / "how-to" / "own_network.md").read_text()
    block = re.search(r"<!-- ten lines -->\n```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert block
    assert code_lines(block.group(1)) <= 10


def test_the_script_of_the_readme_is_short_and_runs(tmp_path):
    pytest.importorskip("dolfinx")
    found = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    assert code_lines(found[0]) <= 15
    accepted = re.search(r"(\d+) of 100 steps", run(found[0], tmp_path))
    assert accepted
    assert int(accepted.group(1)) >= 1  # how many depends on the governor, which reads clocks


def test_the_tutorial_of_scip_runs_and_its_script_is_short(tmp_path):
    pytest.importorskip("pyscipopt")
    page = DOCS / "tutorial" / "guide_my_mips.md"
    output = run("\n\n".join(blocks(page)), tmp_path)
    assert re.search(r"optimal \d+ decisions, 0 left to SCIP", output)
    assert "SCIP ended with the status 'optimal'" in output
    script_of_user = re.findall(r"^```\{code-block\} python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert code_lines(script_of_user[-1]) <= 10
