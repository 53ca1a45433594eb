"""Fields: named values on a space, with a unit and a precision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.copies import CopyCount, shared_array
from cosolve.core.errors import BadInputError, ModelMismatchError
from cosolve.core.space import Space


@dataclass(frozen=True, eq=False)
class Field:
    """Named values on a space.

    Attributes:
        name: Name of the quantity.
        space: Where the values live.
        values: `(batch, channel, *spatial)` on a grid, `(batch, point, channel)` elsewhere; float32 or float64.
        unit: Unit as text, compared letter by letter; `"1"` for numbers without one.

    Raises:
        BadInputError: The shape does not fit the space, or the values are not floating-point.
    """

    name: str
    space: Space
    values: Array
    unit: str = "1"

    def __post_init__(self) -> None:
        shape, values = self.space.shape, self.values
        expected = ("batch", "channel", *shape) if self.space.channels_first else ("batch", *shape, "channel")
        spatial = values.shape[2:] if self.space.channels_first else values.shape[1:-1]
        if values.ndim != len(expected) or spatial != shape:
            raise BadInputError(
                f"field {self.name!r} on a {self.space.kind} space needs values of shape "
                f"({', '.join(str(part) for part in expected)}), found {values.shape}"
            )
        if values.dtype not in (np.float32, np.float64):
            raise BadInputError(f"field {self.name!r} has dtype {values.dtype}, expected float32 or float64")

    @classmethod
    def of(cls, name: str, space: Space, values: Any, unit: str = "1", *, count: CopyCount | None = None) -> Field:
        """Make a field of one channel and one batch entry from flat values, sharing their memory where that fits.

        Args:
            name: Name of the quantity.
            space: Where the values live.
            values: `space.size` values: numpy, a buffer, or DLPack on the CPU.
            unit: Unit.
            count: Counts a copy where the memory could not be shared.
        """
        given = getattr(values, "dtype", np.dtype(np.float64))
        single = given == np.float32 if isinstance(given, np.dtype) else "float32" in str(given)
        array = shared_array(values, np.float32 if single else np.float64, count or CopyCount())
        if array.size != space.size:
            raise BadInputError(
                f"field {name!r} needs {space.size} values on its {space.kind} space, found {array.size}"
            )
        shape = (1, 1, *space.shape) if space.channels_first else (1, *space.shape, 1)
        return cls(name, space, array.reshape(shape), unit)

    @property
    def batch(self) -> int:
        """Number of batch entries."""
        return int(self.values.shape[0])

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.values.shape[1 if self.space.channels_first else -1])

    def flat(self) -> Array:
        """Return the values of a single channel and batch entry, shape `(size,)`, without a copy.

        Raises:
            BadInputError: There is more than one.
        """
        if self.batch != 1 or self.channels != 1:
            raise BadInputError(
                f"field {self.name!r} has {self.batch} batch entries and {self.channels} channels, expected one of each"
            )
        return self.values.reshape(-1)

    def require(self, *, unit: str | None = None, space: Space | None = None) -> Field:
        """Return self when unit and space are as expected.

        Raises:
            ModelMismatchError: They are not; names the field, what was expected and what was found.
        """
        if unit is not None and unit != self.unit:
            raise ModelMismatchError(
                f"field {self.name!r} has the unit {self.unit!r}, expected {unit!r}: convert it, no unit is guessed"
            )
        if space is not None and not space.same_as(self.space):
            raise ModelMismatchError(
                f"field {self.name!r} lives on {dict(self.space.describe())}, expected {dict(space.describe())}: "
                "use a transfer"
            )
        return self

    def __sub__(self, other: Field) -> Field:
        """Return the difference of two fields of the same unit on the same space."""
        other.require(unit=self.unit, space=self.space)
        return replace(self, values=self.values - other.values)

    def __add__(self, other: Field) -> Field:
        """Return the sum of two fields of the same unit on the same space."""
        other.require(unit=self.unit, space=self.space)
        return replace(self, values=self.values + other.values)
