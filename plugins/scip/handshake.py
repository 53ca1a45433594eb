"""Decides once for each machine whether the native code may be used, and says so once where it may not.

A wrong signature or a function that was not bound ends the process with a segmentation fault, which no exception
handler sees. So the first use on a machine runs a self-test in a child process. Its verdict is kept in the user's cache
for this library file, its time, numba's version and these sources.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

from cosolve.plugins.scip.library import UnboundError, find_addresses, library_path

logger = logging.getLogger(__name__)

_SECONDS: Final = 300.0
SWITCH: Final = "COSOLVE_SCIP_NATIVE"
"""Environment variable: `0` does without native code."""


@cache
def why_not_native() -> str:
    """Return why native code cannot be used in this process; empty where it can. Logs the reason once."""
    why = _reason()
    if why:
        logger.warning(
            "branching uses the features that PySCIPOpt alone can compute, which choose less well: %s",
            why,
        )
    return why


def _reason() -> str:
    if os.environ.get(SWITCH, "") == "0":
        return f"{SWITCH}=0 switches native code off"
    try:
        from cosolve.plugins.scip.compiled import sources_stamp
        from cosolve.plugins.scip.symbols import SIGNATURES
    except ImportError as error:
        return f"numba cannot be imported ({error})"
    try:
        find_addresses(SIGNATURES)
    except UnboundError as error:
        return str(error)
    library = library_path()
    stamp = f"{library}:{library.stat().st_mtime_ns}:{sources_stamp()}:{sys.version}"
    path = cache_folder() / f"scip-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}.json"
    known = _read(path)
    if known is not None:
        return known
    logger.info("checking the native code against this SCIP, once")
    why = self_test()
    if "did not end" in why:
        return why  # a machine that is too busy today may not be tomorrow
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps({"why_not": why, "library": str(library)}))
        temporary.replace(path)
    return why


def self_test() -> str:
    """Run the self-test in a child process and return what is wrong; empty when nothing is."""
    command = [sys.executable, "-m", "cosolve.plugins.scip.self_test"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the self-test of the native code did not end ({type(error).__name__})"
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return f"the self-test of the native code crashed (signal {-done.returncode})"
    said = (done.stdout.strip() or done.stderr.strip() or "no word").splitlines()[-1]
    return f"the self-test of the native code failed: {said}"


def cache_folder() -> Path:
    """Return where verdicts are kept."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "cosolve"


def _read(path: Path) -> str | None:
    try:
        why = json.loads(path.read_text())["why_not"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return why if isinstance(why, str) else None
