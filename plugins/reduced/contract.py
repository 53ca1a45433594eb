"""What `cosolve check-plugin` needs to know to make these objects."""

from __future__ import annotations

from cosolve.core.testing import StoredSurrogateContract
from cosolve.core.testing.mean_field_runs import DT, mean_field_runs
from cosolve.plugins.reduced.dmd import Dmd
from cosolve.plugins.reduced.pod_ridge import Inputs, PodRidge
from cosolve.plugins.reduced.transforms import Identity


class PodRidgeContract(StoredSurrogateContract):
    """Trained on runs of the mean-field problem."""

    differentiable = True
    any_size = False

    def make(self) -> PodRidge:
        """Return a trained one."""
        surrogate = PodRidge(Inputs(()), Identity(), DT)
        surrogate.fit(mean_field_runs(), modes_in=2, modes_out=2, leading=(3,), ridge=1e-6)
        return surrogate


class DmdContract(StoredSurrogateContract):
    """Trained on runs of the mean-field problem."""

    differentiable = True
    any_size = False

    def make(self) -> Dmd:
        """Return a trained one."""
        surrogate = Dmd(Identity(), DT)
        surrogate.fit(mean_field_runs(), modes=2)
        return surrogate
