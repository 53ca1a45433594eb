"""The script that makes clean Debian roots says in a sentence what it lacks; the rest is `make test-debian13`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = (ROOT / ".ci" / "chroot").read_text()


def called(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script, read from standard input: its file may lie where only root can read."""
    return subprocess.run(
        ["bash", "-s", "--", *arguments],
        input=SCRIPT,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [(), ("bookwurm",)])
def test_a_suite_must_be_named(arguments: tuple[str, ...]) -> None:
    done = called(*arguments)
    assert done.returncode == 1
    assert "Expected a suite of Debian, found" in done.stderr
    assert "bookworm | trixie | sid" in done.stderr


def test_root_is_needed() -> None:
    command = ["bash", "-s", "--", "trixie"]
    if os.getuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed")
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    done = subprocess.run(command, input=SCRIPT, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs root: run this as root" in done.stderr
