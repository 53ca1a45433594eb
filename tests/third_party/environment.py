"""A fresh virtual environment in which nothing of a third party is installed, and nothing is downloaded."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import sysconfig
from pathlib import Path

_THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "COLUMNS": "160",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    # pip takes what is here, builds with what is here, and asks no index.
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_BUILD_ISOLATION": "0",
    "PIP_NO_DEPS": "1",
    "PIP_NO_INDEX": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}


class Environment:
    """A virtual environment that sees this one's packages, cosolve included, and keeps its own beside them.

    Args:
        folder: Where to make it.

    Attributes:
        python: Its interpreter.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.python = folder / "bin" / "python"
        own = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
        # `addsitedir` rather than a path: this environment's own .pth files count, too (an editable install is one).
        lines = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages() if Path(path).is_dir()]
        (own / "seen.pth").write_text("\n".join(lines) + "\n")
        # The commands of this environment, run by its own interpreter.
        (folder / "bin" / "cosolve").write_text(f"#!{self.python}\nfrom cosolve.core.cli.main import main\n\nmain()\n")
        (folder / "bin" / "pip").write_text(f'#!/bin/sh\nexec "{self.python}" -m pip "$@"\n')
        for name in ("cosolve", "pip"):
            (folder / "bin" / name).chmod(0o755)

    @property
    def variables(self) -> dict[str, str]:
        """The variables of a shell in which the environment is active."""
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, **_THREADS, "PATH": path, "VIRTUAL_ENV": str(self.folder)}

    def run(self, *command: str, cwd: Path | None = None, timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
        """Run a command in the active environment."""
        return subprocess.run(
            command,
            cwd=cwd,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    def install(self, *folders: Path) -> None:
        """Install distributions by pip, from their folders alone."""
        done = self.run("pip", "install", "-q", *map(str, folders))
        assert done.returncode == 0, done.stdout + done.stderr
