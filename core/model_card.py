"""The card of a trained model: what it is, what it was trained for, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from cosolve.core.errors import ModelMismatchError, nearest
from pydantic import BaseModel, ConfigDict, Field, field_validator

CARD_FORMAT = 1
"""Version of the card's layout."""

# A registered name can neither be a path nor a module: the factory comes from the registry alone.
RegisteredName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Seconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
_ENVELOPE_SLACK = 1e-9


class ModelCard(BaseModel):
    """What a model file says about its surrogate, beside the tensors.

    `spaces` and `units` hold what a problem must have: every key in them is compared with `Problem.describe()`, and
    a model that transfers between meshes leaves out the keys that may differ (the number of cells, say).

    Attributes:
        format: Version of the layout.
        surrogate: Registered name of the surrogate, which finds the class in the registry.
        settings: Constructor arguments that are not arrays; filled in by `save_surrogate`.
        problem: Name of the problem it was trained for; empty for a model that serves any problem of these spaces.
        spaces: Description of the space of each field, by field name.
        units: Unit of each field and parameter, by name.
        parameters: Names of the parameters that the surrogate reads.
        dtype: Precision of the states that it proposes.
        envelope: Lowest and highest value of each parameter in training.
        seed: Seed of data and training.
        versions: Versions of cosolve, Python and libraries at training.
        cost_data_seconds: CPU seconds spent on generating the data.
        cost_training_seconds: CPU seconds spent on training.
        data_sha256: Hash of the training data.
        tensors_sha256: Hash of the tensors; filled in by `save_surrogate` and checked by `load_surrogate`.
        figures: Figures of merit on data unseen in training.
        made_by: The command that makes the file again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    surrogate: RegisteredName
    settings: dict[str, Any] = {}
    problem: str = ""
    spaces: dict[str, dict[str, Any]] = {}
    units: dict[str, str] = {}
    parameters: tuple[str, ...] = ()
    dtype: Literal["float32", "float64"] = "float64"
    envelope: dict[str, tuple[float, float]] = {}
    seed: int = 0
    versions: dict[str, str] = {}
    cost_data_seconds: Seconds = 0.0
    cost_training_seconds: Seconds = 0.0
    data_sha256: str = ""
    tensors_sha256: str = ""
    figures: dict[str, float] = {}
    made_by: str = ""

    @field_validator("envelope")
    @classmethod
    def _ranges_are_ordered(cls, envelope: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for name, (low, high) in envelope.items():
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise ValueError(f"the range of {name!r} must be finite and ordered, found ({low}, {high})")
        return envelope

    @property
    def cost_seconds(self) -> float:
        """CPU seconds of data and training together: what a break-even has to earn back."""
        return self.cost_data_seconds + self.cost_training_seconds


@dataclass(frozen=True, slots=True)
class Breach:
    """A parameter that lies outside of a training envelope.

    Attributes:
        name: The parameter.
        value: Its value (of an array the entry that is farthest outside; NaN when the parameter is missing).
        low: Lowest value in training.
        high: Highest value in training.
    """

    name: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return one sentence fragment for a verdict's reason."""
        found = "is missing or not a number" if math.isnan(self.value) else f"= {self.value:.6g}"
        return f"{self.name} {found}, trained on [{self.low:.6g}, {self.high:.6g}]"


def outside_envelope(envelope: Mapping[str, tuple[float, float]], parameters: Mapping[str, Any]) -> list[Breach]:
    """Return a breach for each parameter of `envelope` that is missing, NaN or out of range (not collective).

    Args:
        envelope: Lowest and highest value by parameter name, as in `ModelCard.envelope`.
        parameters: `Query.parameters`: numbers, or arrays of which every entry is checked.

    >>> outside_envelope({"k": (1.0, 2.0)}, {"k": 3.0})[0].value
    3.0
    """
    breaches = []
    for name, (low, high) in envelope.items():
        try:
            values = np.atleast_1d(np.asarray(parameters[name], dtype=np.float64)).ravel()
        except (KeyError, TypeError, ValueError):
            values = np.array([np.nan])
        slack = _ENVELOPE_SLACK * max(abs(low), abs(high), high - low)
        distance = np.maximum(low - slack - values, values - high - slack)
        # NaN is outside: comparisons with it are False, so the test asks for "inside" and negates.
        if not bool(np.all(distance <= 0.0)):
            worst = int(np.argmax(np.where(np.isnan(distance), np.inf, distance)))
            breaches.append(Breach(name, float(values[worst]), low, high))
    return breaches


def check_matches(card: ModelCard, description: Mapping[str, Any], *, model: str = "the model") -> None:
    """Check that a model belongs to a problem (not collective).

    Args:
        card: The card of the model.
        description: `Problem.describe()`, with the keys `problem` (name), `spaces` (description by field), `units`
            (by field and parameter), `parameters` (names) and `dtype`.
        model: How to call the model in the sentence, its path for instance.

    Raises:
        ModelMismatchError: Names the first key that differs, what the model expects, and what the problem has.
    """
    if card.problem and "problem" in description:
        _compare("problem", card.problem, description["problem"], model)
    if "dtype" in description:
        _compare("dtype", card.dtype, description["dtype"], model)
    for section, wanted in (("spaces", card.spaces), ("units", card.units)):
        _compare(section, wanted, description.get(section, {}), model)
    known = [str(name) for name in description.get("parameters", ())]
    for name in card.parameters:
        if name not in known:
            guess = nearest(name, known)
            raise ModelMismatchError(
                f"{model} was trained with the parameter {name!r}, which this problem does not have"
                + (f" (nearest: {guess!r})" if guess else "")
                + f"; it has {', '.join(known) or 'none'}. Use a model of this problem or train one: `cosolve train`."
            )


def _compare(key: str, expected: Any, found: Any, model: str) -> None:
    if isinstance(expected, Mapping):
        if not isinstance(found, Mapping):
            raise _mismatch(key, expected, found, model)
        for name, value in expected.items():
            if name not in found:
                raise _mismatch(f"{key}.{name}", value, "nothing", model)
            _compare(f"{key}.{name}", value, found[name], model)
    elif isinstance(expected, list | tuple):
        if not isinstance(found, list | tuple) or len(found) != len(expected):
            raise _mismatch(key, expected, found, model)
        for index, (one, other) in enumerate(zip(expected, found, strict=True)):
            _compare(f"{key}[{index}]", one, other, model)
    elif isinstance(expected, float) and isinstance(found, int | float):
        if not math.isclose(expected, found, rel_tol=1e-12, abs_tol=1e-300):
            raise _mismatch(key, expected, found, model)
    elif expected != found:
        raise _mismatch(key, expected, found, model)


def _mismatch(key: str, expected: Any, found: Any, model: str) -> ModelMismatchError:
    return ModelMismatchError(
        f"{model} does not belong to this problem: {key} is {found!r}, the model expects {expected!r}. "
        "Use a model of this problem or train one: `cosolve train`."
    )
