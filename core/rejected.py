"""Rejected proposals, kept as a bounded training set: what was asked, what was proposed, what was right."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.query import Query
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

_BATCH: Final = 16
_BATCH_BYTES: Final = 32 * 2**20
_LIMIT_BYTES: Final = 256 * 2**20

# Keeping rejections may take this share of the run's work. What a sample costs is estimated from its bytes, not
# measured, so that all ranks keep the same samples: a new file's pages were written with 370 MB/s on a small machine.
_SHARE: Final = 0.005
_BYTES_PER_SECOND: Final = 3e8
_SECONDS_PER_SAMPLE: Final = 5e-5
_FREE_SAMPLES: Final = 2

_ARRAYS: Final = ("state", "proposal", "answer")


class RejectedProposals:
    """Collects rejections in memory and writes them in batches, one safetensors file for each batch and rank.

    Bounded three times: at most 0.5 % of the run's work goes into it, at most `limit` samples (and 256 MiB a rank) lie
    on disk, after which the oldest batch is overwritten, and at most one batch waits in memory.

    Each file holds the arrays `state`, `proposal` and `answer`, shape `(samples, n_owned)`, of this rank, and in its
    metadata, under `samples`, a JSON list with step, t, dt, source and scalar parameters of each.

    Args:
        directory: Folder of the files, made with the first batch.
        rank: This rank; part of the file names.
        limit: Largest number of samples on disk; 0 keeps none.
        resume: Keep the batches that the run before this one left, rather than replace them.

    Attributes:
        failure: The sentence of a failed write; empty while all is well.
        seen: Rejections so far.
        count: Rejections kept so far.
    """

    def __init__(self, directory: Path, rank: int, limit: int, *, resume: bool = False) -> None:
        self.failure = ""
        self.seen = 0
        self.count = 0
        self._directory = directory
        self._rank = rank
        self._limit = limit
        self._batch = min(_BATCH, limit)
        self._price = _SECONDS_PER_SAMPLE
        self._credit = 0.0
        self._resume = resume
        self._written = -1
        self._samples: list[dict[str, Any]] = []
        self._values: list[tuple[Array, Array, Array]] = []

    def fit_to(self, sample_bytes: int) -> None:
        """Bound memory, disk and time by the size of a state (not collective).

        Args:
            sample_bytes: Bytes of the largest state over the ranks, the same on every rank, so that the files of all
                ranks hold the same samples.
        """
        self.flush()
        each = max(1, len(_ARRAYS) * sample_bytes)
        self._limit = min(self._limit, max(1, _LIMIT_BYTES // each)) if self._limit > 0 else 0
        self._batch = min(self._batch, max(1, _BATCH_BYTES // each), self._limit)
        self._price = _SECONDS_PER_SAMPLE + each / _BYTES_PER_SECOND
        self._credit = _FREE_SAMPLES * self._price

    def earn(self, work_seconds: float) -> None:
        """Take in the work of one transaction, the same on every rank: a share of it may be spent here."""
        self._credit = min(self._credit + _SHARE * work_seconds, _BATCH * self._price)

    def add(self, query: Query, source: str, proposal: Array, answer: Array) -> None:
        """Keep one rejection where that can be afforded (rank-local; all ranks keep the same samples).

        Args:
            query: The question.
            source: Who proposed.
            proposal: The rejected values, shape `(n_owned,)`, in memory that nobody writes to any more.
            answer: The values that were committed instead.
        """
        if self._limit <= 0 or self.failure:
            return
        self.seen += 1
        if self._credit < self._price:
            return
        self._credit -= self._price
        state = query.state
        if self._values and self._values[0][0].shape != state.shape:
            self.flush()
        # Sample by sample: the first touch of a buffer for the whole batch costs milliseconds.
        self._values.append((state.copy(), proposal, answer.copy()))
        self._samples.append(_described(query, source))
        self.count += 1
        if len(self._samples) >= self._batch:
            self.flush()

    def flush(self) -> None:
        """Write the samples that wait (rank-local); a failure is kept in `failure`, not raised."""
        if not self._samples:
            return
        samples, self._samples = self._samples, []
        kept, self._values = self._values, []
        arrays = {name: np.stack(parts) for name, parts in zip(_ARRAYS, zip(*kept, strict=True), strict=True)}
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            if self._written < 0:
                self._written = self._start()
            slot = self._written % -(-self._limit // self._batch)
            self._written += 1
            path = self._directory / f"batch-{slot:04d}.rank-{self._rank:04d}.safetensors"
            partial = path.with_suffix(".partial")
            save_file(arrays, partial, metadata={"samples": json.dumps(samples)})
            os.replace(partial, path)
        except (OSError, SafetensorError) as error:
            self.failure = f"the rejected proposals in {self._directory} cannot be written: {error}"

    def _start(self) -> int:
        """Return the number of the first batch; remove what an earlier run left unless this one resumes it."""
        old = sorted(self._directory.glob(f"batch-*.rank-{self._rank:04d}.safetensors"))
        if self._resume:
            return len(old)
        for path in old:
            path.unlink()
        return 0


def read_rejected(directory: Path, rank: int = 0) -> Iterator[tuple[dict[str, Any], dict[str, Array]]]:
    """Yield the samples that a run left in `directory` for one rank, batch by batch (not collective).

    Yields:
        What is known of a sample (step, t, dt, source, parameters), and its arrays `state`, `proposal`, `answer`.
    """
    for path in sorted(directory.glob(f"batch-*.rank-{rank:04d}.safetensors")):
        with safe_open(path, framework="np") as file:
            arrays = {name: file.get_tensor(name) for name in _ARRAYS}
            for index, sample in enumerate(json.loads(file.metadata()["samples"])):
                yield sample, {name: values[index] for name, values in arrays.items()}


def _described(query: Query, source: str) -> dict[str, Any]:
    scalars = {name: value for name, value in query.parameters.items() if isinstance(value, (int, float, str))}
    return {"step": query.step, "t": query.t, "dt": query.dt, "source": source, "parameters": scalars}
