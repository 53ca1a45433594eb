"""The ledger: what a run leaves behind, one JSON record a line, written by rank 0 and flushed record by record.

JSON lines rather than a database: file locks fail on cluster file systems, and a line that an interruption cut short
spoils nothing but itself.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final, TextIO

from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.core.consensus import FaultAwareCommunicator
from cosolve.core.errors import BadInputError, OutputError
from cosolve.core.rejected import RejectedProposals

LEDGER_NAME: Final = "ledger.jsonl"
LEDGER_VERSION: Final = 1


class Ledger:
    """Writes the records of a run.

    A file that can no longer be written while a run goes on (a full disk) is kept as `failure` and told to all ranks
    at the session's next agreement, which raises `OutputError` everywhere; `write` itself never raises.

    Args:
        directory: Output folder; made when it is missing.
        comm: Communicator of the run; None for a serial run. The constructor is collective over it.
        resume: Append to the ledger that is there, rather than start a new one.
        rejected_limit: How many rejected proposals each rank keeps in `rejected/`; 0 keeps none.

    Attributes:
        directory: The output folder.
        failure: The sentence of the first failed write on this rank; empty while all is well.
        rejected: The bounded training set of rejected proposals.

    Raises:
        OutputError: The folder or the file cannot be written; the same on every rank.
    """

    def __init__(
        self,
        directory: Path | str,
        comm: Communicator | None = None,
        *,
        resume: bool = False,
        rejected_limit: int = 256,
    ) -> None:
        self.directory = Path(directory)
        self.failure = ""
        self._file: TextIO | None = None
        comm = SerialCommunicator() if comm is None else comm
        raw = comm.raw if isinstance(comm, FaultAwareCommunicator) else comm
        self.rank = raw.Get_rank()
        sentence = self._open(resume) if self.rank == 0 else ""
        sentence = raw.bcast(sentence, root=0)
        if sentence:
            raise OutputError(sentence)
        self.rejected = RejectedProposals(self.directory / "rejected", self.rank, rejected_limit, resume=resume)
        self.write("ledger", version=LEDGER_VERSION, ranks=raw.Get_size(), resumed=resume)

    def write(self, kind: str, **values: Any) -> None:
        """Write one record and flush it (rank 0; nothing on other ranks; not collective).

        Args:
            kind: What it records: "step", "governor", "solve", "observer_fault", "checkpoint", ...
            values: JSON values; numpy scalars and small arrays are converted. Numbers that JSON has no word for are
                written as the strings "nan", "inf" and "-inf", which `float` reads.
        """
        if self._file is None or self.failure:
            return
        try:
            self._file.write(encode({"kind": kind, **values}))
            self._file.flush()
        except OSError as error:
            self.failure = f"the ledger {self.directory / LEDGER_NAME} cannot be written: {error.strerror or error}"

    def flush(self) -> None:
        """Write the rejected proposals that wait in memory (rank-local)."""
        self.rejected.flush()
        if self.rejected.failure and not self.failure:
            self.failure = self.rejected.failure

    def close(self) -> None:
        """Write what waits and close the file (rank-local). Idempotent."""
        self.flush()
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                self.failure = self.failure or f"the ledger could not be closed: {error.strerror or error}"
            self._file = None

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open(self, resume: bool) -> str:
        path = self.directory / LEDGER_NAME
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            if resume and path.exists():
                _cut_half_line(path)
            # A stream that stays open for the run, closed by `close`.
            self._file = path.open("a" if resume else "w", encoding="utf-8")
        except OSError as error:
            return (
                f"the output folder {self.directory} cannot be written: {error.strerror or error}; "
                "give another one ([output] directory, or --output) or free the space"
            )
        return ""


def encode(record: dict[str, Any]) -> str:
    r"""Return the record as one line of strict JSON, with its line end.

    >>> encode({"kind": "step", "measure": float("nan")})
    '{"kind":"step","measure":"nan"}\n'
    """
    try:
        return _ENCODER.encode(record) + "\n"
    except (TypeError, ValueError):
        pass
    try:
        return _ENCODER.encode(_spelt(record)) + "\n"
    except Exception as error:  # a plugin's notes may hold anything: rank 0 must not fail alone over them
        plain = {name: value for name, value in record.items() if isinstance(value, str | int | float | bool)}
        return _ENCODER.encode(_spelt(plain) | {"lost": f"{type(error).__name__}: {error}"}) + "\n"


def read_ledger(directory: Path | str) -> list[dict[str, Any]]:
    """Return the records of a run, oldest first; a last line that was cut short is left out (not collective).

    Args:
        directory: The run's output folder, or the ledger file itself.

    Raises:
        BadInputError: There is no ledger, or a line other than the last is no record; names file and line.
    """
    path = Path(directory)
    if path.is_dir():
        path = path / LEDGER_NAME
    try:
        # Bytes that are not UTF-8 make the line unreadable, not the whole file.
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise BadInputError(
            f"no ledger can be read at {path}: {error.strerror or error}; give the output folder of a cosolve run"
        ) from error
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or "kind" not in record:
                raise ValueError("no record with a kind")
        except ValueError as error:
            if number == len(lines):
                break
            raise BadInputError(
                f"{path} line {number} is no ledger record ({error}); the file was changed after the run"
            ) from error
        records.append(record)
    return records


def _cut_half_line(path: Path) -> None:
    """Drop what an interruption left after the last line end, so that appended records start on a line of their own."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end != len(content):
        with path.open("r+b") as file:
            file.truncate(end)


def _plain(value: Any) -> Any:
    """Return a JSON value for what the encoder does not know: numpy scalars and arrays, sets, paths, enums."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


def _spelt(value: Any) -> Any:
    """Return `value` with the numbers that JSON lacks spelt out."""
    if isinstance(value, float):
        if math.isnan(value):
            return "nan"
        return ("inf" if value > 0.0 else "-inf") if math.isinf(value) else value
    if isinstance(value, dict):
        return {str(key): _spelt(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spelt(item) for item in value]
    if hasattr(value, "tolist"):
        return _spelt(value.tolist())
    return value


_ENCODER: Final = json.JSONEncoder(allow_nan=False, default=_plain, separators=(",", ":"))
