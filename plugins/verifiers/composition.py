"""Several verifiers as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, TypeAlias

from cosolve.core.errors import BadInputError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.solver import Solver
from cosolve.core.verdict import Decision, Grade, Verdict
from cosolve.core.verifier import Verifier
from cosolve.plugins.verifiers.objection import ObjectingVerifier

Member: TypeAlias = "Verifier | Mapping[str, Any]"

_SEVERITY = {Decision.ACCEPT: 0, Decision.CORRECT: 1, Decision.REJECT: 2}


class AllOf(Verifier):
    """Accepts when at least one member vouches for the value and none objects.

    Members are asked in order, and the first rejection ends it: put the cheap ones first. Members that may only reject
    are vetoes. The most severe verdict decides. An acceptance has the best grade among its members' acceptances,
    because every one of them holds.

    Args:
        members: Verifiers, or tables with the `name` of a registered verifier and its options.

    Raises:
        BadInputError: There is no member that could accept.
    """

    name: ClassVar[str] = "all_of"
    grade: ClassVar[Grade] = Grade.CERTIFIED
    guarantees: ClassVar[str] = "what every member guarantees, together; the grade is that of the best member"
    does_not_guarantee: ClassVar[str] = "what none of its members guarantees"

    def __init__(self, members: Iterable[Member]) -> None:
        self.members = [_build(member) for member in members]
        if all(isinstance(member, ObjectingVerifier) for member in self.members):
            raise BadInputError("all_of needs a member that can accept, e.g. residual; the others may only reject")

    def _judge(self, solver: Solver, query: Query, prediction: Prediction) -> Verdict:
        worst: Verdict | None = None
        for member in self.members:
            if isinstance(member, ObjectingVerifier):
                objection, measure, tolerance = member.objection(solver, query, prediction)
                if objection:
                    reason = f"{member.name}: {objection}"
                    return Verdict(Decision.REJECT, Grade.ESTIMATED, measure, tolerance, reason)
                continue
            verdict = member.judge(solver, query, prediction)
            verdict = replace(verdict, reason=f"{member.name}: {verdict.reason}")
            if verdict.decision is Decision.REJECT:
                return verdict
            if worst is None or _order(verdict) > _order(worst):
                worst = verdict
        assert worst is not None
        return worst


class FirstOf(Verifier):
    """Takes the word of the first member that accepts; when none does, the mildest verdict decides.

    For cheap estimates in front of expensive proofs, or the other way round. Members that may only reject have no
    place here: their silence would be an acceptance.

    Args:
        members: Verifiers, or tables with the `name` of a registered verifier and its options.

    Raises:
        BadInputError: There is no member, or one may only reject.
    """

    name: ClassVar[str] = "first_of"
    grade: ClassVar[Grade] = Grade.CERTIFIED
    guarantees: ClassVar[str] = "what the member guarantees that accepted; the verdict names it and has its grade"
    does_not_guarantee: ClassVar[str] = "what the other members would have said"

    def __init__(self, members: Iterable[Member]) -> None:
        self.members = [_build(member) for member in members]
        for member in self.members:
            if isinstance(member, ObjectingVerifier):
                raise BadInputError(f"first_of cannot hold {member.name!r}, which may only reject; put it into all_of")
        if not self.members:
            raise BadInputError("first_of needs at least one member, e.g. residual")

    def _judge(self, solver: Solver, query: Query, prediction: Prediction) -> Verdict:
        mildest: Verdict | None = None
        for member in self.members:
            verdict = member.judge(solver, query, prediction)
            verdict = replace(verdict, reason=f"{member.name}: {verdict.reason}")
            if verdict.accepted:
                return verdict
            if mildest is None or _SEVERITY[verdict.decision] < _SEVERITY[mildest.decision]:
                mildest = verdict
        assert mildest is not None
        return mildest


def _order(verdict: Verdict) -> tuple[int, int]:
    """Sort by severity; among equals an estimate comes before a certificate, so that the certificate is kept."""
    return _SEVERITY[verdict.decision], int(verdict.grade is Grade.CERTIFIED)


def _build(member: Member) -> Verifier:
    if isinstance(member, Verifier):
        return member
    options = dict(member)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise BadInputError(f"a member of a composed verifier needs a `name`, found {dict(member)!r}")
    entry = Registry.discover().get("verifier", name, where="members of a composed verifier")
    model = entry.load_options()
    if model is not None:
        model(**options)
    verifier = entry.load()(**options)
    assert isinstance(verifier, Verifier)
    return verifier
