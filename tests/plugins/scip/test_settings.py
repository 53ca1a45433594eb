"""Settings are plain data, set all or nothing, and never over what the user chose."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cosolve.core.errors import BadInputError
from cosolve.plugins.scip.settings import (
    RULE_PRIORITY,
    Settings,
    emphasis,
    fast_heuristics,
    portfolio,
    random_changes,
    rules,
    settings_named,
)
from pyscipopt import Model


def test_every_table_of_the_portfolio_can_be_set_and_stored() -> None:
    for name, settings in portfolio().items():
        assert Settings.from_json(json.loads(json.dumps(settings.as_json()))) == settings
        model = Model()
        assert settings.apply(model) == ()
        assert all(model.getParam(key) == value for key, value in settings.params.items()), name


def test_a_macro_becomes_the_table_that_it_sets() -> None:
    params = fast_heuristics().params
    assert params["heuristics/rins/freq"] == -1
    assert "heuristics/rounding/freq" not in params
    assert emphasis("easycip").params != emphasis("feasibility").params


def test_what_the_user_chose_stays() -> None:
    model = Model()
    model.setParam("separating/maxrounds", 3)
    assert settings_named("lean").apply(model) == ("separating/maxrounds",)
    assert model.getParam("separating/maxrounds") == 3
    assert model.getParam("separating/maxroundsroot") == 0
    assert settings_named("lean").apply(model, respect_user=False) == ()
    assert model.getParam("separating/maxrounds") == 0


def test_a_refused_value_sets_nothing_and_is_named() -> None:
    model = Model()
    broken = Settings("broken", {"separating/maxroundsroot": 0, "timing/clocktype": 77})
    with pytest.raises(BadInputError, match="timing/clocktype = 77"):
        broken.apply(model)
    assert model.getParam("separating/maxroundsroot") == -1


def test_unknown_names_say_the_nearest() -> None:
    with pytest.raises(BadInputError, match="separating/maxrounds"):
        Settings("typo", {"separating/maxround": 0}).apply(Model())
    with pytest.raises(BadInputError, match="did you mean 'lean'"):
        settings_named("laen")
    with pytest.raises(BadInputError, match="did you mean 'pscost'"):
        settings_named("lean+pscots")
    with pytest.raises(BadInputError, match="feasibility"):
        emphasis("feasability")
    with pytest.raises(BadInputError, match="race them again"):
        Settings.from_json({"params": {}})


def test_a_rule_gets_the_highest_priority() -> None:
    settings = settings_named("lean+pscost")
    assert settings.params["branching/pscost/priority"] == RULE_PRIORITY
    assert {"relpscost", "pscost", "vanillafullstrong", "fullstrong"} <= set(rules())
    model = Model()
    highest = max(int(model.getParam(f"branching/{rule}/priority")) for rule in rules())
    assert highest < RULE_PRIORITY


def test_a_step_of_a_search_changes_what_it_says() -> None:
    choices = {"lp/pricing": ("l", "s", "q"), "separating/maxroundsroot": (-1, 0, 5)}
    start = settings_named("gasse")
    other = random_changes(start, choices, np.random.default_rng(0), 2)
    differing = {key for key in choices if other.params.get(key) != start.params.get(key)}
    assert differing == set(choices)
    assert all(name in other.name for name in differing)
