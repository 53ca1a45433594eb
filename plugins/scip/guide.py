"""A trained guide: what it proposes at which point, for which instances, and how it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError
from cosolve.core.model_card import outside_envelope
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.surrogate import StoredSurrogate
from cosolve.plugins.scip.feature_names import NATIVE, PLAIN_INPUTS
from cosolve.plugins.scip.network import Network
from cosolve.plugins.scip.settings import Settings

FEATURE_SET: Final = "candidates-1"
"""Name of what the networks read; changes when a feature changes its meaning."""


class MIPGuide(StoredSurrogate):
    """Proposes branching variables and root settings for SCIP.

    Args:
        network: Scores candidates by all 66 features; None for a guide without it.
        plain: Scores candidates by the 20 that PySCIPOpt alone can compute; None for a guide without it.
        settings: Root settings; None leaves SCIP's.
        envelope: Range of each instance feature in which the guide may be used, see
            `cosolve.plugins.scip.instance_features`; empty for no limits.
        scip: Version of SCIP that it was trained with, `"10.0"`; empty for any.
        probes: Length of the short list that strong branching judges near the root; 0 for none.
        probe_depth: Deepest node at which it does.
        probe_iterations: Iterations of the linear program for each side.
        start_steps: Steps of the local search for a primal start, see `cosolve.plugins.scip.covering_search`; 0 for no
            start.
    """

    name: ClassVar[str] = "mip_guide"

    def __init__(
        self,
        network: Network | None = None,
        plain: Network | None = None,
        *,
        settings: Settings | None = None,
        envelope: Mapping[str, tuple[float, float]] | None = None,
        scip: str = "",
        probes: int = 0,
        probe_depth: int = 0,
        probe_iterations: int = 0,
        start_steps: int = 0,
    ) -> None:
        self.network = network
        self.plain = plain
        self.root_settings = settings
        self.envelope = dict(envelope or {})
        self.scip = scip
        self.probes, self.probe_depth, self.probe_iterations = probes, probe_depth, probe_iterations
        self.start_steps = start_steps

    def outside(self, features: Mapping[str, float]) -> str:
        """Return why an instance is not of the kind that the guide knows; empty when it is.

        Args:
            features: What `cosolve.plugins.scip.instance_features.measure` found.
        """
        breaches = outside_envelope(self.envelope, features)
        return "; ".join(str(breach) for breach in breaches[:3])

    def _predict(self, query: Query) -> Prediction:
        """Score candidates: `query.state` holds their inputs one after the other, and `value` their scores."""
        network = self.network or self.plain
        if network is None:
            raise BadInputError("this guide has no network, only settings")
        return Prediction(network.scores(np.asarray(query.state).reshape(-1, network.inputs)))

    def tensors(self) -> Mapping[str, Array]:
        """Return the networks' arrays by name."""
        found: dict[str, Array] = {}
        for prefix, network in (("native", self.network), ("plain", self.plain)):
            if network is not None:
                found.update(network.tensors(prefix))
        return found

    def settings(self) -> Mapping[str, Any]:
        """Return all that is no array."""
        return {
            "feature_set": FEATURE_SET,
            "features": list(NATIVE),
            "networks": [name for name, one in (("native", self.network), ("plain", self.plain)) if one is not None],
            "root_settings": None if self.root_settings is None else self.root_settings.as_json(),
            "envelope": {name: list(bounds) for name, bounds in self.envelope.items()},
            "scip": self.scip,
            "probes": self.probes,
            "probe_depth": self.probe_depth,
            "probe_iterations": self.probe_iterations,
            "start_steps": self.start_steps,
        }

    @classmethod
    def from_file(cls, tensors: Mapping[str, Array], settings: Mapping[str, Any]) -> MIPGuide:
        """Build the guide again.

        Raises:
            BadInputError: It reads other features, or an array is missing or has another shape.
        """
        if settings.get("feature_set") != FEATURE_SET or list(settings.get("features", ())) != list(NATIVE):
            raise BadInputError(
                f"the guide reads the features {settings.get('feature_set')!r}, this cosolve computes {FEATURE_SET!r}; "
                "train it again: `cosolve train branching`"
            )
        networks = settings["networks"]
        arrays = dict(tensors)
        root = settings.get("root_settings")
        return cls(
            Network.from_tensors(arrays, "native", len(NATIVE)) if "native" in networks else None,
            Network.from_tensors(arrays, "plain", len(PLAIN_INPUTS)) if "plain" in networks else None,
            settings=None if root is None else Settings.from_json(root),
            envelope={name: (float(low), float(high)) for name, (low, high) in settings["envelope"].items()},
            scip=str(settings.get("scip", "")),
            probes=int(settings.get("probes", 0)),
            probe_depth=int(settings.get("probe_depth", 0)),
            probe_iterations=int(settings.get("probe_iterations", 0)),
            start_steps=int(settings.get("start_steps", 0)),
        )
