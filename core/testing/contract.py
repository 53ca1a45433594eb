"""What all conformance kits share: whose object is tested, over which ranks, and which group a check belongs to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeVar, get_args

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator, SerialCommunicator, world
from cosolve.core.entries import Entry
from cosolve.core.testing.unimplemented import unimplemented

Group = Literal["contract", "inputs", "precision", "gradients", "determinism", "memory", "faults", "ranks"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""The groups of checks, in the order of the table that `cosolve check-plugin` prints."""

RANK_LOCAL: tuple[Group, ...] = ("inputs", "gradients", "memory")
"""Groups whose answer cannot depend on the number of ranks: they are run on one rank only."""

Check = TypeVar("Check", bound=Callable[..., Any])


def group(name: Group) -> Callable[[Check], Check]:
    """Mark a check as one of a group; a check without a mark belongs to `contract`."""

    def mark(check: Check) -> Check:
        check.__dict__["group"] = name
        return check

    return mark


class Contract:
    """Base of the kits. pytest collects the checks of a subclass; `cosolve check-plugin` runs the same ones.

    Attributes:
        entry: The entry whose object is tested; None where a test makes the object itself.
        empty_rank: Whether the last rank is to own nothing.
        only_this_rank: Whether each rank is to work alone, to have answers to compare with.
        rank_rtol: How far answers may differ between numbers of ranks, relative to the largest value.
        calls: Calls over which memory may not grow.
    """

    entry: ClassVar[Entry | None] = None
    empty_rank: bool = False
    only_this_rank: bool = False
    rank_rtol: float = 1e-10
    calls: int = 200

    @property
    def comm(self) -> Communicator:
        """All ranks of the job; this one alone where `only_this_rank` says so."""
        return SerialCommunicator() if self.only_this_rank else world()

    @property
    def without_values(self) -> int | None:
        """The rank that is to own nothing; None when all own some."""
        return self.comm.Get_size() - 1 if self.empty_rank and self.comm.Get_size() > 1 else None

    def made(self, returns: str) -> Any:
        """Return what the entry's factory makes without arguments."""
        if self.entry is None:
            raise unimplemented(self, "make", returns)
        try:
            return self.entry.load()()
        except TypeError as error:
            raise TypeError(
                f"the factory {self.entry.factory!r} cannot be called without arguments ({error}); give the entry a "
                '`contract="module:Class"`: a kit of cosolve.testing whose `make` returns a ready object'
            ) from error

    @property
    def serial(self) -> bool:
        """Whether the object works on one rank only, as the capability `serial` of its entry says."""
        return self.entry is not None and "serial" in self.entry.capabilities

    def leave_out(self, why: str) -> None:
        """Say that a check does not apply, for the table; it counts as passed."""
        self.left_out = why

    left_out: str = ""
    """Why the last check did not apply; empty when it did."""

    def trial(self) -> None:
        """Make the object once: where that fails, nothing else can be checked (collective)."""

    def probe(self) -> dict[str, Array]:
        """Return the object's answers to fixed questions, the same for every number of ranks (collective)."""
        return {}


def close_to(found: Array, expected: Array, rtol: float) -> bool:
    """Return whether two arrays agree to `rtol` of the largest value."""
    if found.shape != expected.shape:
        return False
    scale = float(np.max(np.abs(expected), initial=0.0))
    return float(np.max(np.abs(found - expected), initial=0.0)) <= rtol * max(scale, 1e-300)


def gathered(comm: Communicator, values: Array, places: Array) -> Array:
    """Return all values in the order of their places, the same for every partition (collective).

    Args:
        comm: The communicator.
        values: Owned values, shape `(n_owned,)`.
        places: Where they live, shape `(n_owned, d)`.
    """
    all_values = np.concatenate([part.astype(np.float64) for part in comm.allgather(values)])
    columns = next((part.shape[1] for part in comm.allgather(places) if part.ndim == 2 and part.size), 1)
    all_places = np.concatenate([part.reshape(-1, columns) for part in comm.allgather(places)])
    # Rounded: the last digit of a place may differ between partitions, and would change the order.
    rounded = np.round(all_places, 9)
    ordered: Array = all_values[np.lexsort(rounded.T[::-1])]
    return ordered
