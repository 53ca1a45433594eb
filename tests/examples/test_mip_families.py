"""Families are frozen, written without rounding, solvable, and their structure is what their papers say."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
from cosolve.core.errors import BadInputError
from cosolve.examples.mips.families import (
    FAMILIES,
    FIRST_UNSEEN,
    LEVELS,
    files,
    generate,
    levels_of,
    unseen,
    write_folder,
)
from cosolve.examples.mips.independent_set import clique_partition, preferential_graph
from cosolve.examples.mips.program import MixedIntegerProgram, read
from hypothesis import given, settings
from hypothesis import strategies as st

FROZEN = {
    ("set-cover", "easy"): "9b5ceee532cf4711",
    ("set-cover", "medium"): "bbd4a5ad24f1f151",
    ("auctions", "easy"): "8f224cd8042cb516",
    ("auctions", "medium"): "803cf6b9490233ea",
    ("facility-location", "easy"): "f2358238df5acf5e",
    ("independent-set", "easy"): "d030abb972868fad",
    ("independent-set", "medium"): "5b7554219db8b5bf",
    ("assignment", "easy"): "3d6cd122c65b019f",
    ("assignment", "medium"): "a6ab10e4e6085c13",
    ("knapsack", "easy"): "159690088121a999",
    ("knapsack", "medium"): "cd0ffabb7b7b9f35",
    ("lot-sizing", "easy"): "0036c2f4c41bfdaa",
    ("lot-sizing", "medium"): "4c2c34afc619805c",
}


@pytest.mark.parametrize(("family", "level"), FROZEN)
def test_an_instance_never_changes(family: str, level: str) -> None:
    text = generate(family, level, 7).as_mps()
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == FROZEN[family, level]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_has_a_solution_and_grows_with_its_level(family: str) -> None:
    easy, medium = generate(family, "easy", 3), generate(family, "medium", 3)
    entries = [sum(len(row.columns) for row in one.rows) for one in (easy, medium)]
    assert entries[0] < entries[1]
    model = easy.model()
    assert (model.getNVars(), model.getNConss()) == (len(easy.costs), len(easy.rows))
    assert model.getObjectiveSense() == ("maximize" if easy.maximise else "minimize")
    model.setParams({"limits/solutions": 1, "separating/maxroundsroot": 0})
    model.optimize()
    assert model.getNSols() >= 1
    assert set(levels_of(family)) == set(LEVELS)


def test_set_covers_are_as_balas_and_ho_draw_them() -> None:
    program = generate("set-cover", "easy", 1)
    columns = [column for row in program.rows for column in row.columns]
    assert len(columns) == 25_000
    assert min(np.bincount(columns, minlength=1000)) >= 2
    assert all(row.columns and row.lower == 1.0 for row in program.rows)
    assert {type(cost) for cost in program.costs} == {float}
    assert (min(program.costs), max(program.costs)) == (1.0, 100.0)


def test_auctions_sell_each_item_once_and_to_one_of_substitutes() -> None:
    program = generate("auctions", "easy", 1)
    assert len(program.costs) == 500
    assert min(program.costs) >= 0.0
    assert all(row.upper == 1.0 and set(row.coefficients) == {1.0} for row in program.rows)
    assert len(program.rows) > 100  # more rows than items: bidders' own


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(8, 60))
def test_cliques_are_cliques_and_hold_every_node_once(seed: int, nodes: int) -> None:
    neighbours = preferential_graph(np.random.default_rng(seed), nodes)
    cliques = clique_partition(neighbours)
    assert sorted(itertools.chain.from_iterable(cliques)) == list(range(nodes))
    for clique in cliques:
        assert all(b in neighbours[a] for a, b in itertools.combinations(clique, 2))
    assert sum(len(own) for own in neighbours) == 2 * 4 * (nodes - 4)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    program = MixedIntegerProgram("all kinds", maximise=True)
    x = program.add_variables([1.0, 1.0 / 3.0], upper=7.0)
    y = program.add_variables([-0.1], lower=-float("inf"), upper=float("inf"), integer=False)
    program.add_row([*x, *y], [1.0, 2.0, 0.3], lower=-1.5, upper=9.25)
    program.add_row(list(x), upper=8.0)
    program.add_row(list(y), lower=-2.0)
    program.add_row([x[0], y[0]], [1.0, -1.0], lower=1.0, upper=1.0)
    model = read(program.write(tmp_path / "all.mps"))
    assert [var.getObj() for var in model.getVars()] == program.costs
    assert [var.vtype() for var in model.getVars()] == ["INTEGER", "INTEGER", "CONTINUOUS"]
    sides = [(model.getLhs(cons), model.getRhs(cons)) for cons in model.getConss()]
    assert sides == [(-1.5, 9.25), (-1e20, 8.0), (-2.0, 1e20), (1.0, 1.0)]
    assert next(model.getValsLinear(cons) for cons in model.getConss()) == {"x0": 1.0, "x1": 2.0, "x2": 0.3}


def test_a_folder_is_a_distribution(tmp_path: Path) -> None:
    written = write_folder("knapsack", "easy", range(3), tmp_path)
    (tmp_path / "README.md").write_text("not a program")
    assert files(tmp_path) == written
    with pytest.raises(BadInputError, match="correct the path"):
        files(tmp_path / "none")
    with pytest.raises(BadInputError, match="found none of them"):
        files(written[0].parent.joinpath("empty").mkdir() or tmp_path / "empty")
    broken = tmp_path / "broken.mps"
    broken.write_text("NAME broken\nROWS\n X nonsense\n")
    with pytest.raises(BadInputError, match=r"broken\.mps"):
        read(broken)
    with pytest.raises(BadInputError, match="found none"):
        read(tmp_path / "absent.mps")


def test_unknown_names_say_the_nearest_and_benches_draw_apart() -> None:
    with pytest.raises(BadInputError, match="did you mean 'auctions'"):
        generate("auction", "easy", 0)
    with pytest.raises(BadInputError, match="did you mean 'easy'"):
        generate("auctions", "eazy", 0)
    with pytest.raises(BadInputError, match="set-cover"):
        levels_of("setcover")
    assert min(unseen(5, 200)) >= FIRST_UNSEEN
    assert unseen(5, 4) == unseen(5, 4) != unseen(6, 4)
