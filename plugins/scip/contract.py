"""What `cosolve check-plugin` needs to know to make these objects: a small covering program on one rank."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.coupling import Coupling, CouplingContext
from cosolve.core.errors import BadInputError
from cosolve.core.governor import Governor
from cosolve.core.problem import Problem
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.session import Session
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing import Contract, CouplingContract, ProblemContract, SolverContract, group
from cosolve.core.testing.coupling_contract import FaultySurrogate
from cosolve.plugins.scip.feature_names import NATIVE, PLAIN_INPUTS
from cosolve.plugins.scip.guide import MIPGuide
from cosolve.plugins.scip.network import Network
from cosolve.plugins.scip.options import GuideTrainingOptions, MipOptions
from cosolve.plugins.scip.problem import MipProblem
from cosolve.plugins.scip.settings import Settings
from cosolve.plugins.scip.solver import ScipSolver
from cosolve.plugins.scip.training import BranchingTraining
from pyscipopt import Model, quicksum

_ROWS, _COLUMNS = 30, 60
_PLAIN = {"separating/maxrounds": 0, "separating/maxroundsroot": 0, "presolving/maxrounds": 0}


def covering() -> Model:
    """Return a set covering program with near costs: a tree of some nodes."""
    rng = np.random.default_rng(3)
    model = Model()
    model.hideOutput()
    costs = rng.integers(20, 30, _COLUMNS)
    x = [model.addVar(f"x{j}", vtype="B", obj=float(costs[j])) for j in range(_COLUMNS)]
    for _ in range(_ROWS):
        model.addCons(quicksum(x[int(j)] for j in rng.choice(_COLUMNS, 6, replace=False)) >= 1)
    for name, value in _PLAIN.items():
        model.setParam(name, value)
    return model


class ScipContract(SolverContract):
    """The covering program."""

    calls = 40

    def make(self) -> ScipSolver:
        """Return the solver of a fresh model."""
        return ScipSolver(covering())

    def query(self, solver: Solver) -> Query:
        """Return the one question that there is."""
        return Query(solver.initial_state(), 0.0, 0.1)


class MipContract(ProblemContract):
    """The same program, from a file."""

    calls = 40

    def problem(self) -> Problem:
        """Return the problem of that file."""
        folder = Path(tempfile.gettempdir()) / "cosolve-check-mip"
        folder.mkdir(exist_ok=True)
        path = folder / "covering.mps"
        if not path.exists():
            covering().writeProblem(str(path), verbose=False)
        return MipProblem(MipOptions(instance=path, params=_PLAIN))


class BranchingTrainingContract(Contract):
    """A problem that only trains: it describes itself, and says what solves an instance instead."""

    def _training(self) -> BranchingTraining:
        return BranchingTraining(GuideTrainingOptions(instances=Path("instances")))

    def test_its_description_is_plain_values(self) -> None:
        """Names and times are those of a problem."""
        training = self._training()
        assert training.name == "branching"
        assert training.time_span[0] < training.time_span[1]
        json.dumps(training.describe())

    def test_a_solver_is_refused_with_what_to_do(self) -> None:
        """It has none."""
        said = ""
        try:
            self._training().make_solver(self.comm, {})
        except BadInputError as error:
            said = str(error)
        assert "mip" in said, "expected an error of cosolve that names the problem `mip`"


def _guide() -> MIPGuide:
    """Return a guide that scores by the product of pseudo-costs, in both forms."""
    networks = []
    for names in (NATIVE, tuple(NATIVE[index] for index in PLAIN_INPUTS)):
        hidden = np.zeros((1, len(names)), np.float32)
        hidden[0, names.index("pseudocost_product")] = 1.0
        n = len(names)
        shift, scale = np.zeros(n, np.float32), np.ones(n, np.float32)
        networks.append(Network(shift, scale, hidden, np.full(1, 10.0, np.float32), np.ones(1, np.float32)))
    return MIPGuide(*networks, settings=Settings("plain", _PLAIN))


class MIPGuideContract(Contract):
    """A guide answers with one score for each candidate, not with a state: it has checks of its own."""

    def make(self) -> MIPGuide:
        """Return a guide."""
        return _guide()

    def trial(self) -> None:
        """Make one."""
        self.make()

    @staticmethod
    def _scores(guide: MIPGuide) -> Array:
        inputs = np.random.default_rng(0).uniform(-1.0, 1.0, (7, len(NATIVE)))
        return np.asarray(guide.predict(Query(inputs.reshape(-1))).value)

    def test_each_candidate_has_a_finite_score(self) -> None:
        """Seven candidates, seven scores."""
        scores = self._scores(self.make())
        assert scores.shape == (7,), f"7 candidates have scores of shape {scores.shape}"
        assert np.isfinite(scores).all(), "a score is not finite"

    @group("determinism")
    def test_the_same_candidates_have_the_same_scores(self) -> None:
        """Asked twice, and of two guides made alike."""
        guide = self.make()
        first = self._scores(guide)
        assert np.array_equal(first, self._scores(guide)), "the same candidates have two answers"
        assert np.array_equal(first, self._scores(self.make())), "two guides made alike differ"

    def test_file_round_trip_gives_the_same_scores_and_settings(self) -> None:
        """As after a model file."""
        guide = self.make()
        again = MIPGuide.from_file(guide.tensors(), guide.settings())
        assert np.array_equal(self._scores(guide), self._scores(again)), "read back from its file it scores otherwise"
        assert again.root_settings == guide.root_settings, "read back from its file it has other settings"

    @group("inputs")
    def test_features_of_another_kind_are_refused_by_a_typed_error(self) -> None:
        """A file of another version."""
        guide = self.make()
        try:
            MIPGuide.from_file(guide.tensors(), {**guide.settings(), "feature_set": "candidates-0"})
        except BadInputError:
            return
        raise AssertionError("a guide that reads other features is not refused")


class BranchingContract(CouplingContract):
    """The covering program, guided by scores that go wrong as the kit says."""

    def make(self, surrogates: list[Surrogate]) -> Coupling:
        """Return the coupling with these surrogates as guides."""
        kind = Registry.discover().load("coupling", "branching", where="check-plugin")
        solver = ScipSolver(covering())
        session = Session(solver, None, governor=Governor("off"), mode="initial_guess" if surrogates else "off")
        guides: list[Any] = [_scorer(one) for one in surrogates]
        coupling: Coupling = kind(CouplingContext(session, solver, guides, None))
        return coupling


def _scorer(surrogate: Surrogate) -> Callable[[Array], Array]:
    assert isinstance(surrogate, FaultySurrogate)
    return lambda inputs: surrogate.propose(Query(np.asarray(inputs[:, 1])))
