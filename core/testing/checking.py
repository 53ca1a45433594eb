"""Runs conformance kits without pytest and says what was found: what `cosolve check-plugin` does."""

from __future__ import annotations

import importlib.util
import linecache
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import world
from cosolve.core.consensus import Consensus
from cosolve.core.entries import Role
from cosolve.core.errors import RankFaultError
from cosolve.core.registry import Offer
from cosolve.core.testing.contract import RANK_LOCAL, Contract
from cosolve.core.testing.coupling_contract import CouplingContract
from cosolve.core.testing.problem_contract import ProblemContract
from cosolve.core.testing.solver_contract import SolverContract
from cosolve.core.testing.surrogate_contract import StoredSurrogateContract, SurrogateContract
from cosolve.core.testing.verifier_contract import VerifierContract

Value = TypeVar("Value")
State = Literal["passed", "failed", "left out", "not run"]

KITS: Final[dict[Role, type[Contract]]] = {
    "surrogate": SurrogateContract,
    "solver": SolverContract,
    "verifier": VerifierContract,
    "coupling": CouplingContract,
    "problem": ProblemContract,
}
"""The kit of each role. A bench has none: it is complete whatever its figures."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        subject: `"surrogate 'frozen'"`, or the plugin itself.
        group: Group of the check.
        check: Name of the check in words.
        state: Passed, failed, left out (does not apply) or not run.
        reason: One sentence: what is wrong, or why it was left out; empty when it passed.
        ranks: Number of ranks.
        seconds: Time that it took.
    """

    subject: str
    group: str
    check: str
    state: State
    reason: str = ""
    ranks: int = 1
    seconds: float = 0.0


def kit_of(offer: Offer) -> type[Contract] | None:
    """Return the kit of one offer: the one that its entry names, else that of its role; None for a bench.

    Raises:
        PluginError: The entry names a kit that cannot be imported.
    """
    entry = offer.entry
    own = entry.load_contract()
    base = own or KITS.get(offer.role)
    if base is None:
        return None
    found: dict[str, Any] = {"entry": entry}
    if own is None and offer.role == "surrogate" and "stored" in entry.capabilities:
        base = StoredSurrogateContract
    if own is None and "may-only-reject" in entry.capabilities:
        found["may_accept"] = False
    if own is None and offer.role == "surrogate":
        found["differentiable"] = {"jvp", "vjp"} <= set(entry.capabilities)
    return type(f"Check{offer.role.capitalize()}", (base,), found)


def checks_of(kit: type[Contract]) -> list[str]:
    """Return the names of a kit's checks, in the order in which they were written, base classes first."""
    names: dict[str, None] = {}
    for owner in reversed(kit.__mro__):
        names |= dict.fromkeys(name for name in vars(owner) if name.startswith("test_"))
    return list(names)


def group_of(kit: type[Contract], name: str) -> str:
    """Return the group of a check."""
    return str(getattr(getattr(kit, name), "group", "contract"))


def in_words(name: str) -> str:
    """Return the name of a check in words.

    >>> in_words("test_it_has_a_name_of_its_own")
    'it has a name of its own'
    """
    return name.removeprefix("test_").replace("_", " ")


def run_kit(
    kit: type[Contract],
    subject: str,
    *,
    begin: Callable[[str], None] | None = None,
    note: Callable[[str, str], None] | None = None,
    empty_rank: bool = False,
) -> Iterator[Finding]:
    """Run all checks of a kit that this number of ranks can tell something of (collective).

    Args:
        kit: The kit.
        subject: Whose object it is, for the table.
        begin: Called with the name of each check before it runs.
        note: Called with the name of a check and the reason at once when it fails on this rank.
        empty_rank: Whether the last rank is to own nothing.
    """
    consensus = Consensus(world())
    ranks = consensus.size
    with_hypothesis = importlib.util.find_spec("hypothesis") is not None
    for index, name in enumerate(checks_of(kit)):
        group = group_of(kit, name)
        if ranks > 1 and group in RANK_LOCAL:
            continue
        if begin is not None:
            begin(in_words(name))
        if name == "test_valid_questions_have_valid_answers" and not with_hypothesis:
            reason = "hypothesis is not installed: pip install 'cosolve[test]'"
            finding = Finding(subject, group, in_words(name), "not run", reason, ranks)
        else:
            finding = _run_check(consensus, kit, name, subject, index, note, empty_rank)
        yield finding
    consensus.close()


def _run_check(
    consensus: Consensus,
    kit: type[Contract],
    name: str,
    subject: str,
    index: int,
    note: Callable[[str, str], None] | None,
    empty_rank: bool,
) -> Finding:
    contract = kit()
    contract.empty_rank = empty_rank
    start = time.perf_counter()
    reason = _agreed(consensus, subject, index, lambda: _explained(getattr(contract, name), name, note))[1]
    state: State = "failed" if reason else "passed"
    if not reason and contract.left_out:
        state, reason = "left out", contract.left_out
    seconds = time.perf_counter() - start
    return Finding(subject, group_of(kit, name), in_words(name), state, reason, consensus.size, seconds)


def _agreed(consensus: Consensus, subject: str, index: int, work: Callable[[], Value]) -> tuple[Value | None, str]:
    """Run `work` as one section of all ranks, so that what fails on one of them fails on all (collective).

    Returns:
        What it returned, and the reason why it failed; empty when it did not.
    """
    try:
        return consensus.run(subject, index, work), ""
    except RankFaultError as fault:
        reason = fault.cause.removeprefix("AssertionError: ")
        return None, f"on rank {fault.rank}: {reason}" if consensus.size > 1 else reason


def _once(subject: str, work: Callable[[], Value]) -> tuple[Value | None, str]:
    """Run one piece of work as `_agreed` does (collective)."""
    consensus = Consensus(world())
    try:
        return _agreed(consensus, subject, 0, work)
    finally:
        consensus.close()


def _explained(check: Callable[[], None], name: str, note: Callable[[str, str], None] | None) -> None:
    """Run a check; a bare assertion of a third party's own check gets its line as its text."""
    try:
        check()
    except Exception as error:
        reason = str(error).strip()
        if isinstance(error, AssertionError) and not reason:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{in_words(name)} does not hold: `{linecache.getline(frame.filename, frame.lineno or 0).strip()}`"
            error = AssertionError(reason)
        if note is not None and not isinstance(error, RankFaultError):
            note(in_words(name), reason if isinstance(error, AssertionError) else f"{type(error).__name__}: {reason}")
        raise error


def run_trial(kit: type[Contract], subject: str) -> str:
    """Return why an object cannot be made at all; empty when it can (collective)."""
    contract = kit()
    return _once(subject, contract.trial)[1]


def run_probe(kit: type[Contract], subject: str, *, empty_rank: bool = False) -> tuple[dict[str, Array], str]:
    """Return what an object answers to fixed questions, and why it failed to; empty when it did not (collective)."""
    contract = kit()
    contract.empty_rank = empty_rank
    found, reason = _once(subject, contract.probe)
    return found or {}, reason


def compare(
    subject: str, kit: type[Contract], expected: dict[str, Array], found: dict[str, Array], ranks: int, layout: str
) -> Finding:
    """Return whether answers on several ranks are those on one."""
    check = f"answers on {ranks} ranks {layout}are those on one"
    for what, values in expected.items():
        other = found.get(what)
        if other is None or other.shape != values.shape:
            return Finding(
                subject, "ranks", check, "failed", f"{what}: {ranks} ranks give another number of values", ranks
            )
        scale = max(float(np.max(np.abs(values), initial=0.0)), 1e-300)
        away = float(np.max(np.abs(other - values), initial=0.0)) / scale
        if not away <= kit.rank_rtol:
            reason = f"{what}: {away:.3g} away from the answer on one rank (allowed {kit.rank_rtol:g})"
            return Finding(subject, "ranks", check, "failed", reason, ranks)
    if not expected:
        return Finding(subject, "ranks", check, "left out", "it works on one rank only, or no `solver` is given", ranks)
    return Finding(subject, "ranks", check, "passed", "", ranks)


def failed(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that accuse."""
    return [finding for finding in findings if finding.state == "failed"]
