"""A run on the compiled solver goes on from its checkpoint bit for bit: the solver keeps nothing between steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from cosolve.core.communicator import SerialCommunicator
from cosolve.core.governor import Governor, decisions_of
from cosolve.core.ledger import Ledger, read_ledger
from cosolve.core.loop import Loop
from cosolve.core.result import Result
from cosolve.core.session import Session
from cosolve.core.testing.mean_field import RatioVerifier
from cosolve.plugins.baselines.extrapolation import QuadraticExtrapolation
from cosolve.plugins.numba_kernels.options import ReactionDiffusionOptions
from cosolve.plugins.numba_kernels.reaction_diffusion import ReactionDiffusion

STEPS, DT = 24, 0.02


@pytest.fixture(scope="module")
def spot() -> np.ndarray:
    x, y = np.meshgrid(*[(np.arange(16) + 0.5) / 16] * 2, indexing="ij")
    return np.exp(-40.0 * ((x - 0.3) ** 2 + (y - 0.4) ** 2))


def run(spot: np.ndarray, folder: Path, steps: int, *, resume: bool = False, replayed: Path | None = None) -> Result:
    comm = SerialCommunicator()
    options = ReactionDiffusionOptions(n=16, rtol=1e-5)
    solver = ReactionDiffusion(spot, diffusivity=0.02, nonlinearity=4.0, reaction=0.5, options=options)
    decisions = None if replayed is None else decisions_of(read_ledger(replayed))
    governor = Governor("measured") if decisions is None else Governor("replay", decisions)
    with (
        Ledger(folder, comm, resume=resume) as ledger,
        Session(solver, RatioVerifier(correct_below=1e3), governor=governor, ledger=ledger) as session,
    ):
        loop = Loop(session, [QuadraticExtrapolation()], t_end=steps * DT, dt=DT, directory=folder, checkpoint_every=5)
        result = loop.run(resume=resume).raise_on_failure()
    solver.close()
    return result


def test_a_run_on_the_compiled_solver_goes_on_bit_for_bit(spot: np.ndarray, tmp_path: Path) -> None:
    whole = run(spot, tmp_path / "whole", STEPS)
    assert whole.stats["judged"] >= 1
    run(spot, tmp_path / "parts", 13, replayed=tmp_path / "whole")
    rest = run(spot, tmp_path / "parts", STEPS, resume=True, replayed=tmp_path / "whole")
    np.testing.assert_array_equal(rest.value, whole.value)
    steps = [record for record in read_ledger(tmp_path / "parts") if record["kind"] == "step"]
    assert [record["step"] for record in steps] == list(range(STEPS))
