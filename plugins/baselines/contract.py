"""What `cosolve check-plugin` needs to know to make these objects."""

from __future__ import annotations

from cosolve.core.testing import StoredSurrogateContract
from cosolve.core.testing.mean_field_runs import mean_field_runs
from cosolve.plugins.baselines.nearest_snapshot import NearestSnapshot


class NearestSnapshotContract(StoredSurrogateContract):
    """It has seen some runs."""

    any_size = False

    def make(self) -> NearestSnapshot:
        """Return one that has stored some runs."""
        surrogate = NearestSnapshot()
        surrogate.fit(mean_field_runs())
        return surrogate
