"""Rejected proposals, kept as a bounded training set: what was asked, what was proposed, what was right."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.query import Query

_BATCH: Final = 16
_BATCH_BYTES: Final = 32 * 2**20
_LIMIT_BYTES: Final = 256 * 2**20


class RejectedProposals:
    """Collects rejections in memory and writes them in batches, one `.npz` without pickle for each batch and rank.

    When `limit` is reached the oldest batch is overwritten: the newest rejections are those of the surrogate as it is
    now. Each file holds, for samples i = 0, 1, ...: `state_i`, `proposal_i`, `answer_i` (owned values of this rank),
    and the arrays `step`, `t`, `dt`, `source` and, for scalar parameters, `parameter_NAME`.

    Args:
        directory: Folder of the files, made with the first batch.
        rank: This rank; part of the file names.
        limit: Largest number of samples; 0 keeps none.
        resume: Keep the batches that a run before this one left, rather than replace them.
    """

    def __init__(self, directory: Path, rank: int, limit: int, *, resume: bool = False) -> None:
        self.failure = ""
        self.count = 0
        self._directory = directory
        self._rank = rank
        self._limit = limit
        self._batch = min(_BATCH, limit)
        self._resume = resume
        self._written = -1
        self._waiting: list[tuple[Query, str, Array, Array]] = []

    def fit_to(self, sample_bytes: int) -> None:
        """Bound memory and disk: at most 32 MiB wait, at most 256 MiB lie on disk, for each rank (not collective).

        Args:
            sample_bytes: Bytes of the largest state over the ranks, the same on every rank, so that the files of all
                ranks hold the same samples.
        """
        each = max(1, 3 * sample_bytes)
        self._limit = min(self._limit, max(1, _LIMIT_BYTES // each)) if self._limit > 0 else 0
        self._batch = min(self._batch, max(1, _BATCH_BYTES // each), self._limit)

    def add(self, query: Query, source: str, proposal: Array, answer: Array) -> None:
        """Keep one rejection (rank-local; the files of all ranks hold the same samples).

        Args:
            query: The question; its state is copied.
            source: Who proposed.
            proposal: The rejected values, shape `(n_owned,)`; copied.
            answer: The values that were committed instead; copied.
        """
        if self._limit <= 0 or self.failure:
            return
        kept = Query(query.state.copy(), query.t, query.dt, query.step, parameters=query.parameters)
        self._waiting.append((kept, source, proposal.copy(), answer.copy()))
        self.count += 1
        if len(self._waiting) >= self._batch:
            self.flush()

    def flush(self) -> None:
        """Write the samples that wait (rank-local); a failure is kept in `failure`, not raised."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        arrays: dict[str, Any] = {
            "step": np.array([query.step for query, *_ in waiting]),
            "t": np.array([query.t for query, *_ in waiting]),
            "dt": np.array([query.dt for query, *_ in waiting]),
            "source": np.array([source for _, source, *_ in waiting]),
        }
        for name in waiting[0][0].parameters:
            values = [query.parameters.get(name) for query, *_ in waiting]
            if all(isinstance(value, (int, float)) for value in values):
                arrays[f"parameter_{name}"] = np.array(values)
        for index, (query, _, proposal, answer) in enumerate(waiting):
            arrays[f"state_{index}"] = query.state
            arrays[f"proposal_{index}"] = proposal
            arrays[f"answer_{index}"] = answer
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            if self._written < 0:
                self._written = self._start()
            slot = self._written % -(-self._limit // self._batch)
            self._written += 1
            path = self._directory / f"batch-{slot:04d}.rank-{self._rank:04d}.npz"
            partial = path.with_suffix(".partial")
            with partial.open("wb") as file:
                np.savez(file, **arrays)
            os.replace(partial, path)
        except OSError as error:
            self.failure = f"the rejected proposals in {self._directory} cannot be written: {error.strerror or error}"

    def _start(self) -> int:
        """Return the number of the first batch; remove what an earlier run left unless this one resumes it."""
        old = sorted(self._directory.glob(f"batch-*.rank-{self._rank:04d}.npz"))
        if self._resume:
            return len(old)
        for path in old:
            path.unlink()
        return 0
