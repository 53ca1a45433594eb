"""What `cosolve check-plugin` needs to know to make these objects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.testing import SolverContract, StoredSurrogateContract
from cosolve.core.testing.mean_field_runs import mean_field_runs
from cosolve.core.testing.two_wells import TwoWells
from cosolve.plugins.baselines.arc_length import ArcLength
from cosolve.plugins.baselines.grid_sequencing import GridSequencing
from cosolve.plugins.baselines.load_stepping import LoadStepping, scaled
from cosolve.plugins.baselines.nearest_snapshot import NearestSnapshot
from cosolve.plugins.baselines.pod_gp import PodGaussianProcess


class NearestSnapshotContract(StoredSurrogateContract):
    """It has seen some runs."""

    any_size = False

    def make(self) -> NearestSnapshot:
        """Return one that has stored some runs."""
        surrogate = NearestSnapshot()
        surrogate.fit(mean_field_runs())
        return surrogate


class PodGpContract(StoredSurrogateContract):
    """It has seen some runs, whose states shrink with a parameter."""

    any_size = False

    def make(self) -> PodGaussianProcess:
        """Return a fitted one."""
        surrogate = PodGaussianProcess()
        surrogate.fit(
            [replace(run, parameters={"scale": float(scale)}) for scale, run in enumerate(mean_field_runs(6), 1)]
        )
        return surrogate

    def first_question(self, solver: Solver) -> Query:
        """Return a question with the parameter."""
        return replace(super().first_question(solver), parameters={"scale": 2.5})


class _ContinuationContract(SolverContract):
    """A double well: the path from rest leads to the left one."""

    def query(self, solver: Solver) -> Query:
        """Return a solve under a force that the path grows to."""
        return Query(solver.initial_state(), 0.0, 0.1, parameters={"force": 0.3})


class LoadSteppingContract(_ContinuationContract):
    """The force grows in steps."""

    def make(self) -> LoadStepping:
        """Return the continuation."""
        return LoadStepping(TwoWells(self.comm), scaled("force"))


class ArcLengthContract(_ContinuationContract):
    """The curve of states and forces is followed by its length."""

    def make(self) -> ArcLength:
        """Return the continuation."""
        return ArcLength(TwoWells(self.comm), scaled("force"))


class GridSequencingContract(_ContinuationContract):
    """A coarse chain of wells on each rank, whose values start those of the fine one."""

    def make(self) -> GridSequencing:
        """Return the continuation; the ranks' shares are nested, so that prolonging needs no communication."""
        ranks = self.comm.Get_size()
        coarse = LoadStepping(TwoWells(self.comm, size=6 * ranks), scaled("force"))
        fine = LoadStepping(TwoWells(self.comm, size=12 * ranks), scaled("force"))
        return GridSequencing(fine, coarse, lambda values: np.repeat(values, 2))
