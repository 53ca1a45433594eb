"""What a guided branch and bound did, in plain sentences from the ledger: why this variable, and what else it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cosolve.core.errors import BadInputError
from cosolve.core.wording import counted, ended

Record = Mapping[str, Any]


def is_guided(records: Sequence[Record]) -> bool:
    """Return whether a run was a branch and bound."""
    return any(record["kind"] in ("guidance", "guided") for record in records)


def explain_guided(directory: Path | str, records: Sequence[Record], node: int | None) -> str:
    """Return what happened in a run, or why one node was branched as it was.

    Args:
        directory: Output folder of the run.
        records: Its ledger.
        node: SCIP's number of the node; None explains the run as a whole.

    Raises:
        BadInputError: The ledger has no decision at that node; names some that it has.
    """
    decisions = [record for record in records if record["kind"] == "branching"]
    if node is None:
        return "\n".join(_run(records, decisions))
    chosen = [record for record in decisions if record["node"] == node]
    if not chosen:
        known = ", ".join(str(record["node"]) for record in decisions[:8]) or "none"
        raise BadInputError(
            f"the ledger in {directory} has no decision of the guide at node {node}; it has nodes {known}"
            + (", ..." if len(decisions) > 8 else "")
        )
    return "\n".join(line for record in chosen for line in _decision(record))


def _run(records: Sequence[Record], decisions: Sequence[Record]) -> list[str]:
    lines = []
    for record in records:
        if record["kind"] == "guidance":
            lines += _guidance(record)
        elif record["kind"] == "guided":
            lines += _guided(record)
    different = [record for record in decisions if record["variable"] != record["replaced"]]
    if decisions:
        share = len(different) / len(decisions)
        lines.append(f"In {share:.0%} of {counted(len(decisions), 'kept decision')} the pseudo-cost rule would differ.")
        spoke = Counter(name for record in different for name in list(record["reasons"])[:1])
        if spoke:
            told = ", ".join(f"{name} ({number})" for name, number in spoke.most_common(4))
            lines.append(f"What most often made the difference: {told}.")
        lines.append(f"--step {decisions[0]['node']} says why the first node was branched as it was.")
    return lines


def _guidance(record: Record) -> list[str]:
    lines = [f"A guide was attached in {1e3 * float(record['setup_seconds']):.3g} ms of CPU time."]
    if record["settings"]:
        lines.append(f"Root settings: {record['settings']}.")
    if record["kept"]:
        lines.append(f"Left as the user had set them: {', '.join(record['kept'])}.")
    for one in record["declined"]:
        lines.append(f"No proposal for {one['point']}: {ended(one['reason'])}")
    if record["why_not_native"]:
        lines.append(f"Branching in Python, with fewer features: {ended(record['why_not_native'])}")
    return lines


def _guided(record: Record) -> list[str]:
    objective = record.get("objective")
    found = "no solution is known" if objective is None else f"the best objective is {_short(objective)}"
    lines = [
        f"SCIP ended with the status {record['status']!r}: {found}, its bound {_short(record['dual_bound'])}, "
        f"after {counted(record['nodes'], 'node')} and {counted(record['lp_iterations'], 'LP iteration')}."
    ]
    if "calls" in record:
        lines.append(
            f"The guide was asked at {counted(record['calls'], 'node')} and decided at {record['decided']}; at "
            f"{record['audited']} SCIP's own rule branched for comparison."
        )
        lines += [f"Left to SCIP's rule at {number}: {why}." for why, number in record["declined"].items()]
        if record["verdict"]:
            after = ", so SCIP's rule took over" if record["handed_back"] else ""
            lines.append(f"Governor: {record['verdict']}{after}.")
        seconds, total = float(record["inference_seconds"]), float(record["scip_seconds"])
        share = f" ({seconds / total:.1%} of SCIP's time)" if total > 0.0 else ""
        lines.append(f"Features and network took {seconds:.3g} s{share}.")
    return lines


def _decision(record: Record) -> list[str]:
    lines = [
        f"Node {record['node']} at depth {record['depth']}, bound {_short(record['bound'])}: the guide chose "
        f"{record['variable']!r} among {counted(record['candidates'], 'candidate')}."
    ]
    if record["probed"]:
        lines.append("Strong branching chose it from the guide's short list.")
    else:
        lines.append(f"Its score is {_short(record['score'])}, the next best {_short(record['second'])}.")
    if record["variable"] == record["replaced"]:
        lines.append("The pseudo-cost rule would have chosen the same.")
        return lines
    lines.append(
        f"The pseudo-cost rule would have chosen {record['replaced']!r}, whose score is "
        f"{_short(record['replaced_score'])}."
    )
    for name, (part, here, there) in record["reasons"].items():
        lines.append(f"For it spoke {name}: {_short(here)} against {_short(there)} (worth {_short(part)}).")
    return lines


def _short(value: Any) -> str:
    return f"{float(value):.6g}"
