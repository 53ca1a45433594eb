"""A demanded grade: said as text or as `Grade`, never ignored."""

from __future__ import annotations

from typing import ClassVar

import pytest
from cosolve.core.errors import BadInputError
from cosolve.core.governor import Governor
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.session import Session
from cosolve.core.solver import Solver
from cosolve.core.testing.faulty_parts import OracleSurrogate
from cosolve.core.testing.mean_field import MeanFieldSolver
from cosolve.core.verdict import Decision, Grade, Verdict
from cosolve.core.verifier import Verifier


class Optimist(Verifier):
    name = "optimist"
    grade = Grade.ESTIMATED

    def _judge(self, solver: Solver, query: Query, prediction: Prediction) -> Verdict:
        return Verdict(Decision.ACCEPT, Grade.ESTIMATED, 0.0, 1.0, "an estimate says that all is well")


class Estimating(MeanFieldSolver):
    name = "estimating"
    grade: ClassVar[Grade] = Grade.ESTIMATED


@pytest.mark.parametrize("grade", ["certified", Grade.CERTIFIED])
def test_an_estimate_is_not_accepted_where_certified_is_demanded(grade) -> None:
    solver = MeanFieldSolver()
    session = Session(solver, Optimist(), governor=Governor("off"), grade=grade)
    outcome = session.attempt(
        Query(solver.initial_state(), dt=0.1), [OracleSurrogate(lambda query: query.state + 0.1, solver.comm)]
    )
    assert outcome.verdicts[0].decision is Decision.REJECT
    assert "certified" in outcome.verdicts[0].reason
    session.close()


@pytest.mark.parametrize("grade", [None, "estimated", Grade.ESTIMATED])
def test_an_estimate_is_accepted_where_nothing_more_is_demanded(grade) -> None:
    solver = MeanFieldSolver()
    session = Session(solver, Optimist(), governor=Governor("off"), grade=grade)
    outcome = session.attempt(
        Query(solver.initial_state(), dt=0.1), [OracleSurrogate(lambda query: query.state + 0.1, solver.comm)]
    )
    assert outcome.verdicts[0].accepted
    session.close()


def test_a_misspelt_grade_is_named() -> None:
    with pytest.raises(BadInputError, match="unknown grade 'certifed'; did you mean 'certified'"):
        Session(MeanFieldSolver(), Optimist(), grade="certifed")  # type: ignore[arg-type]  # the mistake under test


def test_a_solver_that_estimates_cannot_meet_the_demand() -> None:
    with pytest.raises(BadInputError, match="solver 'estimating' itself stops by an estimate"):
        Session(Estimating(), Optimist(), grade="certified")
