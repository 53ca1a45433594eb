"""The arguments of a session, checked: each error is one sentence that names the nearest known thing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from cosolve.core.errors import BadInputError, nearest, unknown_name
from cosolve.core.governor import Governor, GovernorMode
from cosolve.core.solver import Solver
from cosolve.core.verdict import Grade
from cosolve.core.verifier import Verifier

_MODES: Final = ("replace", "correct", "initial_guess", "shadow", "off")


def checked_options(
    options: Mapping[str, Any], session: Callable[..., Any], where: str, own: Iterable[str]
) -> dict[str, Any]:
    """Return further arguments for `Session` that were given to a coupling by keyword.

    Args:
        options: What was given.
        session: The class `Session`, whose arguments they are.
        where: The coupling's function, for the message.
        own: The function's own arguments, which the message names, too.

    Raises:
        BadInputError: An option is unknown; names the nearest.
    """
    known = set(inspect.signature(session).parameters) - {"solver", "verifier"}
    for name in options:
        if name not in known:
            raise BadInputError(unknown_name(f"argument of {where}", name, known | set(own)))
    return dict(options)


def check_parameters(solver: Solver, parameters: Mapping[str, Any]) -> None:
    """Check that a query's parameters, where it has any, hold all that the solver takes its constants from.

    Raises:
        BadInputError: One is missing, so that the solver would go on with the value of before.
    """
    missing = [name for name in solver.parameter_names if name not in parameters] if parameters else []
    if not missing:
        return
    name = missing[0]
    guess = nearest(name, [given for given in parameters if given not in solver.parameter_names])
    raise BadInputError(
        f"the parameters lack {name!r}, which solver {solver.name!r} takes a constant from; given: "
        f"{', '.join(sorted(parameters))}. {f'Write {name!r} for {guess!r}' if guess else f'Give {name!r}, too'}, or "
        "give no parameters at all to leave the constants as they are."
    )


def checked_governor(given: Governor | GovernorMode | None) -> Governor:
    """Return the governor; a script may write its mode as text, as a case does."""
    if given is None:
        return Governor()
    if isinstance(given, str):
        return Governor(given)
    if not isinstance(given, Governor):
        raise BadInputError(
            f"the governor must be a cosolve.Governor or one of 'measured' and 'off', got {type(given).__name__}"
        )
    return given


def checked_grade(grade: Grade | str | None, solver: Solver) -> Grade | None:
    """Return the grade that is demanded; a case and a script may write it as text."""
    if grade is None:
        return None
    try:
        demanded = Grade(grade)
    except ValueError:
        known = [each.value for each in Grade]
        raise BadInputError(unknown_name("grade", str(grade), known)) from None
    if demanded is Grade.CERTIFIED and solver.grade is not Grade.CERTIFIED:
        raise BadInputError(
            f'grade = "certified" cannot be met: solver {solver.name!r} itself stops by an estimate of its error. '
            "Leave the grade out, or couple a solver that stops by the residual of its equations (time_loop)."
        )
    return demanded


def check_settings(
    mode: str, verifier: Verifier | None, max_corrections: int, fraction: float, deadline: float | None
) -> None:
    """Raise `BadInputError` unless a session's mode and numbers have a meaning."""
    if mode not in _MODES:
        raise BadInputError(f"mode must be one of {', '.join(_MODES)}, got {mode!r}")
    if verifier is None and mode not in ("initial_guess", "off"):
        raise BadInputError(f"mode {mode!r} needs a verifier; only initial_guess and off can do without")
    if max_corrections < 1:
        raise BadInputError(f"max_corrections must be at least 1, got {max_corrections!r}")
    if not 0.0 < fraction <= 1.0:
        raise BadInputError(f"smallest_step_fraction must lie in (0, 1], got {fraction!r}")
    if deadline is not None and not deadline > 0.0:
        raise BadInputError(f"deadline_seconds must be positive, got {deadline!r}")
