"""Runs conformance kits under mpirun on several ranks, and survives whatever hangs or dies there.

`python -m cosolve.core.testing.ranks FOLDER SECONDS LAYOUT PLUGIN/ROLE/ENTRY...` is what each rank runs. Each rank
writes what it begins and finds to a file of its own, so that the root cause of a dead-lock is known although nobody
returns from it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import world
from cosolve.core.registry import Offer, Registry
from cosolve.core.testing.checking import Finding, compare, kit_of, run_kit, run_probe
from cosolve.core.testing.contract import Contract
from cosolve.core.watchdog import Watchdog

MOST_RANKS: Final = 3
SECONDS: Final = 60.0
"""Longest time of one check on several ranks."""

_LAYOUTS: Final = ("", "with one that owns nothing ")

# More ranks than cores: Open MPI 4 and 5 ask to be told, other launchers do not mind.
_SURROUNDINGS: Final = {
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def address(offer: Offer) -> str:
    """Return the text that names an offer on the command line of a rank."""
    return f"{offer.plugin}/{offer.role}/{offer.entry.name}"


def subject_of(offer: Offer) -> str:
    """Return what the table calls an offer."""
    return f"{offer.role} {offer.entry.name!r}"


def launcher() -> str:
    """Return the path of mpirun or mpiexec; empty where there is none, or no mpi4py."""
    if not any(Path(folder, "mpi4py").is_dir() for folder in sys.path if folder):
        return ""
    return shutil.which("mpirun") or shutil.which("mpiexec") or ""


def check_on_ranks(
    offers: Sequence[Offer],
    alone: Mapping[str, dict[str, Array]],
    *,
    most: int = MOST_RANKS,
    seconds: float = SECONDS,
) -> Iterator[Finding]:
    """Run the kits of several offers under mpirun on 2 to `most` ranks, and compare their answers with one rank's.

    Args:
        offers: What is checked; all that can work on several ranks.
        alone: What each answers on one rank, by subject, see `run_probe`.
        most: Largest number of ranks; there the last rank owns nothing.
        seconds: Longest time of one check.
    """
    mpirun = launcher()
    for ranks in range(2, most + 1):
        if not mpirun:
            for offer in offers:
                reason = "no mpirun and mpi4py here: install both to have ranks 2 and 3 checked"
                yield Finding(subject_of(offer), "ranks", f"on {ranks} ranks", "not run", reason, ranks)
            continue
        waiting = list(offers)
        while waiting:
            found, waiting = _launched(mpirun, ranks, ranks == most, waiting, alone, seconds)
            yield from found


def _launched(
    mpirun: str,
    ranks: int,
    empty: bool,
    offers: list[Offer],
    alone: Mapping[str, dict[str, Array]],
    seconds: float,
) -> tuple[list[Finding], list[Offer]]:
    """Run one job; return what it found, and the offers that are left after one that hung or died."""
    with tempfile.TemporaryDirectory(prefix="cosolve-check-") as name:
        folder = Path(name)
        command = [mpirun, "-n", str(ranks), sys.executable, "-m", "cosolve.core.testing.ranks", str(folder)]
        command += [str(seconds), "empty" if empty else "even", *map(address, offers)]
        environment = os.environ | _SURROUNDINGS
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, stdin=subprocess.DEVNULL
        )
        told = [_read(folder / f"rank-{rank}.jsonl") for rank in range(ranks)]
        answers = {path.stem: _arrays(path) for path in folder.glob("*.npz")}
    if not any(told):
        reason = _not_started(mpirun, done.stderr or done.stdout or f"exit code {done.returncode}")
        return [
            Finding(subject_of(offer), "ranks", f"on {ranks} ranks", "not run", reason, ranks) for offer in offers
        ], []
    findings = [Finding(**line["finding"]) for line in told[0] if "finding" in line]
    for index, offer in enumerate(offers):
        subject = subject_of(offer)
        for words in _LAYOUTS:
            found = answers.get(f"{index}{words.replace(' ', '-')}")
            kit = kit_of(offer)
            if found is not None and kit is not None:
                findings.append(compare(subject, kit, alone.get(subject, {}), found, ranks, words))
    if done.returncode == 0:
        return findings, []
    subject, check = _last_begun(told)
    reason = _why(told, subject, check, done.returncode, done.stderr)
    findings = [finding for finding in findings if (finding.subject, finding.check) != (subject, check)]
    findings.append(Finding(subject, "ranks", check, "failed", reason, ranks))
    place = next((index for index, offer in enumerate(offers) if subject_of(offer) == subject), len(offers))
    return findings, offers[place + 1 :]


def _not_started(mpirun: str, words: str) -> str:
    if "ALLOW_RUN_AS_ROOT" in words:
        return "Open MPI refuses to run as root: set OMPI_ALLOW_RUN_AS_ROOT=1 and OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
    return f"{mpirun} did not start: {' '.join(words.split())[:300]}"


def _arrays(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:  # the rank died within a line
            break
    return found


def _last_begun(told: Sequence[list[dict[str, Any]]]) -> tuple[str, str]:
    """Return subject and check that the slowest rank was at."""
    begun = [[line["begin"] for line in lines if "begin" in line] for lines in told]
    slowest = min((lines for lines in begun if lines), key=len, default=[["the plugin", "starting"]])
    subject, check = slowest[-1]
    return subject, check


def _why(told: Sequence[list[dict[str, Any]]], subject: str, check: str, code: int, stderr: str) -> str:
    """Return the root cause of a job that hung or died, as far as a rank wrote it down."""
    for rank, lines in enumerate(told):
        for line in lines:
            if line.get("local") == [subject, check]:
                return (
                    f"on rank {rank}: {line['reason']}; the other ranks waited for it until the watchdog ended the job"
                )
    if code == 5:
        where = next((line for line in stderr.splitlines() if line.strip().startswith('File "')), "").strip()
        return "the ranks wait for each other: a collective call that not all of them make" + (
            f" (a rank was at {where})" if where else ""
        )
    words = [line for line in stderr.splitlines() if line.strip() and not line.startswith("-")]
    return f"the job died with exit code {code}: {words[0].strip() if words else 'no message'}"


def main(arguments: Sequence[str]) -> None:
    """Run the kits on this rank (collective)."""
    folder, seconds, empty = Path(arguments[0]), float(arguments[1]), arguments[2] == "empty"
    offers = {address(offer): offer for offer in Registry.discover().offers()}
    chosen = [offers[name] for name in arguments[3:]]
    # Before the watchdog starts: importing a heavy library on all ranks at once takes long.
    kits = [(subject_of(offer), kit_of(offer)) for offer in chosen]
    path = folder / f"rank-{world().Get_rank()}.jsonl"
    with path.open("w", buffering=1, encoding="utf-8") as file, Watchdog(seconds) as watchdog:
        for index, (subject, kit) in enumerate(kits):
            if kit is not None:
                _check(index, subject, kit, empty, file, folder, watchdog)


def _check(
    index: int,
    subject: str,
    kit: type[Contract],
    empty: bool,
    file: IO[str],
    folder: Path,
    watchdog: Watchdog,
) -> None:
    ranks = world().Get_size()

    def write(**line: Any) -> None:
        file.write(json.dumps(line) + "\n")

    def begin(check: str) -> None:
        watchdog.beat()
        write(begin=[subject, check])

    def note(check: str, reason: str) -> None:
        write(local=[subject, check], reason=reason)

    for finding in run_kit(kit, subject, begin=begin, note=note, empty_rank=empty):
        write(finding=asdict(finding))
    for number, words in enumerate(_LAYOUTS):
        check = f"answers on {ranks} ranks {words}are those on one"
        begin(check)
        found, reason = run_probe(kit, subject, empty_rank=number == 1)
        if reason:
            write(finding=asdict(Finding(subject, "ranks", check, "failed", reason, ranks)))
        elif world().Get_rank() == 0:
            np.savez(folder / f"{index}{words.replace(' ', '-')}.npz", **found)


if __name__ == "__main__":
    main(sys.argv[1:])
