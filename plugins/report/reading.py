"""From the records of a ledger to what a report shows; a ledger that was cut off gives what it has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cosolve.core.failures import failures, is_fault
from cosolve.core.ledger import read_ledger
from cosolve.core.result import Status
from cosolve.plugins.report.digest import NAN, Digest, ErrorRow, GovernorRow, Rival, StepRow, duration

Record = Mapping[str, Any]
_ENDS = ("finished", "stopped", "run_finished")
_SHOWN_FACTS = {"cosolve": "cosolve", "python": "Python", "dolfinx": "dolfinx", "petsc": "PETSc", "torch": "torch"}


def read_digest(directory: Path) -> Digest:
    """Read the ledger in `directory` (not collective).

    Raises:
        BadInputError: There is no ledger, or a line other than the last is damaged.
    """
    return digest_of(read_ledger(directory), Path(directory).name)


def digest_of(records: Iterable[Record], name: str = "run") -> Digest:
    """Distil the records of one run, oldest first.

    Args:
        records: As `read_ledger` gives them; kinds and keys that are unknown here are left alone.
        name: What to call a run whose ledger does not name its case.
    """
    by_kind: dict[str, list[Record]] = {}
    kept = _without_repeated(records)
    for record in kept:
        by_kind.setdefault(str(record.get("kind")), []).append(record)
    steps = tuple(step_row(record) for record in by_kind.get("step", ()))
    end = next((record for record in reversed(kept) if record.get("kind") in _ENDS), None)
    start = by_kind.get("run_started", [{}])[0]
    status = str(end.get("status", "")) if end is not None else "UNFINISHED"
    rivals = sorted((rival_of(record) for record in by_kind.get("comparison", ())), key=_best_first)
    return Digest(
        title=_title(start, name),
        status=status,
        message=_message(status, end),
        steps=steps,
        rivals=tuple(rivals),
        governor=tuple(governor_row(record) for record in by_kind.get("governor", ())),
        errors=tuple(
            ErrorRow(_float(record.get("t")), _float(record.get("error")), _float(record.get("estimate")))
            for record in by_kind.get("error", ())
        ),
        totals=_totals(by_kind),
        facts=_facts(by_kind, start),
        incomplete="" if end is not None else _unfinished(steps),
        failures=tuple(failures(kept)),
    )


def _without_repeated(records: Iterable[Record]) -> list[Record]:
    """Drop the steps that a resumed run did again: what lies after its checkpoint counts once, as repeated."""
    kept: list[Record] = []
    for record in records:
        if record.get("kind") == "resumed":
            again = int(record.get("step", 0))
            kept = [
                old
                for old in kept
                if old.get("kind") not in _ENDS
                and (old.get("kind") not in ("step", "governor") or int(old["step"]) < again)
            ]
        kept.append(record)
    return kept


def step_row(record: Record) -> StepRow:
    """Return one transaction; of several verdicts the accepting one counts, else the last one."""
    verdicts = [verdict for verdict in record.get("verdicts", ()) if isinstance(verdict, Mapping)]
    verdicts = [v for v in verdicts if not is_fault(v)] or verdicts
    verdict = next((v for v in verdicts if v.get("decision") == "accept"), verdicts[-1] if verdicts else {})
    fault = is_fault(verdict)
    cost = record.get("cost", {})
    return StepRow(
        step=int(record.get("step", 0)),
        t_end=_float(record.get("t"), 0.0) + _float(record.get("dt"), 0.0),
        source=str(record.get("source") or "none"),
        decision="fault" if fault else str(verdict.get("decision", "")),
        grade="" if fault else str(verdict.get("grade", "")),
        measure=_float(verdict.get("measure")),
        tolerance=_float(verdict.get("tolerance")),
        reason=str(verdict.get("reason", "")),
        proposer=str(verdict.get("proposer", "")),
        propose_seconds=_float(cost.get("propose"), 0.0),
        judge_seconds=_float(cost.get("verify"), 0.0),
        solve_seconds=_float(cost.get("correct"), 0.0) + _float(cost.get("solve"), 0.0),
        machinery_seconds=_float(cost.get("machinery"), 0.0),
        rung=str(record.get("rung", "")),
    )


def rival_of(record: Record) -> Rival:
    """Return one comparison."""
    data, training = _float(record.get("data_seconds")), _float(record.get("training_seconds"))
    known = [value for value in (data, training) if not math.isnan(value)]
    return Rival(
        name=str(record.get("rival", "rival")),
        seconds=_float(record.get("rival_cost_seconds")),
        run_seconds=_float(record.get("run_cost_seconds")),
        error=_float(record.get("rival_error")),
        run_error=_float(record.get("error")),
        tolerance=_float(record.get("tolerance")),
        measure=str(record.get("measure", "")),
        training_seconds=sum(known) if known else NAN,
    )


def governor_row(record: Record) -> GovernorRow:
    """Return one change of the governor's mind."""
    return GovernorRow(
        step=int(record.get("step", 0)),
        proposer=str(record.get("proposer", "")),
        event=str(record.get("event", "")),
        hybrid_seconds=_float(record.get("hybrid_seconds")),
        solver_seconds=_float(record.get("solver_seconds")),
    )


def _best_first(rival: Rival) -> tuple[bool, float]:
    return (math.isnan(rival.seconds), rival.seconds)


def _title(start: Record, name: str) -> str:
    case = start.get("case")
    table = case.get("case", case) if isinstance(case, Mapping) else {}
    title = table.get("title") or table.get("name") if isinstance(table, Mapping) else ""
    return str(start.get("title") or title or (case if isinstance(case, str) else "") or name)


def _message(status: str, end: Record | None) -> str:
    if end is None:
        return ""
    known = Status.__members__.get(status)
    return str(end.get("message") or (known.value if known else status))


def _unfinished(steps: tuple[StepRow, ...]) -> str:
    last = f"Its last whole record is transaction {steps[-1].step}" if steps else "It has no whole transaction"
    return f"{last}: the run was ended before it could say how, or it is still going on. All figures are up to there."


def _totals(by_kind: Mapping[str, list[Record]]) -> dict[str, str]:
    steps = by_kind.get("step", [])
    asked = sum(len(record.get("asked", ())) for record in steps)
    verdicts = [verdict for record in steps for verdict in record.get("verdicts", ()) if isinstance(verdict, Mapping)]
    failed = sum(is_fault(verdict) for verdict in verdicts)
    size = sum(_float(record.get("bytes"), 0.0) for record in steps)
    totals = {
        "transactions": str(len(steps)),
        "proposals asked for": str(asked),
        "transactions without a question": str(sum(not record.get("asked") for record in steps)),
        "verdicts": str(len(verdicts) - failed),
        "proposals that failed": str(failed),
        "nonlinear iterations": str(sum(int(record.get("iterations", 0)) for record in steps)),
        "linear iterations": str(sum(int(record.get("linear_iterations", 0)) for record in steps)),
        "copies of a state": f"{sum(int(record.get('copies', 0)) for record in steps)} ({size / 1e6:.3g} MB)",
        "cosolve's own time": duration(sum(_float(record.get("cost", {}).get("machinery"), 0.0) for record in steps)),
    }
    for kind, label in (
        ("observer_fault", "faults of observers"),
        ("checkpoint", "checkpoints"),
        ("resumed", "times resumed"),
    ):
        if by_kind.get(kind):
            totals[label] = str(len(by_kind[kind]))
    return totals


def _facts(by_kind: Mapping[str, list[Record]], start: Record) -> dict[str, str]:
    facts: dict[str, str] = {}
    for record in by_kind.get("ledger", ())[-1:]:
        facts["Ranks"] = str(record.get("ranks", 1))
    modes = {str(record["mode"]) for record in by_kind.get("step", ()) if "mode" in record}
    if modes:
        facts["mode"] = ", ".join(sorted(modes))
    versions = start.get("versions", {})
    if isinstance(versions, Mapping):
        facts |= {label: str(versions[key]) for key, label in _SHOWN_FACTS.items() if versions.get(key)}
    return facts


def _float(value: Any, default: float = NAN) -> float:
    """Return a number of a record; the ledger spells those that JSON lacks as text."""
    if value is None:
        return default
    try:
        return float(value)
    except (TypeError, ValueError):
        return default
