"""Checks that a form has in it what `FormSolver` is to change: a step that changes nothing is wrong in silence."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import dolfinx.fem
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError
from cosolve.plugins.fenicsx.blocks import BOUNDARY
from ufl.algorithms import extract_coefficients
from ufl.algorithms.analysis import extract_constants


def check_number(name: str, value: Any, low: float, high: float = math.inf) -> None:
    """Check a number of the user's (not collective).

    Args:
        name: What it is called.
        value: What was given.
        low: Smallest value allowed.
        high: Bound that it must stay below.

    Raises:
        BadInputError: It is no number (a text, say), not finite, or out of range.
    """
    bounds = f"at least {low:g}" + ("" if math.isinf(high) else f" and below {high:g}")
    sentence = f"{name} must be a number of {bounds}, found {value!r}"
    if isinstance(value, str):
        raise BadInputError(f"{sentence}, a text; write the number without quotes")
    if isinstance(value, bool) or not isinstance(value, Real) or not low <= float(value) < high:
        raise BadInputError(sentence)


def check_reachable(rtol: float, atol: Array, names: Sequence[str], prefix: str) -> None:
    """Check that no equation asks for less than rounding lets a residual reach (not collective).

    The block of boundary conditions is left out: its residual can be zero exactly.

    Raises:
        BadInputError: `rtol` is below the rounding of a double and a block's `atol` is zero; names the blocks.
    """
    without = [name for name, number in zip(names, atol, strict=True) if number == 0.0 and name != BOUNDARY]
    if rtol < sys.float_info.epsilon and without:
        of = f" of {' and '.join(without)}" if len(names) > 1 else ""
        raise BadInputError(
            f"rtol = {rtol:g} with atol{of} = 0: rounding keeps every residual above that. Give rtol, e.g. 1e-8, or an "
            f"absolute tolerance atol (options -{prefix}snes_rtol, -{prefix}snes_atol)"
        )


def check_previous(form: Any, u: Any, previous: Sequence[Any]) -> None:
    """Check that each previous state is a function of the form and another one than `u` (not collective).

    Raises:
        BadInputError: It is not; says which one and what to pass.
    """
    coefficients = extract_coefficients(form)
    size = _size(u)
    for index, function in enumerate(previous):
        which = "previous" if len(previous) == 1 else f"previous[{index}]"
        if not isinstance(function, dolfinx.fem.Function):
            raise BadInputError(
                f"{which} must be the dolfinx.fem.Function that holds the last accepted state, found "
                f"{type(function).__name__}"
            )
        if function is u:
            raise BadInputError(
                f"{which} is the unknown u itself, so a step would change nothing; pass the function of the last "
                "accepted state, u_n in a form with (u - u_n) / dt"
            )
        if not any(function is one for one in coefficients):
            raise BadInputError(
                f"{which} is not in the residual form, so a step would never see the last accepted state; pass the "
                f"very function that the form has (u_n in (u - u_n) / dt). The form has {_named(coefficients, u)}"
            )
        if _size(function) != size:
            raise BadInputError(f"{which} has {_size(function)} dofs, but u has {size}; both must be in one space")
        if any(function is other for other in previous[:index]):
            raise BadInputError(f"{which} is the same function as one before it; each past state needs its own")


def check_constants(form: Any, *, t: Any, dt: Any, parameters: Mapping[str, Any], moves_elsewhere: bool) -> None:
    """Check that the constants that a step sets are constants of the form (not collective).

    Args:
        form: The residual form.
        t: Constant of the time, or None.
        dt: Constant of the step, or None.
        parameters: Constants by name.
        moves_elsewhere: Whether boundary conditions or `update` may use a constant that is not in the form. The step
            itself must be in the form.

    Raises:
        BadInputError: One is a plain number, or is not in the form.
    """
    known = extract_constants(form)
    for name, constant in {
        "t": t,
        "dt": dt,
        **{f"parameters[{key!r}]": one for key, one in parameters.items()},
    }.items():
        if constant is None:
            continue
        if not isinstance(constant, dolfinx.fem.Constant):
            value = constant if isinstance(constant, Real) else 0.0
            raise BadInputError(
                f"{name} must be a dolfinx.fem.Constant that the form has, so that each step can set it, found "
                f"{type(constant).__name__} {constant!r}; write {name.partition('[')[0]} = fem.Constant(mesh, "
                f"{float(value)!r}), use it in the form and pass it"
            )
        if not any(constant is one for one in known) and (name == "dt" or not moves_elsewhere):
            raise BadInputError(
                f"{name} is a Constant that is not in the residual form, so setting it would change nothing; pass the "
                f"very Constant that the form has. The form has {len(known)} Constant{'' if len(known) == 1 else 's'}"
                f"{_values(known)}"
            )


def why_no_step(*, previous_given: bool, dt: Any, has_previous: bool) -> str:
    """Return what a form lacks that is to be stepped in time, empty when nothing is missing (not collective).

    Args:
        previous_given: Whether `previous` was given; an empty sequence says that a quasi-static form has none.
        dt: The Constant of the step, or None.
        has_previous: Whether there is at least one previous state.
    """
    missing = []
    if not previous_given:
        missing.append("previous= (the form's function of the last accepted state; () for a quasi-static form)")
    if dt is None and (has_previous or not previous_given):
        missing.append("dt= (the form's fem.Constant of the step's length)")
    return " and ".join(missing)


def _size(function: Any) -> int:
    dofmap = function.function_space.dofmap
    return int(dofmap.index_map.size_global * dofmap.index_map_bs)


def _named(coefficients: Sequence[Any], u: Any) -> str:
    others = [one for one in coefficients if one is not u]
    names = ", ".join(str(getattr(one, "name", one)) for one in others)
    return f"besides u: {names}" if others else "no function besides u"


def _values(constants: Sequence[Any]) -> str:
    values = [str(one.value) for one in constants if hasattr(one, "value")]
    return f", of value {', '.join(values)}" if values else ""
