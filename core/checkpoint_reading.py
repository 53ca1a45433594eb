"""Reads checkpoints, on any number of ranks; what is truncated, foreign or hostile is refused with a sentence.

On the ranks that wrote it a checkpoint comes back bit for bit. On others each rank looks for its own places (see
`places`) in the file of each rank that wrote, one file at a time.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.core.checkpoint import (
    CHECKPOINT_FOLDER,
    CHECKPOINT_VERSION,
    INDEX_NAME,
    Checkpoint,
    Spread,
    columns_of,
    complete,
    digest_of,
    rank_file,
)
from cosolve.core.communicator import Communicator
from cosolve.core.consensus import FaultAwareCommunicator
from cosolve.core.errors import BadInputError
from cosolve.core.places import Places, same_places, taken
from cosolve.core.query import Snapshot
from cosolve.core.together import together

_LARGEST_INDEX: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class _Index:
    """What `checkpoint.json` says."""

    step: int
    t: float
    history_t: list[float]
    owned: list[int]
    digests: list[str]
    arrays: dict[str, Spread]
    cells: list[float] | None
    notes: dict[str, Any]


def read_checkpoint(directory: Path | str, comm: Communicator, keys: Array | None = None) -> Checkpoint:
    """Read the newest complete checkpoint below `directory` (collective).

    Args:
        directory: Output folder of the run.
        comm: Communicator of this run, of any number of ranks.
        keys: Keys of the values that this rank owns, as `Checkpoint.keys`; None where the solver has none.

    Raises:
        BadInputError: There is none, it was written by another number of ranks and there are no keys to find the values
            by, or a file of it is truncated, changed or hostile; the same sentence on every rank.
    """
    raw = comm.raw if isinstance(comm, FaultAwareCommunicator) else comm
    rank, size = raw.Get_rank(), raw.Get_size()
    folder = Path(directory) / CHECKPOINT_FOLDER

    def newest() -> tuple[Path, _Index]:
        found = complete(folder)
        if not found:
            raise BadInputError(f"there is no checkpoint in {folder}; start the run without resuming")
        return found[-1], _read_index(found[-1] / INDEX_NAME)

    what = f"reading the checkpoint in {folder}"
    path, index = raw.bcast(together(raw, what, lambda: newest() if rank == 0 else None, unexpected=BadInputError), 0)

    def own_file() -> Checkpoint | None:
        """Return what this rank itself wrote; None where other ranks wrote, or other places."""
        if len(index.owned) != size:
            return None
        written = _read_file(path, index, rank)
        if keys is None or written.keys is None or index.cells is None:
            return written
        here = same_places(columns_of(keys), columns_of(written.keys), np.array(index.cells))
        return written if here else None

    mine = together(raw, what, own_file, unexpected=BadInputError)
    if all(raw.allgather(mine is not None)):
        assert mine is not None
        return mine
    found, used = together(raw, what, lambda: _gathered(path, index, keys, rank, size), unexpected=BadInputError)
    everywhere = np.zeros_like(used)
    raw.Allreduce(used, everywhere)
    if not np.array_equal(everywhere, np.ones_like(everywhere)):
        lost, twice = int(np.count_nonzero(everywhere == 0)), int(np.count_nonzero(everywhere > 1))
        raise BadInputError(
            f"the checkpoint in {path} does not fit: {lost} of its {len(used)} values are nobody's, {twice} have "
            "several places; give the mesh and space of the run that wrote it"
        )
    return found


def check_checkpoint(directory: Path | str) -> int:
    """Check every file of the newest complete checkpoint below `directory`; return its step (not collective).

    Raises:
        BadInputError: There is none, or a file of it is truncated, changed or hostile.
    """
    folder = Path(directory) / CHECKPOINT_FOLDER
    found = complete(folder)
    if not found:
        raise BadInputError(f"there is no checkpoint in {folder}")
    index = _read_index(found[-1] / INDEX_NAME)
    for rank in range(len(index.owned)):
        _read_file(found[-1], index, rank)
    return index.step


def _gathered(
    path: Path, index: _Index, keys: Array | None, rank: int, size: int
) -> tuple[Checkpoint, npt.NDArray[np.int64]]:
    """Return this rank's part of a checkpoint that other ranks wrote, and how often it took each value (local)."""
    writers = len(index.owned)
    if keys is None or index.cells is None:
        raise BadInputError(
            f"{path / INDEX_NAME} was written by {writers} ranks, this run has {size}, and the solver gives no keys by "
            f"which values are found again (`Solver._canonical_keys`); start {writers} ranks"
        )
    own = [name for name, spread in index.arrays.items() if spread == "own"]
    if own:
        raise BadInputError(
            f"{path / INDEX_NAME} was written by {writers} ranks, this run has {size}, and {own[0]!r} is each rank's "
            f"own: neither spread like the state nor the same everywhere; start {writers} ranks"
        )
    keys = columns_of(keys)
    places = Places(keys, np.array(index.cells))
    spread: dict[str, Array] = {}
    same: Mapping[str, Array] = {}
    random: Mapping[str, Array] = {}
    used = np.zeros(sum(index.owned), dtype=np.int64)
    for writer in range(writers):
        written = _read_file(path, index, writer)
        assert written.keys is not None
        if columns_of(written.keys).shape[1] != keys.shape[1]:
            raise BadInputError(
                f"the checkpoint in {path} is of another problem: its keys have {written.keys.shape[-1]} columns, "
                f"those of this solver {keys.shape[1]}"
            )
        mine, rows = places.find(columns_of(written.keys))
        np.add.at(used, sum(index.owned[:writer]) + rows, 1)
        parts: dict[str, Array] = {"state": written.state}
        parts |= {f"history/{number}": snapshot.state for number, snapshot in enumerate(written.history)}
        parts |= {name: array for name, array in written.arrays.items() if index.arrays.get(name) == "spread"}
        for name, part in parts.items():
            if name not in spread:
                spread[name] = np.zeros((*part.shape[:-1], len(keys)), dtype=part.dtype)
            taken(part, mine, rows, spread[name])
        if writer == 0:
            same = {name: array for name, array in written.arrays.items() if name not in parts}
        if writer == min(rank, writers - 1):
            random = written.random
    trouble = places.trouble()
    if trouble:
        raise BadInputError(f"the checkpoint in {path} does not fit on rank {rank}: {trouble}")
    history = tuple(Snapshot(t, spread.pop(f"history/{number}")) for number, t in enumerate(index.history_t))
    state = spread.pop("state")
    return Checkpoint(index.step, index.t, state, history, {**spread, **same}, index.notes, keys, random), used


def _read_index(path: Path) -> _Index:
    try:
        if path.stat().st_size > _LARGEST_INDEX:
            raise ValueError(f"it has {path.stat().st_size} bytes")
        index = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(index, dict):
            raise ValueError("it is no table")
        version = index["version"]
        if version != CHECKPOINT_VERSION:
            raise BadInputError(
                f"{path} has version {version!r}, this cosolve reads {CHECKPOINT_VERSION}; use the one that wrote it"
            )
        found = _Index(
            step=int(index["step"]),
            t=float(index["t"]),
            history_t=[float(t) for t in index["history_t"]],
            owned=[int(count) for count in index["owned"]],
            digests=[str(digest) for digest in index["digests"]],
            arrays={str(name): str(spread) for name, spread in dict(index["arrays"]).items()},  # type: ignore[misc]  # checked below
            cells=None if index["cells"] is None else [float(cell) for cell in index["cells"]],
            notes=dict(index["notes"]),
        )
        if found.step < 0 or not all(map(math.isfinite, (found.t, *found.history_t))):
            raise ValueError(f"step {found.step} at t = {found.t!r}")
        if len(found.owned) != len(found.digests) or not found.owned:
            raise ValueError(f"{len(found.owned)} ranks with {len(found.digests)} digests")
        if not set(found.arrays.values()) <= {"spread", "same", "own"}:
            raise ValueError("an array is neither spread, same nor own")
        if found.cells is not None and not all(0.0 < cell < math.inf for cell in found.cells):
            raise ValueError("a cell of the lattice has no length")
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise BadInputError(
            f"{path} is no index of a checkpoint ({type(error).__name__}: {error}); remove it"
        ) from error
    return found


def _read_file(folder: Path, index: _Index, rank: int) -> Checkpoint:
    """Return what one rank wrote, checked."""
    path = folder / rank_file(rank)
    try:
        if digest_of(path) != index.digests[rank]:
            raise BadInputError(f"{path} is truncated or was changed (its SHA-256 is not that of {INDEX_NAME})")
        arrays = _load(path)
        state = arrays["state"]
        history = tuple(Snapshot(t, arrays[f"history/{i}"]) for i, t in enumerate(index.history_t))
    except (OSError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile) as error:
        raise BadInputError(f"{path} is no checkpoint ({type(error).__name__}: {error}); remove its folder") from error
    owned = index.owned[rank]
    if state.shape != (owned,):
        raise BadInputError(f"{path}: the state must have shape ({owned},), got {state.shape}")
    for array in (state, *(snapshot.state for snapshot in history)):
        if array.shape != state.shape or array.dtype != state.dtype or not np.isfinite(array).all():
            raise BadInputError(
                f"{path}: the state and those before it must be finite and alike, of shape {state.shape} and "
                f"{state.dtype}, and one is not; remove its folder"
            )
    memory = _below("memory/", arrays)
    for name, spread in index.arrays.items():
        if name not in memory or (spread == "spread" and memory[name].shape[-1:] != (owned,)):
            raise BadInputError(f"{path}: {name!r} is not there, or not spread as {INDEX_NAME} says; remove its folder")
    keys = arrays.get("keys")
    if index.cells is not None and (keys is None or keys.shape != (owned, len(index.cells))):
        raise BadInputError(f"{path}: the keys must have shape {(owned, len(index.cells))}; remove its folder")
    return Checkpoint(index.step, index.t, state, history, memory, index.notes, keys, _below("random/", arrays))


def _below(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


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
