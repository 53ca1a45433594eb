"""What agreement costs is a constant: it depends neither on the ranks nor on the number of values."""

from __future__ import annotations

import shutil

import pytest
from cosolve.core.communicator import Communicator
from cosolve.examples.scaling.attempts import WHATS, What, count_attempt
from cosolve.examples.scaling.bench import COUNTED_RANKS, is_constant, measured

EXPECTED = {"accepted": (7, 312), "rejected": (8, 368), "nobody asked": (2, 112)}
"""Collectives and bytes on any number of ranks above one: this test runs on two and on three."""


@pytest.mark.mpi
@pytest.mark.parametrize("size", [30, 3000])
@pytest.mark.parametrize("what", WHATS)
def test_an_attempt_costs_the_same_on_any_ranks_and_for_any_size(what: What, size: int, comm: Communicator) -> None:
    found = count_attempt(comm, size, what)
    # On one rank only the solver's own two reductions are left.
    alone = {"accepted": (2, 32), "rejected": (2, 32), "nobody asked": (0, 0)}
    expected = alone if comm.Get_size() == 1 else EXPECTED
    assert (found["collectives"], found["bytes"]) == expected[what]


@pytest.mark.slow
def test_the_bench_says_that_collectives_do_not_depend_on_the_ranks() -> None:
    if shutil.which("mpirun") is None:
        pytest.skip("needs mpirun: `make setup` installs it on Debian")
    counts = [one for ranks in COUNTED_RANKS for one in measured(ranks, "count", 30, 3000)]
    assert is_constant(counts)
    assert {one["ranks"] for one in counts} == set(COUNTED_RANKS)
