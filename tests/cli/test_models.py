"""Model files from the command line: of another problem, truncated, hostile, of a broken plugin."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cosolve.core.ledger import read_ledger
from cosolve.core.model_file import ModelCard, save_surrogate
from cosolve.plugins.baselines.nearest_snapshot import NearestSnapshot
from safetensors import safe_open
from safetensors.numpy import save_file


def write_model(**card: object) -> None:
    surrogate = NearestSnapshot(np.array([[0.0], [1.0]]), np.ones((2, 12)))
    fields = {"surrogate": "nearest_snapshot", "problem": "toy"} | card
    save_surrogate("model.safetensors", surrogate, ModelCard.model_validate(fields))


@pytest.fixture
def bare(toy: Path) -> Path:
    """The toy case with a model in the place of its surrogate."""
    text = Path("case.toml").read_text().replace('name = "linear_extrapolation"', 'model = "model.safetensors"')
    Path("case.toml").write_text(text)
    return toy


def refused(cosolve, *arguments: str) -> str:
    """Run, and return the one sentence of exit code 2."""
    ended = cosolve("run", "case.toml", *arguments)
    assert ended.code == 2, ended.err
    assert len(ended.err.strip().splitlines()) == 1
    return str(ended.err)


def test_a_model_that_fits_is_asked(bare: Path, cosolve) -> None:
    write_model()
    ended = cosolve("run", "case.toml", "--set", "governor.mode=off")
    assert ended.code == 0, ended.err
    assert all(step["asked"] == ["nearest_snapshot"] for step in read_ledger("out") if step["kind"] == "step")


def test_a_model_for_another_problem(bare: Path, cosolve) -> None:
    write_model(problem="heat")
    sentence = (
        "cosolve: case.toml: surrogate.0.model: the model file model.safetensors does not belong to this problem: "
        "problem is 'toy', the model expects 'heat'. Use a model of this problem or train one: `cosolve train`.\n"
    )
    assert refused(cosolve) == sentence
    assert refused(cosolve, "--check") == sentence, "known without a solver"


@pytest.mark.parametrize(
    ("card", "sentence"),
    [
        (
            {"spaces": {"u": {"cells": 64}}},
            "case.toml: surrogate.0.model: the model file model.safetensors does not belong to this problem: "
            "spaces.u is 'nothing', the model expects {'cells': 64}. Use a model of this problem or train one",
        ),
        ({"dtype": "float32"}, "dtype is 'float64', the model expects 'float32'"),
        ({"units": {"u": "K"}}, "units.u is 'nothing', the model expects 'K'"),
        (
            {"parameters": ["sise"]},
            "was trained with the parameter 'sise', which this problem does not have (nearest: 'size'); it has size.",
        ),
    ],
    ids=["space", "precision", "unit", "parameter"],
)
def test_a_model_for_another_space_unit_or_precision(
    bare: Path, cosolve, card: dict[str, object], sentence: str
) -> None:
    write_model(**card)
    assert sentence in refused(cosolve)


def test_a_truncated_model(bare: Path, cosolve) -> None:
    write_model()
    whole = Path("model.safetensors").read_bytes()
    Path("model.safetensors").write_bytes(whole[:-40])
    assert "header claims bytes" in refused(cosolve)
    Path("model.safetensors").write_bytes(whole[:6])
    assert "is not a complete safetensors file" in refused(cosolve)


def test_a_model_whose_bytes_were_changed(bare: Path, cosolve) -> None:
    write_model()
    content = bytearray(Path("model.safetensors").read_bytes())
    content[-1] ^= 0x01
    Path("model.safetensors").write_bytes(bytes(content))
    assert "model.safetensors is damaged: its tensors do not have the hash that its card states" in refused(cosolve)


def rewrite(change) -> None:
    """Change the card of the model file, as a stranger may."""
    with safe_open("model.safetensors", framework="numpy") as file:
        card = json.loads(file.metadata()["cosolve_card"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(card)
    save_file(tensors, "model.safetensors", metadata={"cosolve_card": json.dumps(card)})


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("surrogate", "os:system", "model.safetensors: the card is not valid: surrogate: String should match pattern"),
        ("surrogate", "absent", "unknown surrogate 'absent'"),
        ("settings", {"parameters": 3}, "cannot be built from its tensors and settings"),
        ("evil", 1, "the card is not valid: evil: Extra inputs are not permitted"),
    ],
)
def test_a_hostile_card(bare: Path, cosolve, key: str, value: object, sentence: str) -> None:
    write_model()
    rewrite(lambda card: card.update({key: value}))
    assert sentence in refused(cosolve)


def test_a_header_that_claims_more_than_there_is(bare: Path, cosolve) -> None:
    Path("model.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    assert f"its header claims {2**62} bytes, the file has 10" in refused(cosolve)


def test_options_beside_a_model_are_refused(bare: Path, cosolve) -> None:
    write_model()
    assert "surrogate.0: unknown key 'rank'. Known: model, name. Rename or remove" in refused(
        cosolve, "--set", "surrogate.0.rank=3"
    )
    assert "expected 'nearest_snapshot', which the model file model.safetensors holds, found 'previous'" in refused(
        cosolve, "--set", "surrogate.0.name=previous"
    )


def test_a_model_of_a_broken_plugin(bare: Path, site, cosolve) -> None:
    write_model()
    rewrite(lambda card: card.update({"surrogate": "bad"}))
    site.install("bad-cosolve", {"bad_plugin": "import no_such_library\n"}, {"bad": "bad_plugin"})
    ended = cosolve("run", "case.toml")
    assert ended.code == 4
    assert (
        "case.toml: surrogate.0.model: no loaded plugin offers the surrogate 'bad'. Plugin 'bad' of bad-" in ended.err
    )
