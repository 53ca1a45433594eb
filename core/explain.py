"""`cosolve explain`: why a step was accepted or not, in plain sentences from the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cosolve.core.errors import BadInputError
from cosolve.core.explain_branching import explain_guided, is_guided
from cosolve.core.failures import failures, is_fault
from cosolve.core.ledger import read_ledger
from cosolve.core.wording import counted, ended

Record = Mapping[str, Any]


def explain(directory: Path | str, step: int | None = None) -> str:
    """Return what happened in a run, or in one of its steps (not collective).

    Args:
        directory: Output folder of the run.
        step: The step to explain, of a branch and bound the node; None explains the run as a whole.

    Raises:
        BadInputError: There is no ledger, or it has no such step; names the steps it has.
    """
    records = read_ledger(directory)
    if is_guided(records):
        return explain_guided(directory, records, step)
    steps = [record for record in records if record["kind"] == "step"]
    if step is None:
        return _explain_run(directory, records, steps)
    chosen = [record for record in steps if record["step"] == step]
    if not chosen:
        known = f"steps {steps[0]['step']} to {steps[-1]['step']}" if steps else "no step"
        raise BadInputError(f"the ledger in {directory} has no step {step}; it has {known}")
    lines = []
    for record in chosen:
        lines += _explain_step(record)
    lines += [_governor(record) for record in records if record["kind"] == "governor" and record["step"] == step]
    return "\n".join(lines)


def _explain_run(directory: Path | str, records: Sequence[Record], steps: Sequence[Record]) -> str:
    if not steps:
        return f"The run in {directory} recorded no step."
    sources = Counter(record["source"] or "nobody" for record in steps)
    told = ", ".join(f"{number} by {source}" for source, number in sources.most_common())
    lines = [
        f"{counted(len(steps), 'step')} from t = {_short(steps[0]['t'])}, last step {steps[-1]['step']}. "
        f"Computed: {told}."
    ]
    verdicts = [verdict for record in steps for verdict in record["verdicts"] if not is_fault(verdict)]
    if verdicts:
        decisions = Counter((verdict["decision"], verdict["grade"]) for verdict in verdicts)
        told = ", ".join(f"{number} {decision} ({grade})" for (decision, grade), number in sorted(decisions.items()))
        lines.append(f"{counted(len(verdicts), 'verdict')}: {told}.")
    else:
        lines.append("Nothing was judged.")
    lines += [f"Failed: {ended(one.as_text())}" for one in failures(records)]
    cost: Counter[str] = Counter()
    for record in steps:
        cost.update({name: float(seconds) for name, seconds in record["cost"].items()})
    total = sum(cost.values())
    if total > 0.0:
        parts = ", ".join(f"{name} {seconds:.3g} s ({seconds / total:.0%})" for name, seconds in cost.items())
        lines.append(f"Time: {parts}.")
    lines += [_governor(record) for record in records if record["kind"] == "governor"]
    lines += [_other(record) for record in records if record["kind"] in ("stopped", "resumed", "observer_fault")]
    rejected = [
        record
        for record in steps
        if any(verdict["decision"] == "reject" and not is_fault(verdict) for verdict in record["verdicts"])
    ]
    if rejected:
        numbers = ", ".join(str(record["step"]) for record in rejected[:8]) + (", ..." if len(rejected) > 8 else "")
        lines.append(
            f"A proposal was rejected in {counted(len(rejected), 'step')} ({numbers}); "
            f"--step {rejected[0]['step']} says why."
        )
    return "\n".join(lines)


def _explain_step(record: Record) -> list[str]:
    lines = [
        f"Step {record['step']}, from t = {_short(record['t'])} by dt = {_short(record['dt'])}, mode {record['mode']}."
    ]
    inside = record.get("solver_notes", {}).get("plan")
    if inside:
        lines.append(f"The solver asked {', '.join(map(repr, inside))} inside its solve.")
    elif not record["asked"]:
        lines.append(f"Nobody was asked: {_why_nobody(record)}.")
    for verdict in record["verdicts"]:
        lines.append(_verdict(verdict))
    for failure in record.get("failures", []):
        lines.append(f"It did not hold: {failure}.")
    lines.append(_ending(record))
    lines += _preconditioned(record)
    if "shadow_error" in record:
        lines.append(
            f"In shadow, the proposal was {_short(record['shadow_error'])} away from the solver's value (relative)."
        )
    spent = ", ".join(f"{name} {1e3 * float(seconds):.3g} ms" for name, seconds in record["cost"].items() if seconds)
    lines.append(f"Time: {spent}. Copies: {record['copies']} ({record['bytes']} bytes).")
    return lines


_LEFT_OUT = {
    "reference": "the governor measured the cost without {}",
    "off": "the governor had switched {} off, because it costs more than it saves",
    "losses": "{} had lost the last tournaments and waits",
    "replay": "the replayed run did not ask {}",
}


def _preconditioned(record: Record) -> list[str]:
    """Say what became of proposals that the solver asked for inside a linear solve."""
    told = record.get("solver_notes", {}).get("preconditioner")
    if told is None:
        return []
    what = f"Inside the solve, {counted(told['iterations'], 'iteration')} of {told.get('outer', 'none')} took proposals"
    if "gave_up" not in told:
        return [f"{what}; they led to the tolerance."]
    return [
        f"{what}, then they were given up: {ended(told['gave_up'])}",
        f"The solver's own method then took {counted(told.get('base_iterations', 0), 'iteration')}.",
    ]


def _why_nobody(record: Record) -> str:
    notes = record.get("solver_notes", {})
    if "left_out" in notes:
        return _LEFT_OUT.get(notes["left_out"], "{} was left out").format("the surrogate")
    if record["mode"] == "off":
        return "the mode is off"
    left_out: Mapping[str, str] = record.get("left_out", {})
    if not left_out:
        return "there was no proposer"
    return "; ".join(_LEFT_OUT.get(why, "{} was left out").format(repr(name)) for name, why in left_out.items())


def _verdict(verdict: Record) -> str:
    if is_fault(verdict):
        return f"It failed before it could be judged: {ended(verdict['reason'])}"
    word = {"accept": "accepted", "correct": "taken as the start of a correction", "reject": "rejected"}
    who = f"the proposal of {verdict['proposer']!r}" if verdict["proposer"] else "a proposal"
    judge = verdict["verifier"] or "the session"
    sentence = f"{judge} had {who} {word[verdict['decision']]}: {verdict['reason']}"
    return f"{sentence} (grade {verdict['grade']})."


def _ending(record: Record) -> str:
    source, rung = record["source"], record["rung"]
    if record["status"] != "SUCCESS":
        return f"No value was committed, the state was rolled back: {record['message']}"
    if source.endswith("+correct"):
        spent = counted(record["iterations"], "solver iteration")
        return f"{source.removesuffix('+correct')} proposed, and {spent} corrected it."
    if source.endswith("+solve"):
        start = source.removesuffix("+solve")
        return f"The solver started from the proposal of {start!r}, {counted(record['iterations'], 'iteration')}."
    if source.startswith("solver"):
        by = f" in {source.partition('/')[2]} smaller steps" if "/" in source else ""
        why = " as the fallback" if rung else ""
        return f"The solver computed the value{by}{why}, {counted(record['iterations'], 'iteration')}."
    return f"The proposal of {source!r} was committed as it was."


def _governor(record: Record) -> str:
    off = f"; next probe in {counted(record['next_probe_in'], 'transaction')}" if record["next_probe_in"] else ""
    return (
        f"Governor at step {record['step']}: {record['proposer']!r} {record['event']} "
        f"({1e3 * float(record['hybrid_seconds']):.3g} ms with it, "
        f"{1e3 * float(record['solver_seconds']):.3g} ms without){off}."
    )


def _other(record: Record) -> str:
    if record["kind"] == "resumed":
        return f"Resumed from the checkpoint of step {record['step']}."
    if record["kind"] == "stopped":
        return f"Stopped at step {record['step']} ({record['status']}): {record['message']}."
    return f"Observer {record.get('plugin', '')!r} raised in {record.get('hook', '')}: {record.get('error', '')}."


def _short(value: Any) -> str:
    return f"{float(value):.6g}"
