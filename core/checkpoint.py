"""Checkpoints: one `.npz` without pickle for each rank and one JSON file, complete or not there at all.

A checkpoint is written to a folder `step-N.partial` and renamed to `step-N` when every rank is done, so a run that is
killed at any moment leaves the one before it intact. `checkpoint_reading` reads it, on any number of ranks.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.consensus import FaultAwareCommunicator
from cosolve.core.errors import OutputError
from cosolve.core.places import lattice_of
from cosolve.core.query import Snapshot
from cosolve.core.together import together

CHECKPOINT_FOLDER: Final = "checkpoints"
INDEX_NAME: Final = "checkpoint.json"
CHECKPOINT_VERSION: Final = 2
_KEPT: Final = 2

Spread = Literal["spread", "same", "own"]
"""Where an array of the memory lives: `spread` over the ranks along its last axis as the state is, the `same` on every
rank, or each rank's `own`, which has no meaning on another number of ranks."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that a restart needs.

    Attributes:
        step: Number of the next transaction.
        t: Time that was reached.
        state: The last accepted state, owned values of this rank.
        history: Accepted states before it, newest first.
        arrays: Memory of solver and proposers, by name. An array whose last axis has as many entries as this rank owns
            values is spread over the ranks; any other should be the same on every rank.
        notes: JSON values, the same on every rank: memory of governor, tournament and verifier, say.
        keys: A key for each owned value that does not depend on the ranks, shape `(n_owned, k)`; None where the solver
            has none, and then the checkpoint can only be read by as many ranks.
        random: States of the global random generators of this rank.
    """

    step: int
    t: float
    state: Array
    history: tuple[Snapshot, ...] = ()
    arrays: Mapping[str, Array] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    keys: Array | None = None
    random: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Written:
    """What a rank tells rank 0 of its file."""

    owned: int
    digest: str
    arrays: Mapping[str, tuple[bool, str]]
    extent: tuple[list[float], list[float]] | None


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
    what = f"writing the checkpoint {final}"
    mine = together(raw, what, lambda: _write_rank(partial, rank, checkpoint), unexpected=OutputError)
    written = raw.allgather(mine)

    def finish() -> None:
        if rank == 0:
            _write_index(partial, checkpoint, written)
            _put_in_place(folder, partial, final)

    together(raw, what, finish, unexpected=OutputError)
    return final


def _write_rank(partial: Path, rank: int, checkpoint: Checkpoint) -> _Written:
    partial.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {f"memory/{name}": array for name, array in checkpoint.arrays.items()}
    arrays |= {f"history/{index}": snapshot.state for index, snapshot in enumerate(checkpoint.history)}
    arrays |= {f"random/{name}": array for name, array in checkpoint.random.items()}
    keys = checkpoint.keys
    if keys is not None:
        arrays["keys"] = columns_of(keys)
    path = partial / rank_file(rank)
    # In memory first: on a full disk the archive's own end would print a traceback beside the sentence.
    packed = io.BytesIO()
    np.savez(packed, state=checkpoint.state, **arrays)
    with path.open("wb") as file:
        file.write(packed.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    owned = int(checkpoint.state.size)
    kinds = {name: (_is_spread(array, owned), _content(array)) for name, array in checkpoint.arrays.items()}
    extent = None
    if keys is not None:
        columns = arrays["keys"].shape[1]
        low = arrays["keys"].min(axis=0) if owned else np.full(columns, np.inf)
        high = arrays["keys"].max(axis=0) if owned else np.full(columns, -np.inf)
        extent = (low.tolist(), high.tolist())
    return _Written(owned, digest_of(path), kinds, extent)


def _write_index(partial: Path, checkpoint: Checkpoint, written: Sequence[_Written]) -> None:
    index = {
        "version": CHECKPOINT_VERSION,
        "step": checkpoint.step,
        "t": checkpoint.t,
        "history_t": [snapshot.t for snapshot in checkpoint.history],
        "owned": [one.owned for one in written],
        "digests": [one.digest for one in written],
        "arrays": {name: _spread(name, written) for name in checkpoint.arrays},
        "cells": _cells(written),
        "notes": checkpoint.notes,
    }
    with (partial / INDEX_NAME).open("w", encoding="utf-8") as file:
        json.dump(index, file)
        file.flush()
        os.fsync(file.fileno())


def _put_in_place(folder: Path, partial: Path, final: Path) -> None:
    if final.exists():  # of the same step: kept under another name until there is the new one
        os.replace(final, final.with_name(f"{final.name}.replaced"))
    os.replace(partial, final)
    shutil.rmtree(final.with_name(f"{final.name}.replaced"), ignore_errors=True)
    for old in complete(folder)[:-_KEPT]:
        shutil.rmtree(old)
    # What a killed run has left half-way.
    for left in folder.glob("step-*.partial"):
        shutil.rmtree(left, ignore_errors=True)


def _is_spread(array: Array, owned: int) -> bool:
    return array.ndim > 0 and array.shape[-1] == owned


def _content(array: Array) -> str:
    return f"{array.dtype}{array.shape}{hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()}"


def _spread(name: str, written: Sequence[_Written]) -> Spread:
    """Return where an array lives; the rank that owns nothing says nothing of it."""
    kinds = [one.arrays.get(name, (False, "")) for one in written]
    if all(spread for spread, _ in kinds) and any(one.owned for one in written):
        return "spread"
    return "same" if len({content for _, content in kinds}) == 1 else "own"


def _cells(written: Sequence[_Written]) -> list[float] | None:
    extents = [one.extent for one in written]
    if any(extent is None for extent in extents) or not any(one.owned for one in written):
        return None
    low = np.min([extent[0] for extent in extents if extent is not None], axis=0)
    high = np.max([extent[1] for extent in extents if extent is not None], axis=0)
    cells: list[float] = lattice_of(low, high).tolist()
    return cells


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


def complete(folder: Path) -> list[Path]:
    """Return the complete checkpoints in a folder, oldest first."""
    return sorted(path.parent for path in folder.glob(f"step-*/{INDEX_NAME}") if path.parent.suffix != ".partial")


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def columns_of(keys: Array) -> Array:
    """Return keys as floats of shape `(n, k)`."""
    found: Array = np.asarray(keys, dtype=np.float64)
    return found[:, None] if found.ndim == 1 else found


def rank_file(rank: int) -> str:
    """Return the name of a rank's file."""
    return f"rank-{rank:04d}.npz"
