"""What `cosolve check-plugin` needs to know to make these objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from cosolve.core.arrays import Array
from cosolve.core.query import Query
from cosolve.core.solver import Solver
from cosolve.core.testing import MeanFieldSolver, StoredSurrogateContract, SurrogateContract
from cosolve.core.testing.mean_field_runs import mean_field_places, mean_field_runs
from cosolve.core.training_data import TrainingData
from cosolve.plugins.pytorch.basis_surrogate import BasisSurrogate
from cosolve.plugins.pytorch.basis_training import train_basis_surrogate
from cosolve.plugins.pytorch.deeponet import DeepONet
from cosolve.plugins.pytorch.deeponet_surrogate import DeepONetSurrogate
from cosolve.plugins.pytorch.features import FeatureMap
from cosolve.plugins.pytorch.grid_surrogate import GridSurrogate
from cosolve.plugins.pytorch.module_surrogate import TorchSurrogate
from cosolve.plugins.pytorch.operators.fno import FNOSurrogate
from cosolve.plugins.pytorch.operators.local_operator import LocalOperatorSurrogate
from cosolve.plugins.pytorch.operators.mgno import MgNOSurrogate
from cosolve.plugins.pytorch.operators.multionet import MultiONet, MultiONetSurrogate
from cosolve.plugins.pytorch.operators.sinenet import SineNetSurrogate
from cosolve.plugins.pytorch.operators.unet import UNetSurrogate
from cosolve.plugins.pytorch.operators.vcycle import VCycleSurrogate
from cosolve.plugins.pytorch.options import BasisOptions
from torch import nn


def _pointwise(state: torch.Tensor, query: Query) -> torch.Tensor:
    """Return the state as one row for each point, in the precision of the module."""
    return state.reshape(-1, 1).to(torch.float64)


class ModuleContract(SurrogateContract):
    """A small network of the value at each point."""

    differentiable = True

    def make(self) -> TorchSurrogate:
        """Return the module as a surrogate."""
        torch.manual_seed(0)
        layers = [nn.Linear(1, 4, dtype=torch.float64), nn.Tanh(), nn.Linear(4, 1, dtype=torch.float64)]
        return TorchSurrogate(nn.Sequential(*layers), _pointwise, residual=True)


class BasisContract(StoredSurrogateContract):
    """Trained for a moment on runs of the mean-field problem."""

    differentiable = True
    rank_rtol = 1e-9

    def make(self) -> BasisSurrogate:
        """Return a trained one."""
        runs = mean_field_runs()
        data = TrainingData(training=tuple(runs[2:]), validation=tuple(runs[:2]))
        options = BasisOptions(modes=2, state_modes=2, time=False, width=8, epochs=3)
        return train_basis_surrogate(data, mean_field_places(), options)[0]

    def test_file_round_trip_gives_the_same_answer(self) -> None:
        """Placed before it is asked: a file holds no mesh."""
        surrogate, query = self.make(), self.query()
        again = type(surrogate).from_file(surrogate.tensors(), surrogate.settings())
        again.place(mean_field_places())
        assert (again.predict(query).value == surrogate.predict(query).value).all(), "its file gives another answer"


class DeepONetContract(StoredSurrogateContract):
    """Untrained, with sensors at some of the points."""

    differentiable = True
    rank_rtol = 1e-9

    def make(self) -> DeepONetSurrogate:
        """Return one placed where the values live."""
        torch.manual_seed(0)
        places = mean_field_places()
        model = DeepONet(5, 1, width=8, depth=1, terms=4, dtype=torch.float64)
        surrogate = DeepONetSurrogate(model, places[::8], FeatureMap((), time=False))
        surrogate.place(places)
        return surrogate

    def test_file_round_trip_gives_the_same_answer(self) -> None:
        """Placed before it is asked: a file holds no mesh."""
        surrogate, query = self.make(), self.query()
        again = type(surrogate).from_file(surrogate.tensors(), surrogate.settings())
        again.place(mean_field_places())
        assert (again.predict(query).value == surrogate.predict(query).value).all(), "its file gives another answer"


class _OnAGrid(MeanFieldSolver):
    """The mean-field solver, its values on 10 x 4 points of a plane."""

    def coordinates(self) -> Array:
        """Return row and column of each value, shape `(n_owned, 2)`."""
        number = super().coordinates()[:, 0]
        places: Array = np.stack([number // 4.0, number % 4.0], axis=1)
        return places


class GridContract(StoredSurrogateContract):
    """An untrained network on the mean-field problem, spread over a plane."""

    differentiable = True
    rank_rtol = 1e-9
    kind: ClassVar[type[GridSurrogate]]
    network: ClassVar[Mapping[str, Any]]

    def make(self) -> GridSurrogate:
        """Return one placed where the values live."""
        torch.manual_seed(0)
        surrogate = self.kind.build(
            FeatureMap((), time=False), np.zeros(2), np.array([9.0, 3.0]), dtype=torch.float64, **self.network
        )
        surrogate.place(_OnAGrid().coordinates())
        return surrogate

    def solver(self) -> Solver:
        """Return the solver on a plane."""
        return _OnAGrid(comm=self.comm, cubic=0.0, empty_rank=self.without_values)

    def test_file_round_trip_gives_the_same_answer(self) -> None:
        """Placed before it is asked: a file holds no grid."""
        surrogate, query = self.make(), self.query()
        again = type(surrogate).from_file(surrogate.tensors(), surrogate.settings())
        again.place(_OnAGrid().coordinates())
        found, expected = again.predict(query).value, surrogate.predict(query).value
        assert np.array_equal(found, expected), "its file gives another answer"


class FNOContract(GridContract):
    """A Fourier neural operator."""

    kind, network = FNOSurrogate, {"modes": [3, 3], "width": 4, "layers": 1}


class UNetContract(GridContract):
    """A U-Net with kernels of a fixed physical radius."""

    kind, network = UNetSurrogate, {"width": 4, "levels": 1, "base": 8}


class LocalOperatorContract(GridContract):
    """Spectral, integral and differential kernels."""

    kind, network = LocalOperatorSurrogate, {"modes": [3, 3], "width": 4, "layers": 1, "base": 8}


class MgNOContract(GridContract):
    """Linear maps by V-cycles."""

    kind, network = MgNOSurrogate, {"width": 4, "layers": 1, "levels": 2}


class VCycleContract(GridContract):
    """One V-cycle with the stencils of the textbook; the state stands for a residual."""

    kind, network = VCycleSurrogate, {}

    def make(self) -> GridSurrogate:
        """Return one placed where the values live."""
        surrogate = VCycleSurrogate.make((0.0, 0.0), (9.0, 3.0), double=True, levels=2)
        surrogate.place(self.solver().coordinates(), self.comm)
        return surrogate


class SineNetContract(GridContract):
    """Small U-Nets one after the other."""

    kind, network = SineNetSurrogate, {"width": 4, "waves": 2, "levels": 1}


class MultiONetContract(DeepONetContract):
    """The same with a MultiONet."""

    def make(self) -> DeepONetSurrogate:
        """Return one placed where the values live."""
        torch.manual_seed(0)
        places = mean_field_places()
        model = MultiONet(5, 1, 8, 3, 2, torch.float64)
        surrogate = MultiONetSurrogate(model, places[::8], FeatureMap((), time=False))
        surrogate.place(places)
        return surrogate
