"""Questions drawn from a declared domain by hypothesis: valid ones, and ones that are nearly valid.

Needs `hypothesis` (`pip install 'cosolve[test]'`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.domain import Domain
from cosolve.core.query import Query, Snapshot

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_WIDEST: Final = 10.0
_LONGEST: Final = 1.0
_LARGEST: Final = 40
_KINDS: Final = ("random", "constant", "low", "high", "line")
EXAMPLES: Final = 25
"""Questions that are drawn for each check."""


def bounded(low: float, high: float, reach: float) -> tuple[float, float]:
    """Return finite bounds within `[low, high]`, about `reach` wide where that has no end."""
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    if math.isfinite(low):
        return low, low + reach
    if math.isfinite(high):
        return high - reach, high
    return -reach, reach


def around(query: Query) -> Domain:
    """Return a domain round one question that an object without a declared domain can answer."""
    state = query.state
    least, most = (float(state.min()), float(state.max())) if state.size else (0.0, 0.0)
    parameters = {name: (value, value) for name, value in query.parameters.items() if isinstance(value, (int, float))}
    return Domain(low=least, high=most, dt=(query.dt, query.dt), parameters=parameters, history=len(query.history))


def queries(domain: Domain, like: Query, size: int | None) -> SearchStrategy[Query]:
    """Return a strategy for valid questions.

    Args:
        domain: What the object answers.
        like: A valid question, for all that the domain does not bound.
        size: Number of values; None draws that, too, 0 and 1 included.
    """
    from hypothesis import strategies as st

    low, high = bounded(domain.low, domain.high, _WIDEST)
    dt_low, dt_high = bounded(*domain.dt, _LONGEST)

    def build(
        n: int, dtype: str, seed: int, kind: str, dt: float, depth: int, apart: bool, values: dict[str, float]
    ) -> Query:
        rng = np.random.default_rng(seed)

        def state() -> Array:
            return _values(kind, low, high, n, rng, np.dtype(dtype), domain, apart)

        gaps = np.cumsum(rng.uniform(0.5, 1.0, depth)) * (dt if dt > 0.0 else 1.0)
        history = tuple(Snapshot(like.t - float(gap), state()) for gap in gaps)
        return replace(like, state=state(), dt=dt, history=history, parameters=dict(like.parameters) | values)

    return st.builds(
        build,
        n=st.integers(0, _LARGEST) if size is None else st.just(size),
        dtype=st.sampled_from(domain.dtypes),
        seed=st.integers(0, 2**32 - 1),
        kind=st.sampled_from(_KINDS),
        dt=st.floats(dt_low, dt_high, allow_subnormal=False),
        depth=st.integers(0, domain.history),
        apart=st.booleans(),
        values=st.fixed_dictionaries(
            {name: st.floats(*bounded(*limits, _WIDEST)) for name, limits in domain.parameters.items()}
        ),
    )


def _values(
    kind: str,
    low: float,
    high: float,
    n: int,
    rng: np.random.Generator,
    dtype: np.dtype[Any],
    domain: Domain,
    apart: bool,
) -> Array:
    """Return values within a domain; `apart` takes every other place of a larger array: no contiguous memory."""
    if kind == "random":
        found = rng.uniform(low, high, n)
    elif kind == "line":
        found = np.linspace(low, high, n)
    else:
        found = np.full(n, {"constant": 0.5 * (low + high), "low": low, "high": high}[kind])
    # float32 may round beyond a bound of the domain.
    array: Array = np.clip(found.astype(dtype), dtype.type(domain.low), dtype.type(domain.high))
    if not apart:
        return array
    wide = np.zeros(2 * n, dtype)
    wide[::2] = array
    return wide[::2]


def spoilt(domain: Domain, query: Query) -> dict[str, Query]:
    """Return questions that are nearly valid, by what is wrong with them: shape, dtype, range, order."""
    state = query.state
    found = {
        "shape: one axis too many": replace(query, state=state[:, None]),
        "shape: a row": replace(query, state=state[None, :]),
        "dtype: whole numbers": replace(query, state=np.zeros(state.shape, np.int64)),
        "dtype: complex": replace(query, state=state.astype(np.complex128)),
        "dtype: half precision": replace(query, state=np.zeros(state.shape, np.float16)),
        "order of bytes": replace(query, state=state.astype(state.dtype.newbyteorder())),
        "range: dt is NaN": replace(query, dt=math.nan),
        "range: dt runs backwards": replace(query, dt=-abs(query.dt) - 1.0),
    }
    if domain.size is not None:
        found["shape: one value too many"] = replace(query, state=np.append(state, state[:1]))
    if math.isfinite(domain.high) and state.size:
        beyond = state.copy()
        beyond[-1] = domain.high + max(1.0, abs(domain.high))
        found["range: a value above the domain"] = replace(query, state=beyond)
    if (math.isfinite(domain.high) or math.isfinite(domain.low)) and state.size:
        broken = state.copy()
        broken[0] = math.nan
        found["range: NaN"] = replace(query, state=broken)
    for name, (_, high) in domain.parameters.items():
        if math.isfinite(high):
            value = high + max(1.0, abs(high))
            found[f"range: parameter {name}"] = replace(query, parameters=dict(query.parameters) | {name: value})
        rest = {key: value for key, value in query.parameters.items() if key != name}
        found[f"range: parameter {name} is missing"] = replace(query, parameters=rest)
    if domain.history > 1:
        backwards = tuple(Snapshot(query.t - age, state.copy()) for age in (2.0, 1.0))
        found["order: history oldest first"] = replace(query, history=backwards)
    return found


def for_all(strategy: SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Run a check on what a strategy draws, the same in every run; raises what the smallest failing example raises."""
    from hypothesis import HealthCheck, given, settings

    run = settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )(given(strategy)(check))
    run()
