"""Options: one order of precedence, and where each value came from."""

from __future__ import annotations

from pathlib import Path

import pytest
from cosolve.core.case_reading import load_case
from cosolve.core.errors import BadInputError, PluginError
from cosolve.core.option_layers import flatten, from_assignments, from_environment, merge, parse_value
from cosolve.core.options import Options, Positive, check
from cosolve.core.petsc_options import pairs_of, tokens_of
from cosolve.core.registry import Registry

CASE = """
[problem]
name = "heat"
cells = 8
[coupling]
mode = "correct"
[[surrogate]]
name = "previous"
[petsc]
heat_ksp_type = "cg"
log_view = true
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.discover({})


@pytest.fixture
def case(tmp_path: Path) -> Path:
    path = tmp_path / "case.toml"
    path.write_text(CASE)
    return path


def test_the_order_is_command_line_environment_file_code(case: Path, registry: Registry) -> None:
    key, steps = "coupling.mode", []
    environment = {"COSOLVE_COUPLING__MODE": "shadow"}
    for overrides, variables in (({key: "off"}, environment), ({}, environment), ({}, {})):
        loaded = load_case(case, registry, overrides=overrides, environment=variables, defaults={key: "initial_guess"})
        steps.append((loaded.session.mode, loaded.origins[key]))
    bare = load_case({"problem": {"name": "heat"}}, registry, environment={}, defaults={key: "initial_guess"})
    steps.append((bare.session.mode, bare.origins[key]))
    assert steps == [
        ("off", "command line"),
        ("shadow", "environment COSOLVE_COUPLING__MODE"),
        ("correct", str(case)),
        ("initial_guess", "code"),
    ]


def test_every_option_is_listed_with_its_origin(case: Path, registry: Registry) -> None:
    loaded = load_case(case, registry, environment={}, petsc_options=["-heat_ksp_type", "gmres"])
    rows = {key: (value, origin) for key, value, origin in loaded.option_rows()}
    assert rows["problem.cells"] == (8, str(case))
    assert rows["problem.dt"][1] == "code"
    assert rows["surrogate.0.name"] == ("previous", str(case))
    assert rows["verifier.accept_fraction"] == (0.5, "code")
    assert rows["petsc.heat_ksp_type"] == ("gmres", "command line")
    assert rows["petsc.log_view"] == ("", str(case))
    assert rows["coupling.mode"] == ("correct", str(case))


def test_the_command_line_of_petsc_comes_last_and_so_wins(case: Path, registry: Registry) -> None:
    loaded = load_case(case, registry, environment={}, petsc_options=["-heat_ksp_type", "gmres", "-ksp_monitor"])
    words = ("-heat_ksp_type", "cg", "-log_view", "-heat_ksp_type", "gmres", "-ksp_monitor")
    assert loaded.petsc_options == words
    assert pairs_of(loaded.petsc_options) == {"heat_ksp_type": "gmres", "log_view": "", "ksp_monitor": ""}


def test_surrogates_of_the_file_can_be_changed_one_by_one(case: Path, registry: Registry) -> None:
    assignments = from_assignments(["surrogate.1.name=linear_extrapolation", "surrogate.2.name=projection"])
    overrides = {**assignments.values, "surrogate.2.window": 7}
    loaded = load_case(case, registry, environment={}, overrides=overrides)
    assert [part.name for part in loaded.surrogates] == ["previous", "linear_extrapolation", "projection"]
    assert loaded.surrogates[2].arguments() == {"method": "least_squares", "window": 7}


def test_a_named_plugin_must_be_loaded(case: Path) -> None:
    registry = Registry.discover({"COSOLVE_PLUGINS": "examples,couplings,baselines,verifiers"})
    with pytest.raises(BadInputError, match=r"case.plugins: plugin 'report' is needed; add it to COSOLVE_PLUGINS"):
        load_case(case, registry, environment={}, overrides={"case.plugins": ["report"]})
    with pytest.raises((BadInputError, PluginError), match="unknown plugin 'repot'; did you mean 'report'"):
        load_case(case, registry, environment={}, overrides={"case.plugins": ["repot"]})


def test_values_are_read_as_toml_where_they_are_toml() -> None:
    assert [parse_value(text) for text in ("1e-8", "true", "shadow", '"3"', "[1, 2]", "")] == [
        1e-8,
        True,
        "shadow",
        "3",
        [1, 2],
        "",
    ]


def test_variables_that_are_no_options_are_left_alone() -> None:
    layer = from_environment({"COSOLVE_PLUGINS": "a", "COSOLVE_DATA": "b", "HOME": "c", "COSOLVE_SOLVER__RTOL": "1e-3"})
    assert layer.values == {"solver.rtol": 1e-3}
    with pytest.raises(BadInputError, match="environment COSOLVE_COUPLNG__MODE: unknown table 'couplng'; did you mean"):
        from_environment({"COSOLVE_COUPLNG__MODE": "off"})


def test_a_value_in_the_place_of_a_table_is_refused() -> None:
    from cosolve.core.option_layers import Layer

    with pytest.raises(BadInputError, match=r"option 'solver.petsc.ksp_type' needs 'petsc' to be a table"):
        merge([Layer("a", {"solver.petsc": 3}), Layer("b", {"solver.petsc.ksp_type": "cg"})])


def test_flattening_and_merging_are_inverse() -> None:
    from cosolve.core.option_layers import Layer

    tables = {"problem": {"name": "a", "deep": {"x": [1, 2]}}, "surrogate": [{"name": "b"}, {"name": "c"}]}
    assert merge([Layer("file", flatten(tables))]).tables == tables


class Inner(Options):
    size: Positive = 1.0


class Outer(Options):
    inner: Inner = Inner()
    names: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"inner": {"sise": 1}},
            "unknown key 'sise'; did you mean 'size'? Known: size. Rename or remove 'a.inner.sise'",
        ),
        ({"inner": 3}, "a.inner: expected a table, found 3; change it there"),
        ({"names": "x"}, "a.names: expected a list, found 'x'"),
        ({"names": ["x", 2]}, "a.names.1: expected a text in quotes, found 2"),
    ],
)
def test_nested_options_name_the_whole_key(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(BadInputError) as caught:
        check(Outer, values, key="a", origins={}, source="case.toml")
    assert sentence in str(caught.value)


def test_the_table_of_petsc_becomes_its_words() -> None:
    assert tokens_of({"-ksp_type": "cg", "snes_monitor": True, "flag": False}) == (
        "-ksp_type",
        "cg",
        "-snes_monitor",
        "-flag",
        "false",
    )
