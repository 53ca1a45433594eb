"""Model files: what is written is read back, and nothing hostile, damaged or foreign is let in."""

import json
import os
import struct
from collections.abc import Callable

import numpy as np
import pytest
from cosolve.core.entries import Entry
from cosolve.core.errors import BadInputError, CosolveError, ModelMismatchError, OutputError, PluginError, unknown_name
from cosolve.core.model_file import (
    ModelCard,
    check_matches,
    load_card,
    load_surrogate,
    outside_envelope,
    save_surrogate,
    versions,
)
from cosolve.core.query import Query
from cosolve.plugins.baselines.nearest_snapshot import NearestSnapshot
from safetensors.numpy import save

ENTRIES = {
    "nearest_snapshot": Entry("nearest_snapshot", "s", "cosolve.plugins.baselines.nearest_snapshot:NearestSnapshot"),
    "previous": Entry("previous", "s", "cosolve.plugins.baselines.extrapolation:Previous"),
}


class Registry:
    """Finds two entries, and raises for the rest as the registry does."""

    def get(self, role, name):
        if name not in ENTRIES:
            raise PluginError(unknown_name(role, name, ENTRIES))
        return ENTRIES[name]


def surrogate(states=None):
    keys = np.array([[0.1, 1.0], [0.2, 2.0]])
    return NearestSnapshot(keys, np.arange(6.0).reshape(2, 3) if states is None else states, ("k",))


def card(**changes):
    values = {
        "surrogate": "nearest_snapshot",
        "problem": "heat",
        "spaces": {"u": {"kind": "grid", "extent": [1.0, 1.0]}},
        "units": {"u": "K"},
        "parameters": ("k",),
        "envelope": {"k": (1.0, 2.0)},
        "cost_data_seconds": 3.0,
        "cost_training_seconds": 2.0,
        "versions": versions(),
    }
    return ModelCard.model_validate(values | changes)


def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    save_surrogate(path, surrogate(), card())
    return path


def test_half_precision_is_kept(tmp_path):
    path, states = tmp_path / "half.safetensors", np.array([[1.0, 0.1, 2.0], [3.0, 4.0, 5.0]], dtype=np.float16)
    save_surrogate(path, surrogate(states), card())
    found = load_surrogate(path, Registry()).tensors()["states"]
    assert np.array_equal(found, states)
    header, _ = header_of(path)
    assert header["states"]["dtype"] == "F16"


def header_of(path):
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def rewritten(path, change):
    header, body = header_of(path)
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def test_what_is_written_is_read_back(tmp_path):
    path = saved(tmp_path)
    again = load_surrogate(path, Registry())
    query = Query(np.zeros(3), t=0.1, dt=0.05, parameters={"k": 1.2})
    assert np.array_equal(again.predict(query).value, surrogate().predict(query).value)
    assert again.model_card == load_card(path)
    assert again.model_card.cost_seconds == 5.0
    assert again.model_card.settings == {"parameters": ["k"], "sizes": [1]}
    assert len(again.model_card.tensors_sha256) == 64


def test_saving_replaces_the_file_at_once_and_leaves_nothing_behind(tmp_path):
    path = saved(tmp_path)
    before = path.read_bytes()
    with pytest.raises(BadInputError, match="tensor 'states' holds 1 values that are NaN or infinite"):
        save_surrogate(path, surrogate(np.array([[1.0, np.nan, 2.0], [0.0, 0.0, 0.0]])), card())
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["model.safetensors"]
    assert path.stat().st_mode & 0o444 & ~_umask() == 0o444 & ~_umask()


def _umask():
    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_an_unwritable_folder_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        save_surrogate(tmp_path / "file" / "model.safetensors", surrogate(), card())


def _claim_more(header):
    header["states"]["shape"] = [2, 3000000]
    header["states"]["data_offsets"] = [header["states"]["data_offsets"][0], 48000000]


def _wrong_dtype(header):
    header["states"]["dtype"] = "I64"


def _dtype_of_another_kind(header):
    header["states"]["dtype"] = ["F64"]


def _negative(header):
    header["states"]["shape"] = [-2, -3]


def _path_as_name(header):
    header["../../etc/passwd"] = header.pop("states")


def _no_card(header):
    header["__metadata__"] = {"format": "pt"}


def _card_not_json(header):
    header["__metadata__"]["cosolve_card"] = "{'surrogate': "


def _card_with(**changes) -> Callable[[dict], None]:
    def change(header):
        text = json.loads(header["__metadata__"]["cosolve_card"])
        header["__metadata__"]["cosolve_card"] = json.dumps(text | changes)

    return change


HOSTILE = {
    "claims more than the file holds": (_claim_more, "tensor 'states' of shape .* Was the file truncated"),
    "integers": (_wrong_dtype, "tensor 'states' has dtype 'I64', expected F16, F32 or F64"),
    "dtype of another kind": (_dtype_of_another_kind, "expected F16, F32 or F64"),
    "negative shape": (_negative, "expected counts"),
    "path as a name": (_path_as_name, "tensor name '../../etc/passwd' is not allowed"),
    "no card": (_no_card, "has no cosolve card"),
    "card is not JSON": (_card_not_json, "the card is not valid"),
    "card with another key": (_card_with(run="rm"), "the card is not valid: run"),
    "card of a later format": (_card_with(format=2), "the card is not valid: format"),
    "a module as the name": (_card_with(surrogate="os:system"), "the card is not valid: surrogate"),
    "unknown surrogate": (_card_with(surrogate="nearest_snapshoot"), "did you mean 'nearest_snapshot'"),
    "surrogate without a file": (_card_with(surrogate="previous"), "cannot be read from a file"),
    "envelope upside down": (_card_with(envelope={"k": [2.0, 1.0]}), "must be finite and ordered"),
    "infinite cost": (_card_with(cost_data_seconds=-1.0), "the card is not valid: cost_data_seconds"),
    "settings of another type": (_card_with(settings={"parameters": ["k", "q"]}), "tensor 'keys'"),
    "settings that are no table": (_card_with(settings=[]), "the card is not valid: settings"),
    "another hash": (_card_with(tensors_sha256="0" * 64), "is damaged"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_and_foreign_files_are_refused_in_one_sentence(tmp_path, what):
    path = saved(tmp_path)
    change, sentence = HOSTILE[what]
    rewritten(path, change)
    with pytest.raises(BadInputError, match=sentence) as caught:
        load_surrogate(path, Registry())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 4, 8, 30, -1])
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path, keep):
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInputError, match=r"truncated|header|complete"):
        load_surrogate(path, Registry())


def test_every_flipped_byte_is_refused_or_harmless(tmp_path):
    path = saved(tmp_path)
    raw = path.read_bytes()
    query = Query(np.zeros(3), t=0.1, dt=0.05, parameters={"k": 1.2})
    expected = surrogate().predict(query).value
    for position in range(0, len(raw), 7):
        damaged = bytearray(raw)
        damaged[position] ^= 0x41
        path.write_bytes(bytes(damaged))
        try:
            value = load_surrogate(path, Registry()).predict(query).value
        except CosolveError:
            continue
        # What still loads was flipped in a text that decides nothing, such as a version.
        assert np.array_equal(value, expected), position


def test_huge_and_absurd_headers_are_not_read(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    with pytest.raises(BadInputError, match="header claims 4611686018427387904 bytes"):
        load_card(path)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 5 * 1024**2))
        file.truncate(6 * 1024**2)
    with pytest.raises(BadInputError, match="at most"):
        load_card(path)
    deep = b"[" * 100_000
    path.write_bytes(struct.pack("<Q", len(deep)) + deep)
    with pytest.raises(BadInputError, match="not JSON"):
        load_card(path)


def test_nan_in_a_file_is_refused(tmp_path):
    path = saved(tmp_path)
    header, _ = header_of(path)
    tensors = {"keys": np.zeros((1, 2)), "states": np.array([[np.nan, 0.0, 0.0]])}
    path.write_bytes(save(tensors, metadata=header["__metadata__"]))
    with pytest.raises(BadInputError, match="tensor 'states' holds 1 values that are NaN or infinite"):
        load_surrogate(path, Registry())


def test_a_missing_file_a_folder_and_a_pickle_are_refused(tmp_path):
    with pytest.raises(BadInputError, match="does not exist"):
        load_card(tmp_path / "none.safetensors")
    with pytest.raises(BadInputError, match="not a regular file"):
        load_card(tmp_path)
    pickle = tmp_path / "model.pt"
    pickle.write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR." + b" " * 64)
    with pytest.raises(BadInputError, match="not a complete safetensors file"):
        load_card(pickle)


DESCRIPTION = {
    "problem": "heat",
    "dtype": "float64",
    "parameters": ["k", "q"],
    "spaces": {"u": {"kind": "grid", "extent": [1.0, 1.0], "cells": 64}},
    "units": {"u": "K", "k": "W/m/K"},
}


def test_a_matching_problem_passes_and_may_say_more_than_the_card():
    check_matches(card(), DESCRIPTION)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"problem": "curing"}, "problem is 'curing', the model expects 'heat'"),
        ({"dtype": "float32"}, "dtype is 'float32', the model expects 'float64'"),
        ({"units": {"u": "C"}}, "units.u is 'C', the model expects 'K'"),
        ({"units": {}}, "units.u is 'nothing', the model expects 'K'"),
        ({"spaces": {"v": {}}}, "spaces.u is 'nothing'"),
        ({"spaces": {"u": {"kind": "dofs"}}}, "spaces.u.kind is 'dofs', the model expects 'grid'"),
        ({"spaces": {"u": {"kind": "grid", "extent": [1.0, 2.0]}}}, r"spaces.u.extent\[1\] is 2.0"),
        ({"spaces": {"u": {"kind": "grid", "extent": [1.0]}}}, "spaces.u.extent is"),
        ({"parameters": ["kk"]}, r"parameter 'k', .* \(nearest: 'kk'\)"),
    ],
)
def test_a_foreign_problem_is_named_by_key_expectation_and_find(changes, sentence):
    with pytest.raises(ModelMismatchError, match=sentence):
        check_matches(card(), DESCRIPTION | changes, model="m.safetensors")


def test_the_envelope_names_what_lies_outside():
    envelope = {"k": (1.0, 2.0), "q": (0.0, 0.0)}
    assert outside_envelope(envelope, {"k": 1.0, "q": 0.0, "unknown": 9.0}) == []
    assert outside_envelope(envelope, {"k": np.array([1.5, 2.0 + 1e-12]), "q": 0.0}) == []
    (breach,) = outside_envelope(envelope, {"k": np.array([1.5, 2.5, 0.9]), "q": 0.0})
    assert (breach.name, breach.value) == ("k", 2.5)
    assert str(breach) == "k = 2.5, trained on [1, 2]"
    missing, nan = outside_envelope(envelope, {"q": float("nan")})
    assert (missing.name, nan.name) == ("k", "q")
    assert "is missing or not a number" in str(missing)
