"""The native rule: the right library, the right numbers, the same optimum, and SCIP's rule where anything is wrong."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref

import numpy as np
import pytest
from cosolve.plugins.scip import handshake, library, native_rule
from cosolve.plugins.scip.feature_names import NATIVE, PLAIN_INPUTS, RAW
from cosolve.plugins.scip.library import UnboundError, bind, find_addresses
from cosolve.plugins.scip.native_rule import NativeRule
from cosolve.plugins.scip.network import Network
from mip_models import general_integers, network, optimum, toy

PRIORITY = 2_000_000


def test_every_function_of_the_table_is_in_the_library() -> None:
    from cosolve.plugins.scip.symbols import SIGNATURES

    addresses = find_addresses(SIGNATURES)
    assert set(addresses) == set(SIGNATURES)
    assert all(addresses.values())


def test_a_missing_function_is_named_before_anything_is_called() -> None:
    with pytest.raises(UnboundError, match="SCIPgetNoSuchThing"):
        find_addresses(["SCIPgetNNodes", "SCIPgetNoSuchThing"])


def test_the_self_test_compares_features_in_its_own_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cosolve.plugins.scip.self_test"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "fine"), done.stderr


def test_a_self_test_that_crashes_is_a_reason_not_a_crash(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(handshake, "self_test", lambda: "the self-test of the native code crashed (signal 11)")
    assert "signal 11" in handshake._reason()
    (kept,) = (tmp_path / "cosolve").glob("scip-*.json")
    assert "signal 11" in json.loads(kept.read_text())["why_not"]
    # The verdict holds for the next process, too: it is read, not found out again.
    monkeypatch.setattr(handshake, "self_test", lambda: pytest.fail("asked again"))
    assert "signal 11" in handshake._reason()


def test_an_untested_version_of_scip_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "TESTED_VERSIONS", ((7, 0),))
    with pytest.raises(UnboundError, match=r"SCIP 10\.0 was not tested \(tested: 7\.0\)"):
        bind.__wrapped__()


@pytest.mark.parametrize("model", [toy, general_integers], ids=["covering", "general integers, maximised"])
def test_the_optimum_is_that_of_scip_alone(model) -> None:
    alone = optimum(model())
    guided = model()
    rule = NativeRule(guided, network(), priority=PRIORITY)
    guided.optimize()
    assert guided.getStatus() == "optimal"
    assert guided.getObjVal() == pytest.approx(alone, abs=1e-6)
    assert rule.counts().decided > 3


def test_the_rule_chooses_what_the_network_scores_best() -> None:
    model = toy()
    rule = NativeRule(model, network("distance_to_integer"), priority=PRIORITY, trace=100)
    model.optimize()
    decisions = rule.decisions()
    assert len(decisions) == rule.counts().decided
    for one in decisions:
        assert one.score >= one.second
        assert one.score >= one.replaced_score
        assert one.variable.startswith("x")
    different = [one for one in decisions if one.variable != one.replaced]
    assert different, "the two rules never differ: the model is no test"
    for one in different:
        # The only input with a weight is the only reason.
        assert list(one.reasons) in ([], ["distance_to_integer"])


def test_runs_repeat() -> None:
    trees = []
    for _ in range(2):
        model = toy()
        rule = NativeRule(model, network("dual_sum"), priority=PRIORITY, trace=500)
        model.optimize()
        trees.append([(one.node, one.variable) for one in rule.decisions()])
    assert trees[0] == trees[1]


@pytest.mark.parametrize("broken", ["weights", "nan"])
def test_scores_that_are_not_finite_leave_the_node_to_scip(broken: str) -> None:
    poisoned = network()
    poisoned.output[:] = np.nan if broken == "nan" else np.inf
    model = toy()
    rule = NativeRule(model, poisoned, priority=PRIORITY)
    model.optimize()
    counts = rule.counts()
    assert counts.decided == 0
    assert counts.declined["a score that is not finite"] == counts.calls - counts.declined.get("a single candidate", 0)
    assert model.getObjVal() == pytest.approx(optimum(toy()))


def test_a_matrix_that_is_too_large_to_read_leaves_the_node_to_scip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_rule, "WORK_LIMIT", 10)
    model = toy()
    rule = NativeRule(model, network(), priority=PRIORITY)
    model.optimize()
    assert rule.counts().decided == 0
    assert rule.counts().declined["a matrix too large to read"] > 3
    assert model.getStatus() == "optimal"


def test_a_detached_rule_is_silent_and_a_second_solve_is_guided_again() -> None:
    model = toy()
    rule = NativeRule(model, network(), priority=PRIORITY)
    model.optimize()
    before = rule.counts().decided
    model.freeTransform()
    model.optimize()
    assert rule.counts().decided > before
    model.freeTransform()
    rule.detach(model)
    after = rule.counts().decided
    model.optimize()
    assert rule.counts().decided == after
    assert model.getStatus() == "optimal"


def test_a_second_rule_takes_the_place_of_the_first() -> None:
    model = toy()
    first = NativeRule(model, network(), priority=PRIORITY)
    second = NativeRule(model, network("distance_to_integer"), priority=PRIORITY)
    model.optimize()
    assert first.counts().calls == 0
    assert second.counts().decided > 3


def test_user_priorities_of_variables_come_first() -> None:
    model = toy()
    wanted = [variable for variable in model.getVars() if int(variable.name[1:]) % 7 == 0]
    for variable in wanted:
        model.chgVarBranchPriority(variable, 10)
    rule = NativeRule(model, network("distance_to_integer"), priority=PRIORITY, trace=500)
    model.optimize()
    names = {variable.name for variable in wanted}
    # Where a candidate of priority 10 is fractional, no other is chosen: so those chosen early are all of them.
    assert rule.decisions()[0].variable in names
    assert rule.decisions()[0].candidates <= len(names)


def test_what_scip_calls_lives_as_long_as_the_model_and_no_longer() -> None:
    model = toy()
    rule = NativeRule(model, network(), priority=PRIORITY)
    gone = weakref.ref(rule)
    del rule
    gc.collect()
    model.optimize()
    assert gone() is not None
    assert model.getStatus() == "optimal"
    del model
    gc.collect()
    assert gone() is None


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def solve_many(count: int) -> int:
    for seed in range(count):
        model = toy(seed % 5, 25, 50)
        NativeRule(model, network("dual_sum"), priority=PRIORITY, trace=20)
        model.optimize()
        del model
    gc.collect()
    return resident()


def test_memory_is_released() -> None:
    start = solve_many(10)
    assert solve_many(30) - start < 12_000_000


@pytest.mark.slow
def test_memory_is_released_over_a_thousand_solves() -> None:
    start = solve_many(50)
    assert solve_many(1000) - start < 30_000_000


def test_the_native_network_is_the_numpy_network() -> None:
    bind()
    from cosolve.plugins.scip.scoring import score_all

    rng = np.random.default_rng(0)
    n = len(NATIVE)
    net = Network(*(rng.normal(size=shape).astype(np.float32) for shape in ((n,), (n,), (7, n), (7,), (7,))))
    inputs = rng.normal(size=(30, n)) * 4
    scores = np.zeros(30)
    assert score_all(inputs, 30, net.flat(), net.units, scores)
    np.testing.assert_allclose(scores, net.scores(inputs), rtol=1e-4, atol=1e-4)


def test_reasons_sum_to_the_difference_of_the_scores() -> None:
    rng = np.random.default_rng(1)
    n = len(NATIVE)
    net = Network(*(rng.normal(size=shape).astype(np.float32) for shape in ((n,), (n,), (9, n), (9,), (9,))))
    one, other = rng.normal(size=n).astype(np.float32), rng.normal(size=n).astype(np.float32)
    parts = net.reasons(one, other)
    scores = net.scores(np.stack([one, other]))
    assert parts.sum() == pytest.approx(float(scores[0] - scores[1]), rel=0.05)


def test_names_of_features() -> None:
    assert len(RAW) == 36
    assert len(NATIVE) == 66
    assert len(set(NATIVE)) == 66
    assert len(PLAIN_INPUTS) == 20
