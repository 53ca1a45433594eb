"""What a coefficient network sees of a query: parameters, time, coefficients of the state and of its last change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.core.errors import ModelMismatchError, nearest

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """Order and number of the features.

    Attributes:
        parameters: Name and number of entries of each parameter.
        time: Whether the time at the end of the step is a feature.
        step: Whether the length of the step is a feature.
        decays: Rates r of features exp(-r t).
        frequencies: Names of parameters f that give features sin(2 pi f t) and cos(2 pi f t).
        modulated: Names of parameters that are features times each of these sines and cosines, too.
        state_modes: Number of coefficients of the state.
        history_modes: Number of coefficients of the last change of the state.
    """

    parameters: tuple[tuple[str, int], ...]
    time: bool = True
    step: bool = False
    decays: tuple[float, ...] = ()
    frequencies: tuple[str, ...] = ()
    modulated: tuple[str, ...] = ()
    state_modes: int = 0
    history_modes: int = 0

    @classmethod
    def for_parameters(cls, parameters: Mapping[str, Any], **options: Any) -> FeatureMap:
        """Return a map for the parameters of a run, sorted by name."""
        return cls(tuple((name, int(np.size(parameters[name]))) for name in sorted(parameters)), **options)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> FeatureMap:
        """Build the map again from `settings`."""
        plain = dict(settings)
        plain["parameters"] = tuple((str(name), int(size)) for name, size in plain["parameters"])
        plain["decays"] = tuple(float(rate) for rate in plain["decays"])
        for key in ("frequencies", "modulated"):
            plain[key] = tuple(str(name) for name in plain[key])
        return cls(**plain)

    def settings(self) -> dict[str, Any]:
        """Return the map as plain values."""
        return asdict(self)

    @property
    def size(self) -> int:
        """Number of features."""
        given = sum(size for _, size in self.parameters)
        clock = int(self.time) + int(self.step) + len(self.decays)
        clock += 2 * len(self.frequencies) * (1 + len(self.modulated))
        return given + clock + self.state_modes + self.history_modes

    def __call__(
        self, parameters: Mapping[str, Any], t_end: float, dt: float, state: Sequence[float], change: Sequence[float]
    ) -> Float64:
        """Return the features of one step, shape `(size,)`.

        Args:
            parameters: `Query.parameters`; others than those of the map are ignored.
            t_end: Time at the end of the step.
            dt: Its length.
            state: At least `state_modes` coefficients of the state.
            change: At least `history_modes` coefficients of its last change.

        Raises:
            ModelMismatchError: A parameter is missing or has another number of entries.
        """
        parts: list[Array] = [self._parameter(parameters, name, size) for name, size in self.parameters]
        clock = ([t_end] if self.time else []) + ([dt] if self.step else [])
        clock += [math.exp(-rate * t_end) for rate in self.decays]
        for name in self.frequencies:
            phase = 2.0 * math.pi * float(self._parameter(parameters, name, 1)[0]) * t_end
            waves = [math.sin(phase), math.cos(phase)]
            clock += waves
            for other in self.modulated:
                factor = float(self._parameter(parameters, other, 1)[0])
                clock += [factor * wave for wave in waves]
        parts.append(np.array(clock, dtype=np.float64))
        parts += [np.asarray(state[: self.state_modes]), np.asarray(change[: self.history_modes])]
        return np.concatenate(parts).astype(np.float64, copy=False)

    @staticmethod
    def _parameter(parameters: Mapping[str, Any], name: str, size: int) -> Float64:
        if name not in parameters:
            guess = nearest(name, parameters)
            raise ModelMismatchError(
                f"the model needs the parameter {name!r}, which the query does not have"
                + (f" (nearest: {guess!r})" if guess else "")
                + f"; it has {', '.join(sorted(parameters)) or 'none'}."
            )
        values = np.asarray(parameters[name], dtype=np.float64).reshape(-1)
        if values.size != size:
            raise ModelMismatchError(f"parameter {name!r} has {values.size} entries, the model was trained with {size}")
        return values
