"""`kill -9` at any point of a run: the restart gives the run that was not killed."""

from __future__ import annotations

import functools
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cosolve.examples.faults.launching import environment

SCRIPT = Path(__file__).with_name("killed_run.py")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")


def _run(kind: str, ranks: int, folder: Path, *, replayed: Path | None = None, victim: int = 0, event: int = 0) -> str:
    """Run to the end, or to the event; return what was printed at the end, empty after a kill."""
    words = [kind, str(folder), str(replayed) if replayed else "-", str(victim), str(event)]
    launcher = [] if ranks == 1 else [str(shutil.which("mpirun")), "--oversubscribe", "-n", str(ranks)]
    command = [*launcher, sys.executable, str(SCRIPT), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment())
    if event and done.returncode != 0:
        assert "Traceback" not in done.stderr, done.stderr[-3000:]
        return ""
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


class Whole:
    """The run that is not killed, once for each kind and number of ranks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.of = functools.cache(self._of)

    def _of(self, kind: str, ranks: int) -> tuple[Path, list[int]]:
        folder = self.root / f"{kind}-{ranks}"
        events = [int(word) for word in _run(kind, ranks, folder).split("EVENTS")[1].split()]
        return folder, events


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"))


def _kill_and_resume(whole: Whole, kind: str, ranks: int, seed: int, folder: Path) -> None:
    if ranks > 1 and shutil.which("mpirun") is None:
        pytest.skip("needs mpirun: `make setup` installs it on Debian")
    rng = np.random.default_rng(seed)
    reference, events = whole.of(kind, ranks)
    victim = int(rng.integers(ranks))
    event = int(rng.integers(1, int(0.95 * events[victim])))
    while _run(kind, ranks, folder, replayed=reference, victim=victim, event=event):
        # A run that replays decisions makes fewer calls than the one that measured: it ended before the event.
        shutil.rmtree(folder)
        event //= 2
    _run(kind, ranks, folder, replayed=reference)
    found, expected = np.load(folder / "answer.npy"), np.load(reference / "answer.npy")
    where = f"killed on rank {victim} at event {event} of {events[victim]}"
    if kind == "fenicsx" and ranks > 1:  # MUMPS on several ranks may add up in another order from run to run
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12, err_msg=where)
    else:
        np.testing.assert_array_equal(found, expected, err_msg=where)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("kind", "ranks", "seed"),
    [("mean_field", 1, 1), ("mean_field", 1, 2), ("mean_field", 1, 3), ("cycle_jump", 1, 4), ("mean_field", 2, 5)],
)
def test_a_killed_run_goes_on_as_if_it_had_not_been(
    kind: str, ranks: int, seed: int, whole: Whole, tmp_path: Path
) -> None:
    _kill_and_resume(whole, kind, ranks, seed, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(100, 130))
def test_thirty_kills(seed: int, whole: Whole, tmp_path: Path) -> None:
    kinds = [("mean_field", 1), ("mean_field", 2), ("mean_field", 3), ("cycle_jump", 1), ("cycle_jump", 2)]
    if importlib.util.find_spec("dolfinx") is not None:
        kinds += [("fenicsx", 1), ("fenicsx", 2)]
    kind, ranks = kinds[seed % len(kinds)]
    _kill_and_resume(whole, kind, ranks, seed, tmp_path)
