"""Checkpoints: one `.npz` without pickle for each rank and one JSON file, complete or not there at all.

A checkpoint is written to a folder `step-N.partial` and renamed to `step-N` when every rank is done, so a run that is
killed at any moment leaves the one before it intact.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.consensus import FaultAwareCommunicator
from cosolve.core.errors import BadInputError, OutputError
from cosolve.core.query import Snapshot
from cosolve.core.together import together

CHECKPOINT_FOLDER: Final = "checkpoints"
_VERSION: Final = 1
_KEPT: Final = 2


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that a restart needs.

    Attributes:
        step: Number of the next transaction.
        t: Time that was reached.
        state: The last accepted state, owned values of this rank.
        history: Accepted states before it, newest first.
        arrays: Memory of solver and proposers, by name; owned or replicated, of this rank.
        notes: JSON values, the same on every rank: memory of governor and tournament, say.
    """

    step: int
    t: float
    state: Array
    history: tuple[Snapshot, ...] = ()
    arrays: Mapping[str, Array] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


def write_checkpoint(directory: Path | str, comm: Communicator, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint below `directory` and return its folder (collective); the newest two are kept.

    Raises:
        OutputError: A rank cannot write; the same sentence on every rank.
    """
    raw = comm.raw if isinstance(comm, FaultAwareCommunicator) else comm
    rank = raw.Get_rank()
    folder = Path(directory) / CHECKPOINT_FOLDER
    final = folder / f"step-{checkpoint.step:08d}"
    partial = final.with_name(final.name + ".partial")

    def write_rank() -> tuple[str, int]:
        partial.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {f"memory/{name}": array for name, array in checkpoint.arrays.items()}
        arrays |= {f"history/{index}": snapshot.state for index, snapshot in enumerate(checkpoint.history)}
        path = partial / _rank_file(rank)
        with path.open("wb") as file:
            np.savez(file, state=checkpoint.state, **arrays)
            file.flush()
            os.fsync(file.fileno())
        return _digest(path), int(checkpoint.state.size)

    def write_index(written: list[tuple[str, int]]) -> None:
        index = {
            "version": _VERSION,
            "step": checkpoint.step,
            "t": checkpoint.t,
            "history_t": [snapshot.t for snapshot in checkpoint.history],
            "owned": [owned for _, owned in written],
            "digests": [digest for digest, _ in written],
            "notes": checkpoint.notes,
        }
        with (partial / "checkpoint.json").open("w", encoding="utf-8") as file:
            json.dump(index, file)
            file.flush()
            os.fsync(file.fileno())
        if final.exists():  # of the same step: kept under another name until there is the new one
            os.replace(final, final.with_name(f"{final.name}.replaced"))
        os.replace(partial, final)
        shutil.rmtree(final.with_name(f"{final.name}.replaced"), ignore_errors=True)
        for old in _complete(folder)[:-_KEPT]:
            shutil.rmtree(old)

    what = f"writing the checkpoint {final}"
    written = raw.allgather(together(raw, what, write_rank, unexpected=OutputError))
    together(raw, what, lambda: write_index(written) if rank == 0 else None, unexpected=OutputError)
    return final


def remove_checkpoints(directory: Path | str, comm: Communicator) -> None:
    """Remove what an earlier run left below `directory`, which nobody must resume by mistake (collective).

    Raises:
        OutputError: It cannot be removed; the same sentence on every rank.
    """
    raw = comm.raw if isinstance(comm, FaultAwareCommunicator) else comm
    folder = Path(directory) / CHECKPOINT_FOLDER

    def remove() -> None:
        if raw.Get_rank() == 0:
            for old in folder.glob("step-*"):
                shutil.rmtree(old)

    together(raw, f"removing the checkpoints of an earlier run in {folder}", remove, unexpected=OutputError)


def read_checkpoint(directory: Path | str, comm: Communicator) -> Checkpoint:
    """Read the newest complete checkpoint below `directory` (collective).

    Raises:
        BadInputError: There is none, it was written by another number of ranks, or a file of it is truncated,
            changed or hostile; the same sentence on every rank.
    """
    raw = comm.raw if isinstance(comm, FaultAwareCommunicator) else comm
    rank, size = raw.Get_rank(), raw.Get_size()
    folder = Path(directory) / CHECKPOINT_FOLDER

    def read_index() -> tuple[Path, dict[str, Any]]:
        complete = _complete(folder)
        if not complete:
            raise BadInputError(f"there is no checkpoint in {folder}; start the run without resuming")
        return complete[-1], _read_index(complete[-1] / "checkpoint.json", size)

    what = f"reading the checkpoint in {folder}"
    found = together(raw, what, lambda: read_index() if rank == 0 else None, unexpected=BadInputError)
    path, index = raw.bcast(found, root=0)
    return together(raw, what, lambda: _read_rank(path / _rank_file(rank), index, rank), unexpected=BadInputError)


def _read_index(path: Path, size: int) -> dict[str, Any]:
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        owned = [int(count) for count in index["owned"]]
        digests = [str(digest) for digest in index["digests"]]
        history_t = [float(t) for t in index["history_t"]]
        step, t, notes, version = int(index["step"]), float(index["t"]), dict(index["notes"]), index["version"]
        if step < 0 or not all(map(math.isfinite, (t, *history_t))):
            raise ValueError(f"step {step} at t = {t!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(
            f"{path} is no index of a checkpoint ({type(error).__name__}: {error}); remove it"
        ) from error
    if version != _VERSION:
        raise BadInputError(f"{path} has version {version!r}, this cosolve reads {_VERSION}; use the one that wrote it")
    if not len(owned) == len(digests) == size:
        raise BadInputError(f"{path} was written by {len(owned)} ranks, this run has {size}; start {len(owned)} ranks")
    return {
        "owned": owned, "digests": digests, "history_t": history_t, "step": step, "t": t, "notes": notes,
    }  # fmt: skip


def _read_rank(path: Path, index: dict[str, Any], rank: int) -> Checkpoint:
    try:
        if _digest(path) != index["digests"][rank]:
            raise BadInputError(f"{path} is truncated or was changed (its SHA-256 is not that of checkpoint.json)")
        arrays = _load(path)
        state = arrays["state"]
        history = tuple(Snapshot(t, arrays[f"history/{i}"]) for i, t in enumerate(index["history_t"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BadInputError(f"{path} is no checkpoint ({type(error).__name__}: {error}); remove its folder") from error
    if state.shape != (index["owned"][rank],):
        raise BadInputError(f"{path}: the state must have shape ({index['owned'][rank]},), got {state.shape}")
    for array in (state, *(snapshot.state for snapshot in history)):
        if array.shape != state.shape or array.dtype != state.dtype or not np.isfinite(array).all():
            raise BadInputError(
                f"{path}: the state and those before it must be finite and alike, of shape {state.shape} and "
                f"{state.dtype}, and one is not; remove its folder"
            )
    memory = {name.removeprefix("memory/"): array for name, array in arrays.items() if name.startswith("memory/")}
    return Checkpoint(index["step"], index["t"], state, history, memory, index["notes"])


def _load(path: Path) -> dict[str, Array]:
    """Load an `.npz` whose every array is as large as it says, before anything of that size is allocated."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]  # numpy's own
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(file)  # type: ignore[no-untyped-call]  # numpy's own
                expected = file.tell() + dtype.itemsize * int(np.prod(shape, dtype=object))
            if dtype.hasobject or member.compress_type != zipfile.ZIP_STORED or member.file_size != expected:
                raise ValueError(
                    f"the array {member.filename!r} says it has shape {shape} of {dtype}, which it has not"
                )
    with np.load(path, allow_pickle=False) as archive:
        for name in archive.files:
            arrays[name] = archive[name]
    return arrays


def _complete(folder: Path) -> list[Path]:
    """Return the complete checkpoints, oldest first."""
    return sorted(path.parent for path in folder.glob("step-*/checkpoint.json") if path.parent.suffix != ".partial")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rank_file(rank: int) -> str:
    return f"rank-{rank:04d}.npz"
