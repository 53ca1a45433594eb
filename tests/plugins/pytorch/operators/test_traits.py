"""What `cosolve plugins --role surrogate` claims of the networks is what their classes say and tests measure."""

from __future__ import annotations

import pytest
from cosolve.core.entries import Entry
from cosolve.plugins.pytorch import cosolve_surrogates
from cosolve.plugins.pytorch.grid_surrogate import GridSurrogate

ENTRIES = {entry.name: entry for entry in cosolve_surrogates()}
GRIDS = [entry for entry in ENTRIES.values() if "grid" in (entry.traits.spaces if entry.traits else "")]


def test_each_network_says_what_it_keeps() -> None:
    said = {name for name, entry in ENTRIES.items() if entry.traits is not None}
    assert said >= {"torch_module", "pod_mlp", "deeponet", "multionet"}
    assert {entry.name for entry in GRIDS} == {"fno", "unet", "local_operator", "mgno", "sinenet"}


@pytest.mark.parametrize("entry", GRIDS, ids=lambda entry: entry.name)
def test_claims_are_those_of_the_class(entry: Entry) -> None:
    surrogate = entry.load()
    assert issubclass(surrogate, GridSurrogate)
    operator, traits = surrogate.operator_type, entry.traits
    assert traits is not None
    if operator.resolution_invariant:
        assert traits.resolution.startswith("invariant")
    else:
        assert traits.resolution in ("fixed", "invariant with base")
    assert (traits.boundaries == "periodic") == (operator.boundaries == ("circular",))
