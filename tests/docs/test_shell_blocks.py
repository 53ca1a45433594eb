"""Every command on a page is run as its reader would, save the exceptions that `shell_blocks` lists."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "third_party"))

from environment import Environment
from shell_blocks import IN_THE_REPOSITORY, SLOW, commands, exception, is_slow, name_of, prepare, script_of, shell_pages
from snippets import ROOT, pages

PAGES = [
    pytest.param(page, id=name_of(page), marks=[pytest.mark.slow] if is_slow(page) else []) for page in shell_pages()
]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh environment: what a page installs stays in it."""
    return Environment(tmp_path_factory.mktemp("shell") / "environment")


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_in_order(page: Path, shell: Environment, tmp_path: Path) -> None:
    if any("mpirun" in command for command in commands(page)) and shutil.which("mpirun") is None:
        pytest.skip("needs mpirun")
    folder = tmp_path
    prepare(page, folder, shell.folder)
    if page.name == "README.md" or name_of(page) in IN_THE_REPOSITORY:  # its reader stands in the distribution's folder
        folder = tmp_path / "distribution"
        ignored = shutil.ignore_patterns(".*", "build", "runs", "*.egg-info", "tests", "__pycache__")
        shutil.copytree(ROOT if name_of(page) in IN_THE_REPOSITORY else page.parent, folder, ignore=ignored)
    done = subprocess.run(
        ["bash", "-c", script_of(page)],
        cwd=folder,
        env=shell.variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=550,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def test_the_exceptions_are_few_and_name_pages_that_exist() -> None:
    for name in [*SLOW, *IN_THE_REPOSITORY]:
        assert (ROOT / name).is_file(), name
    left_out = [command for page in pages() for command in commands(page) if exception(command)]
    assert len(left_out) <= 6, left_out
