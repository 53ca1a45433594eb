"""The catalogue of faults, and how to plant one in any surrogate, verifier or solver: what a conformance test needs.

`CATALOGUE` lists what can go wrong. `plant` puts one of them into an object that works, by wrapping its protected
method, so that the object stays of its class:

    with plant(surrogate, Fault("nan", rank=1), comm):
        ...  # rank 1 proposes NaN from here on

A fault costs time and nothing else, or it is an error of a known type on every rank. Only the kinds that `blocks`
may end a run by the watchdog.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.consensus import FaultAwareCommunicator
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.core.solver import Solver, SolveResult
from cosolve.core.surrogate import Surrogate
from cosolve.core.verdict import Decision, Verdict
from cosolve.core.verifier import Verifier

FaultRole = Literal["surrogate", "verifier", "solver"]
Kind = Literal[
    "plausible", "slight", "nan", "inf", "exception", "shape", "dtype", "device", "deadline", "hang", "collective",
    "other_rank", "in_place", "random",
]  # fmt: skip

_ALL: Final[tuple[FaultRole, ...]] = ("surrogate", "verifier", "solver")
_FOR_EVER: Final = 3600.0


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One way to go wrong.

    Attributes:
        name: As in `Fault.kind`.
        summary: What happens.
        roles: Who can do it. Lies are the surrogate's alone: verifier and solver are what a run believes.
        everywhere: Whether it happens on every rank; else on one.
        blocks: Whether a rank never comes back, so that only a watchdog can end the run.
        ranks: The fewest ranks on which it means anything.
        needs: Import name of a library that it needs; empty for none.
    """

    name: Kind
    summary: str
    roles: tuple[FaultRole, ...] = _ALL
    everywhere: bool = False
    blocks: bool = False
    ranks: int = 1
    needs: str = ""


CATALOGUE: Final[Mapping[Kind, FaultKind]] = {
    kind.name: kind
    for kind in (
        FaultKind("plausible", "a smooth answer of the right size that is wrong", ("surrogate",), everywhere=True),
        FaultKind("slight", "an answer that is wrong by little", ("surrogate",), everywhere=True),
        FaultKind("nan", "NaN on one rank"),
        FaultKind("inf", "an infinite value on one rank"),
        FaultKind("exception", "an exception on one rank, while the others go on"),
        FaultKind("shape", "a value too many on one rank (a verifier: no verdict at all)"),
        FaultKind("dtype", "another dtype on one rank (a verifier: a measure that is a text)"),
        FaultKind("device", "a tensor on a GPU, or on torch's device `meta` where there is none", needs="torch"),
        FaultKind("deadline", "slower than the deadline on one rank"),
        FaultKind("hang", "one rank never comes back", blocks=True),
        FaultKind("collective", "one rank enters a collective call that no other enters", blocks=True, ranks=2),
        FaultKind("other_rank", "the values of the next rank", ("surrogate", "verifier"), everywhere=True, ranks=2),
        FaultKind("in_place", "what it was given is changed in place on one rank"),
        FaultKind("random", "another answer on each call and on each rank", everywhere=True),
    )
}
"""All kinds of faults, by name."""

KINDS: Final[tuple[Kind, ...]] = ("exception", "nan", "shape", "dtype", "deadline")
"""The kinds that strike on one rank and that a run survives within a short deadline."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, where and when.

    Attributes:
        kind: A name of `CATALOGUE`.
        rank: The rank of the communicator on which it happens; of no meaning for kinds that happen everywhere.
        steps: The steps at which it happens; empty for all.
        seconds: How long `deadline` sleeps.
        size: Relative size of what `plausible` and `slight` add, and largest of what `random` adds.
        seed: Draws what `random` adds.
        most: How often it happens at most on a rank; 0 for always.
    """

    kind: Kind
    rank: int = 0
    steps: tuple[int, ...] = ()
    seconds: float = 0.3
    size: float = 0.05
    seed: int = 0
    most: int = 0

    def strikes(self, comm: Communicator, step: int) -> bool:
        """Return whether it happens on this rank at this step."""
        here = CATALOGUE[self.kind].everywhere or comm.Get_rank() == self.rank
        return here and (not self.steps or step in self.steps)

    def spoil(self, value: Array) -> Any:
        """Return what is left of `value` where this rank needs no other for it.

        Raises:
            ValueError: The planted exception.
        """
        kind = self.kind
        if kind == "exception":
            raise ValueError(f"planted on rank {self.rank}")
        if kind in ("nan", "inf"):
            bad = np.nan if kind == "nan" else np.inf
            return np.full(value.shape, bad, value.dtype) if value.size else np.full(1, bad)
        if kind == "shape":
            return np.append(value, 0.0)
        if kind == "dtype":
            return value.astype(np.float32)
        if kind == "device":
            return elsewhere(value)
        if kind in ("plausible", "slight"):
            return value * (1.0 + self.size * (1.0 + 0.5 * np.cos(np.linspace(0.0, 3.0, value.size))))
        if kind == "deadline":
            time.sleep(self.seconds)
        return value


def elsewhere(value: Array) -> Any:
    """Return a torch tensor of the shape of `value` that is not in the memory of the processor."""
    torch = importlib.import_module("torch")
    device = "cuda" if torch.cuda.is_available() else "meta"
    return torch.zeros(value.shape, dtype=torch.float64, device=device)


def missing(kind: Kind) -> str:
    """Return the library that a kind needs and that is not installed; empty when nothing is missing."""
    needs = CATALOGUE[kind].needs
    return needs if needs and importlib.util.find_spec(needs) is None else ""


def role_of(plugin: object) -> FaultRole:
    """Return the role of a plugin's object."""
    for base, role in ((Surrogate, "surrogate"), (Verifier, "verifier"), (Solver, "solver")):
        if isinstance(plugin, base):
            return role  # type: ignore[return-value]  # the table names roles only
    raise TypeError(f"{type(plugin).__name__} is no surrogate, verifier or solver")


METHODS: Final[Mapping[FaultRole, tuple[str, ...]]] = {
    "surrogate": ("_predict",),
    "verifier": ("_judge",),
    "solver": ("_step", "_correct"),
}
"""The methods of each role that `plant` wraps."""


class Planted:
    """A fault in an object, until `remove`; also as a context manager. Made by `plant`."""

    def __init__(self, plugin: Any, fault: Fault, comm: Communicator, methods: Sequence[str]) -> None:
        self.plugin, self.fault, self.methods = plugin, fault, tuple(methods)
        raw = comm.raw if isinstance(comm, FaultAwareCommunicator) else comm
        self._comm: Any = raw.Dup()
        self._random = np.random.default_rng([fault.seed, raw.Get_rank()])
        self._before = {name: vars(plugin).get(name) for name in self.methods}
        self.struck = 0
        for name in self.methods:
            setattr(plugin, name, self._faulty(getattr(plugin, name)))

    def remove(self) -> None:
        """Take the fault out again and free the communicator's duplicate (collective). Idempotent."""
        for name, before in self._before.items():
            if before is None:
                delattr(self.plugin, name)
            else:
                setattr(self.plugin, name, before)
        if self._before:
            self._comm.Free()
        self._before = {}

    def __enter__(self) -> Planted:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def _faulty(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*args: Any, **kwargs: Any) -> Any:
            query = next((item for item in (*args, *kwargs.values()) if isinstance(item, Query)), None)
            spent = 0 < self.fault.most <= self.struck
            if spent or not self.fault.strikes(self._comm, query.step if query is not None else -1):
                return method(*args, **kwargs)
            self.struck += 1
            return self._strike(method, args, kwargs)

        return faulty

    def _strike(self, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        fault = self.fault
        if fault.kind == "exception":  # ahead of the collectives that the other ranks enter
            fault.spoil(np.zeros(0))
        elif fault.kind == "hang":
            time.sleep(_FOR_EVER)
        elif fault.kind == "collective":
            self._comm.Barrier()
        elif fault.kind == "other_rank":
            args = tuple(self._of_next_rank(item) if isinstance(item, Prediction) else item for item in args)
        result = method(*args, **kwargs)
        if fault.kind == "in_place":
            for array in _arrays((*args, *kwargs.values())):
                array += 1.0
            return result
        if isinstance(result, Verdict):
            return self._spoilt_verdict(result)
        if isinstance(result, Prediction | SolveResult):
            return replace(result, value=self._spoilt(result.value))
        return self._spoilt(result)

    def _spoilt(self, value: Array) -> Any:
        if self.fault.kind == "other_rank":
            return self._next(value)
        if self.fault.kind == "random":
            size = self.fault.size * 10.0 ** self._random.uniform(-12.0, 0.0)
            return value * (1.0 + size * self._random.standard_normal(value.shape))
        return self.fault.spoil(value)

    def _spoilt_verdict(self, verdict: Verdict) -> Any:
        kind = self.fault.kind
        if kind in ("nan", "inf"):
            return replace(verdict, decision=Decision.ACCEPT, measure=float(kind))
        if kind == "shape":
            return "accept"
        if kind == "dtype":
            return replace(verdict, decision=Decision.ACCEPT, measure="small")  # type: ignore[arg-type]  # the fault
        if kind == "device":
            measure: Any = elsewhere(np.zeros(()))
            return replace(verdict, decision=Decision.ACCEPT, measure=measure)
        if kind == "random" and self._random.uniform() < 0.5:
            return replace(verdict, decision=Decision.REJECT, reason="drawn at random")
        if kind == "deadline":
            time.sleep(self.fault.seconds)
        return verdict

    def _of_next_rank(self, prediction: Prediction) -> Prediction:
        return replace(prediction, value=self._next(prediction.value))

    def _next(self, value: Array) -> Array:
        """Return the values of the next rank, cut or repeated to the size of this rank's (collective)."""
        everyone = self._comm.allgather(value)
        other = everyone[(self._comm.Get_rank() + 1) % len(everyone)]
        return np.resize(other, value.shape) if other.size else np.zeros_like(value)


def plant(plugin: Any, fault: Fault, comm: Communicator, methods: Sequence[str] = ()) -> Planted:
    """Put a fault into a surrogate, verifier or solver that works (collective).

    Args:
        plugin: The object; it keeps its class and its name.
        fault: What goes wrong, where and when.
        comm: The communicator of the run; duplicated.
        methods: Names of the methods that go wrong; by default those of the role, see `METHODS`. A method that takes no
            `Query` goes wrong on each call.

    Returns:
        The planted fault; `remove` takes it out.
    """
    return Planted(plugin, fault, comm, methods or METHODS[role_of(plugin)])


def _arrays(items: Sequence[Any]) -> Iterator[Array]:
    for item in items:
        if isinstance(item, Query):
            yield item.state
        elif isinstance(item, Prediction):
            yield item.value
        elif isinstance(item, np.ndarray):
            yield item
