"""A conformance suite whose class misses a method fails by name: it is never left out without a word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cosolve.core.communicator import Communicator, SerialCommunicator
from cosolve.testing import CouplingContract, PluginContract, SolverContract, SurrogateContract, VerifierContract

EMPTY = """
from cosolve.testing import SolverContract


class TestMine(SolverContract):
    def make(self):
        from cosolve.core.testing.mean_field import MeanFieldSolver
        return MeanFieldSolver()
"""


def test_a_missing_method_fails_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(EMPTY)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "TestMine inherits SolverContract, but does not implement `query`, which must return a Query" in done.stdout
    assert "5 passed" in done.stdout, "tests that need no query are run"


@pytest.mark.parametrize(
    ("contract", "methods"),
    [
        (CouplingContract, {"make": 1}),
        (PluginContract, {"module_name": 0}),
        (SolverContract, {"make": 0, "query": 1}),
        (SurrogateContract, {"make": 0, "query": 0}),
        (VerifierContract, {"make": 0, "solver": 0, "good": 1, "bad": 1}),
    ],
)
def test_each_contract_names_what_is_missing(contract: type, methods: dict[str, int]) -> None:
    class TestMine(contract):  # type: ignore[misc]  # the base is a parameter
        __test__ = False

    for method, count in methods.items():
        with pytest.raises(NotImplementedError, match=f"TestMine inherits {contract.__name__}.*`{method}`"):
            getattr(TestMine(), method)(*[None] * count)


def test_the_serial_communicator_has_rank_and_size_as_mpi4pys_has() -> None:
    comm: Communicator = SerialCommunicator()
    assert (comm.rank, comm.size) == (comm.Get_rank(), comm.Get_size()) == (0, 1)
    assert isinstance(comm, Communicator)
    assert SerialCommunicator().Dup().size == 1
