"""Guidance of SCIP from a user's script: the same optimum, the user's own choices first, reasons where it declines."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyscipopt")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plugins" / "scip"))

import cosolve
from cosolve.core.errors import BadInputError
from cosolve.core.ledger import read_ledger
from cosolve.core.model_file import ModelCard, save_surrogate
from cosolve.plugins.scip import host
from cosolve.plugins.scip.instance_features import envelope_of, measure
from mip_models import LEAN, general_integers, guide, optimum, toy
from pyscipopt import SCIP_RESULT, Branchrule, Conshdlr, Model, Pricer


def saved(path: Path, **arguments: object) -> Path:
    save_surrogate(path, guide(**arguments), ModelCard(surrogate="mip_guide"))
    return path


def test_ten_lines_of_a_script(tmp_path: Path) -> None:
    path = saved(tmp_path / "fleet.safetensors", settings=LEAN, scip="10.0")
    model = toy()
    cosolve.guide(model, path)
    model.optimize()
    assert model.getObjVal() == pytest.approx(optimum(toy()))


def test_what_happened_is_in_the_ledger(tmp_path: Path) -> None:
    model = toy()
    guidance = cosolve.guide(model, guide("distance_to_integer", settings=LEAN), ledger=tmp_path / "run")
    assert guidance.optimize() == "optimal"
    records = read_ledger(tmp_path / "run")
    kinds = [record["kind"] for record in records]
    assert kinds[:2] == ["ledger", "guidance"]
    branchings = [record for record in records if record["kind"] == "branching"]
    assert len(branchings) == guidance.decisions > 3
    assert records[-1]["kind"] == "guided"
    assert records[-1]["objective"] == pytest.approx(optimum(toy()))
    assert guidance.native
    assert guidance.setup_seconds > 0.0
    assert 0.0 < guidance.inference_seconds < 1.0
    assert not guidance.governed
    guidance.finish()
    assert len(read_ledger(tmp_path / "run")) == len(records) + 1


def test_each_point_can_be_switched_off() -> None:
    model = toy()
    guidance = cosolve.guide(model, guide(settings=LEAN), branching=False)
    model.optimize()
    assert guidance.counts() is None
    assert model.getParam("presolving/maxrestarts") == 0
    model = toy()
    cosolve.guide(model, guide(settings=LEAN), settings=False)
    assert model.getParam("presolving/maxrestarts") == -1


def test_parameters_of_the_user_are_left_alone() -> None:
    model = toy()
    model.setParam("presolving/maxrestarts", 3)
    model.setParam("limits/nodes", 5)
    model.setParam("randomization/randomseedshift", 7)
    guidance = cosolve.guide(model, guide(settings=LEAN))
    assert "presolving/maxrestarts" in guidance.kept
    model.optimize()
    assert model.getParam("presolving/maxrestarts") == 3
    assert model.getParam("randomization/randomseedshift") == 7
    assert model.getStatus() == "nodelimit"


class First(Branchrule):
    """The user's own rule: takes the first two nodes, leaves the others."""

    def __init__(self):
        self.calls = 0

    def branchexeclp(self, allowaddcons):
        self.calls += 1
        if self.calls > 2:
            return {"result": SCIP_RESULT.DIDNOTRUN}
        self.model.branchVar(self.model.getLPBranchCands()[0][0])
        return {"result": SCIP_RESULT.BRANCHED}


def test_the_own_rule_of_the_user_is_asked_first() -> None:
    model = toy()
    own = First()
    model.includeBranchrule(own, "own", "takes two nodes", 1_000_000, -1, 1.0)
    guidance = cosolve.guide(model, guide())
    model.optimize()
    assert own.calls > 3
    assert guidance.counts().calls == own.calls - 2


def test_a_rule_of_scip_that_the_user_chose_stays() -> None:
    model = toy()
    model.setParam("branching/mostinf/priority", 500_000)
    guidance = cosolve.guide(model, guide())
    assert "the user chose SCIP's rule 'mostinf'" in guidance.declined[0].reason
    model.optimize()
    assert guidance.decisions == 0


class Idle(Pricer):
    def pricerredcost(self):
        return {"result": SCIP_RESULT.SUCCESS}

    def pricerfarkas(self):
        return {"result": SCIP_RESULT.SUCCESS}


def test_a_pricer_makes_the_guide_decline() -> None:
    model = toy()
    model.includePricer(Idle(), "columns", "adds none")
    guidance = cosolve.guide(model, guide(settings=LEAN))
    assert {one.point for one in guidance.declined} == {"branching", "settings"}
    assert all("pricer 'columns'" in one.reason for one in guidance.declined)
    model.optimize()
    assert model.getObjVal() == pytest.approx(optimum(toy()))


class NoPair(Conshdlr):
    """The user's own constraint: x0 and x1 are not both one."""

    def __init__(self, pair):
        self.pair = pair

    def _broken(self, solution):
        return sum(self.model.getSolVal(solution, x) for x in self.pair) > 1.5

    def conscheck(self, constraints, solution, *rest):
        return {"result": SCIP_RESULT.INFEASIBLE if self._broken(solution) else SCIP_RESULT.FEASIBLE}

    def consenfolp(self, *rest):
        if not self._broken(None):
            return {"result": SCIP_RESULT.FEASIBLE}
        self.model.addCons(self.pair[0] + self.pair[1] <= 1)
        return {"result": SCIP_RESULT.CONSADDED}

    def consenfops(self, *rest):
        return {"result": SCIP_RESULT.INFEASIBLE if self._broken(None) else SCIP_RESULT.FEASIBLE}

    def conslock(self, constraint, locktype, nlockspos, nlocksneg):
        for x in self.pair:
            self.model.addVarLocks(x, nlocksneg, nlockspos)


def with_own_constraint(pair: tuple[int, int]) -> Model:
    model = toy()
    x = model.getVars()
    handler = NoPair([x[pair[0]], x[pair[1]]])
    model.includeConshdlr(handler, "nopair", "no pair", needscons=False, enfopriority=-10, chckpriority=-10)
    return model


def test_an_own_constraint_handler_works_and_keeps_its_separation() -> None:
    alone = toy()
    alone.optimize()
    used = [j for j, x in enumerate(alone.getVars()) if alone.getVal(x) > 0.5][:2]
    expected = optimum(with_own_constraint((used[0], used[1])))
    model = with_own_constraint((used[0], used[1]))
    guidance = cosolve.guide(model, guide(settings=LEAN))
    assert [one.point for one in guidance.declined] == ["settings"]
    assert "'nopair'" in guidance.declined[0].reason
    assert model.getParam("presolving/maxrestarts") == 0
    model.optimize()
    assert guidance.decisions > 3
    assert model.getObjVal() == pytest.approx(expected)


def test_an_instance_unlike_the_training_is_left_to_scip() -> None:
    envelope = envelope_of([measure(toy(seed)) for seed in range(3)])
    known = guide(settings=LEAN, envelope=envelope)
    assert not cosolve.guide(toy(9), known).declined
    model = general_integers()
    guidance = cosolve.guide(model, known)
    assert {one.point for one in guidance.declined} == {"branching", "settings"}
    assert "unlike those of the guide's training" in guidance.declined[0].reason
    model.optimize()
    assert guidance.decisions == 0
    insisting = general_integers()
    guidance = cosolve.guide(insisting, known, insist=True)
    insisting.optimize()
    assert guidance.decisions > 0
    assert insisting.getObjVal() == pytest.approx(model.getObjVal())


def test_another_version_of_scip() -> None:
    guidance = cosolve.guide(toy(), guide(scip="9.2"))
    assert "trained with SCIP 9.2, and this is SCIP 10.0" in guidance.declined[0].reason


FAULTS = {
    "raises": lambda inputs: 1 / 0,
    "nan": lambda inputs: np.full(len(inputs), np.nan),
    "shape": lambda inputs: np.zeros((len(inputs), 2)),
    "short": lambda inputs: np.zeros(len(inputs) - 1),
    "text": lambda inputs: ["x"] * len(inputs),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_scorer_costs_nodes_and_nothing_else(fault: str) -> None:
    model = toy()
    guidance = cosolve.guide(model, FAULTS[fault])
    model.optimize()
    assert guidance.decisions == 0
    assert guidance.fallbacks == 3
    assert guidance.governed
    assert model.getObjVal() == pytest.approx(optimum(toy()))


def test_a_slow_scorer_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    def slow(inputs):
        time.sleep(0.02)
        return np.zeros(len(inputs))

    model = toy()
    guidance = cosolve.guide(model, slow)
    guidance._rule._deadline = 0.01
    model.optimize()
    assert guidance.governed
    assert "deadline" in guidance.counts().verdict


def test_plain_features_take_over_where_native_code_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "why_not_native", lambda: "this SCIP lacks SCIPvarGetCol")
    model = toy()
    guidance = cosolve.guide(model, guide())
    model.optimize()
    assert not guidance.native
    assert guidance.decisions > 3
    assert model.getObjVal() == pytest.approx(optimum(toy()))
    without = guide()
    without.plain = None
    guidance = cosolve.guide(toy(), without)
    assert "lacks SCIPvarGetCol" in guidance.declined[0].reason


def test_native_and_plain_rules_build_the_same_tree_from_the_same_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = []
    for native in (True, False):
        if not native:
            monkeypatch.setattr(host, "why_not_native", lambda: "switched off")
        model = toy()
        cosolve.guide(model, guide("distance_to_integer"))
        model.optimize()
        nodes.append(model.getNNodes())
    assert nodes[0] == nodes[1]


def test_a_start_is_completed_and_checked_by_scip() -> None:
    solved = toy()
    solved.optimize()
    start = {x.name: solved.getVal(x) for x in solved.getVars()[:40]}
    model = toy()
    guidance = cosolve.guide(model, guide(), start=start)
    assert not guidance.declined
    model.optimize()
    assert model.getObjVal() == pytest.approx(solved.getObjVal())
    wrong = cosolve.guide(toy(), guide(), start={"nobody": 1.0})
    assert wrong.declined[0].point == "start"
    impossible = toy()
    cosolve.guide(impossible, guide(), start={x.name: 0.0 for x in impossible.getVars()})
    impossible.optimize()
    assert impossible.getObjVal() == pytest.approx(solved.getObjVal())


def test_restarts_sub_mips_and_a_second_solve() -> None:
    model = toy()
    for name, value in {
        "presolving/maxrounds": -1,
        "presolving/immrestartfac": 0.01,
        "presolving/restartfac": 0.01,
        "presolving/subrestartfac": 0.01,
        "heuristics/rens/freq": 1,
        "heuristics/rins/freq": 1,
        "heuristics/rens/minfixingrate": 0.1,
    }.items():
        model.setParam(name, value)
    guidance = cosolve.guide(model, guide("distance_to_integer"))
    model.optimize()
    expected = optimum(toy())
    assert model.getObjVal() == pytest.approx(expected)
    model.freeTransform()
    model.optimize()
    assert model.getObjVal() == pytest.approx(expected)
    assert guidance.decisions > 0
    copied = Model(sourceModel=toy())
    copied.hideOutput()
    copied.optimize()
    assert copied.getObjVal() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("model", "guide_of", "sentence"),
    [
        (lambda: "model", guide, "needs a pyscipopt.Model, found str"),
        (toy, lambda: 3, "a guide is a model file"),
        (toy, lambda: "no/such.safetensors", "does not exist"),
    ],
)
def test_bad_input_is_one_sentence(model, guide_of, sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        cosolve.guide(model(), guide_of())


def test_a_solved_model_is_refused_with_what_to_do() -> None:
    model = toy()
    model.optimize()
    with pytest.raises(BadInputError, match=r"before optimize\(\), or model.freeTransform\(\)"):
        cosolve.guide(model, guide())


def test_an_empty_model() -> None:
    guidance = cosolve.guide(Model(), guide())
    assert "no variables" in guidance.declined[0].reason


def test_nothing_to_branch_on() -> None:
    model = Model()
    model.hideOutput()
    x = model.addVar("x", ub=2.0)
    model.addCons(x >= 1)
    model.setObjective(x)
    guidance = cosolve.guide(model, guide())
    assert "no integer variables" in guidance.declined[0].reason
    model.optimize()
    assert model.getObjVal() == pytest.approx(1.0)


def test_a_file_of_another_feature_set_and_a_file_that_is_no_guide(tmp_path: Path) -> None:
    other = guide()
    path = tmp_path / "other.safetensors"
    content = dict(other.settings()) | {"feature_set": "candidates-0"}
    other.settings = lambda: content
    save_surrogate(path, other, ModelCard(surrogate="mip_guide"))
    with pytest.raises(BadInputError, match="reads the features 'candidates-0'"):
        cosolve.guide(toy(), path)


def test_a_bad_guide_is_handed_back_and_a_fair_one_is_not() -> None:
    trees = {}
    for sign in (-1.0, 1.0):
        model = toy(2, 110, 190)
        network_of = guide("distance_to_integer")
        network_of.network.hidden[:] *= sign
        guidance = cosolve.guide(model, network_of)
        model.optimize()
        trees[sign] = (guidance, model.getNNodes(), model.getObjVal())
    bad, fair = trees[-1.0], trees[1.0]
    assert bad[0].governed
    assert bad[0].counts().verdict == "SCIP's rule branches better"
    assert bad[0].decisions < 0.8 * bad[0].counts().calls
    assert not fair[0].governed
    assert bad[2] == pytest.approx(fair[2])
    assert bad[1] > 3 * fair[1]
    alone = toy(2, 110, 190)
    guidance = cosolve.guide(alone, guide("distance_to_integer"), audit=False)
    alone.optimize()
    assert guidance.counts().audited == 0


def test_a_concurrent_solve_is_not_disturbed() -> None:
    model = toy()
    guidance = cosolve.guide(model, guide())
    model.setParam("parallel/maxnthreads", 1)
    model.solveConcurrent()
    assert model.getObjVal() == pytest.approx(optimum(toy()))
    assert guidance.fallbacks == 0
