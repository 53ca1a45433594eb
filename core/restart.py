"""What a restart needs, taken from a run and given back to one: state, memories, random generators, options."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.checkpoint import Checkpoint, write_checkpoint
from cosolve.core.checkpoint_reading import read_checkpoint
from cosolve.core.errors import BadInputError
from cosolve.core.option_layers import flatten
from cosolve.core.query import Snapshot
from cosolve.core.random_state import random_state, restore_random_state
from cosolve.core.surrogate import Surrogate
from cosolve.core.together import together

if TYPE_CHECKING:
    from cosolve.core.session import Session

_LOGGER = logging.getLogger("cosolve.restart")
_RESTART: Final = "solver-restart"
_FREE: Final = ("output.", "case.name", "watchdog.", "governor.")
"""Options that may differ between a run and its restart without a word."""


class Restart:
    """Writes the checkpoints of one run, and restores it from one. All public methods are collective.

    Args:
        session: The session of the run.
        proposers: Who may propose.
        directory: The output folder.
        options: Effective options of the run, JSON values; a restart says which of them it changed.
    """

    def __init__(
        self, session: Session, proposers: Sequence[Surrogate], directory: Path, options: Mapping[str, Any]
    ) -> None:
        self._session, self._proposers, self._directory = session, tuple(proposers), directory
        self._options: dict[str, Any] = json.loads(json.dumps(dict(options), default=str))
        self._keys: Array | None = None
        self._known = False
        self._fingerprints: dict[str, str] = {}

    def write(self, step: int, t: float, state: Array, history: tuple[Snapshot, ...]) -> Path:
        """Write a checkpoint; return its folder.

        Raises:
            OutputError: It cannot be written; on every rank.
            RankFaultError: The memory of solver or a proposer cannot be had; on every rank.
        """
        session = self._session
        # A memory that cannot be had on one rank is the same fault on all, before anything is written.
        arrays, notes = session.consensus.run("the memory for a checkpoint", step, self._memories)
        checkpoint = Checkpoint(step, t, state, history, arrays, notes, self._keys, random_state())
        path = write_checkpoint(self._directory, session.consensus.comm, checkpoint)
        if session.ledger is not None:
            session.ledger.flush()
            session.ledger.write("checkpoint", step=step, t=t, folder=path.name)
        return path

    def read(self) -> Checkpoint:
        """Restore solver, proposers, session and random generators from the newest checkpoint, and return it.

        Raises:
            BadInputError: There is no usable checkpoint, or it does not fit the solver or the proposers.
        """
        session, comm = self._session, self._session.consensus.comm
        what = f"resuming from the checkpoint in {self._directory}"
        together(comm, what, self._find_keys, unexpected=BadInputError)
        checkpoint = read_checkpoint(self._directory, comm, self._keys)
        start = session.solver.initial_state()
        changed = together(comm, what, lambda: self._restore(checkpoint, start), unexpected=BadInputError)
        session.consensus.run(f"solver {session.solver.name!r}", checkpoint.step, lambda: self._restart(checkpoint))
        if changed and comm.rank == 0:
            _LOGGER.warning("the run goes on with other options than before: %s", ", ".join(changed))
        if session.ledger is not None:
            session.ledger.write("resumed", step=checkpoint.step, t=checkpoint.t, changed=changed)
        return checkpoint

    def _find_keys(self) -> None:
        if not self._known:
            self._keys = self._session.solver.canonical_keys()
            self._fingerprints = {proposer.name: proposer.fingerprint() for proposer in self._proposers}
            self._known = True

    def _memories(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return arrays and JSON notes of this rank."""
        self._find_keys()
        solver = self._session.solver
        arrays = {f"solver/{name}": array for name, array in solver.memory().items()}
        notes: dict[str, Any] = {}
        for name, item in solver.restart_memory().items():
            if isinstance(item, np.ndarray):
                arrays[f"{_RESTART}/{name}"] = item
            else:
                notes[name] = item
        for proposer in self._proposers:
            arrays |= {f"proposer/{proposer.name}/{name}": array for name, array in proposer.memory().items()}
        told = {
            "solver": solver.name,
            "solver_restart": notes,
            "surrogates": self._fingerprints,
            "options": self._options,
        }
        return arrays, {**self._session.memory(), **told}

    def _restore(self, checkpoint: Checkpoint, start: Array) -> list[str]:
        """Take back what does not communicate; return the options that differ (rank-local).

        Raises:
            BadInputError: It is of another problem, solver or surrogate.
        """
        found, notes = checkpoint.state, checkpoint.notes
        if found.shape != start.shape or found.dtype != start.dtype:
            raise BadInputError(
                f"the checkpoint in {self._directory} is of another problem: "
                f"this rank owns {start.size} values of {start.dtype}, the checkpoint has {found.size} of {found.dtype}"
            )
        solver = self._session.solver
        if notes.get("solver", solver.name) != solver.name:
            raise BadInputError(
                f"the checkpoint in {self._directory} was written by solver {notes['solver']!r}, this run has "
                f"{solver.name!r}; start the run without resuming"
            )
        self._check_surrogates(notes.get("surrogates", {}))
        memories: dict[str, dict[str, Array]] = {}
        for name, array in checkpoint.arrays.items():
            owner, _, key = name.rpartition("/")
            memories.setdefault(owner, {})[key] = array
        if "solver" in memories:
            solver.restore(memories["solver"])
        for proposer in self._proposers:
            memory = memories.get(f"proposer/{proposer.name}")
            if memory is not None:
                proposer.restore(memory)
        self._session.restore(notes)
        restore_random_state(checkpoint.random)
        return _changed(notes.get("options", {}), self._options)

    def _restart(self, checkpoint: Checkpoint) -> None:
        arrays = {
            name.removeprefix(f"{_RESTART}/"): array
            for name, array in checkpoint.arrays.items()
            if name.startswith(f"{_RESTART}/")
        }
        self._session.solver.restart_from({**arrays, **dict(checkpoint.notes.get("solver_restart", {}))})

    def _check_surrogates(self, written: Mapping[str, str]) -> None:
        for name, fingerprint in self._fingerprints.items():
            before = written.get(name, "")
            if before and fingerprint and before != fingerprint:
                raise BadInputError(
                    f"the checkpoint in {self._directory} was written with another surrogate {name!r} (SHA-256 "
                    f"{before[:12]}..., this one has {fingerprint[:12]}...); give the same model file, or another name"
                )


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the keys of options that differ, where both runs had any."""
    if not before or not now:
        return []
    old, new = flatten(before), flatten(now)
    keys = sorted(old.keys() | new.keys())
    return [key for key in keys if old.get(key) != new.get(key) and not key.startswith(_FREE)]


def fingerprint_of(settings: Mapping[str, Any], tensors: Mapping[str, Array]) -> str:
    """Return the SHA-256 of settings and arrays, whatever their order."""
    digest = hashlib.sha256(json.dumps(dict(settings), sort_keys=True, default=str).encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
