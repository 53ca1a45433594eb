"""Every built-in plugin goes through the kits that a third party's plugin goes through."""

from __future__ import annotations

import pytest
from cosolve.core.registry import Registry
from cosolve.core.testing import inputs
from cosolve.core.testing.check_plugin import check_plugins, chosen_plugins
from cosolve.core.testing.checking import Finding, failed, kit_of
from cosolve.core.testing.contract import Contract
from cosolve.core.testing.ranks import MOST_RANKS, launcher

CALLS, EXAMPLES = 64, 6
"""Calls of each check of memory and questions that are drawn, in the fast form; the slow one takes the kits' own."""

BUILT_IN = (
    "baselines", "couplings", "examples", "fenicsx", "numba_kernels", "petsc", "pytorch", "reduced", "report", "scip",
    "verifiers",
)  # fmt: skip


def check(name: str, most_ranks: int) -> list[Finding]:
    registry = Registry.discover()
    (plugin,) = chosen_plugins(registry, [name])
    found = [finding for _, finding in check_plugins(registry, [plugin], most_ranks=most_ranks)]
    assert not failed(found), "\n".join(f"{one.subject}: {one.check}: {one.reason}" for one in failed(found))
    return found


def test_each_built_in_plugin_is_checked() -> None:
    assert {
        plugin.name for plugin in Registry.discover().plugins if plugin.source.distribution.startswith("cosolve ")
    } == set(BUILT_IN)


def test_each_entry_but_a_bench_has_a_kit() -> None:
    for offer in Registry.discover().offers():
        if offer.role != "bench" and not offer.missing:
            assert kit_of(offer) is not None, f"{offer.role} {offer.entry.name}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_plugin_keeps_the_contracts_of_its_roles(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Contract, "calls", CALLS)
    monkeypatch.setattr(inputs, "EXAMPLES", EXAMPLES)
    check(name, most_ranks=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_plugin_keeps_them_on_several_ranks(name: str) -> None:
    if not launcher():
        pytest.skip("needs mpirun: `make setup` installs it on Debian")
    found = check(name, MOST_RANKS)
    parallel = {one.subject for one in found if one.ranks > 1}
    assert all(one.state != "not run" for one in found if one.subject in parallel), found
