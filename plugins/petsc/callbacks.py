"""A user's own callbacks of SNES and TS, guarded: a fault becomes NaN, and is raised once, outside, on every rank.

An exception in a callback on one rank leaves the others in PETSc's next reduction for ever. A guarded callback keeps
what was raised, fills its output with NaN, and lets PETSc's own reductions give the same reason on every rank.

One thing a guard cannot mend: a rank that fails *before* a collective call of its own callback (`globalToLocal`) leaves
the others waiting in that call. Communicate first in a callback, compute after.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.consensus import FaultBox
from petsc4py import PETSc

Registered = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
"""What petsc4py keeps of a callback: the function, and its further arguments."""


def registered(found: Any) -> Registered | None:
    """Return the Python callback at the end of what a `get...` method returns; None where there is none, or C's."""
    last = found[-1] if isinstance(found, tuple) and found else None
    if not (isinstance(last, tuple) and last and callable(last[0])):
        return None
    function, args, kwargs = (*last, (), {})[:3]
    return function, tuple(args or ()), dict(kwargs or {})


class Known:
    """A residual that was just evaluated, so that PETSc need not evaluate it again at the same place.

    Attributes:
        armed: Whether the very next residual is the one that is kept.
    """

    def __init__(self) -> None:
        self.armed = False
        self.last: Array | None = None

    def arm(self) -> None:
        """Let the next evaluation answer with the kept residual (not collective, but alike on every rank)."""
        self.armed = self.last is not None

    def forget(self) -> None:
        """Forget the kept residual."""
        self.armed, self.last = False, None


class GuardedCallbacks:
    """Replaces callbacks of one SNES or TS by guarded ones, and puts the user's back in `restore`.

    Args:
        box: Where faults are kept.
    """

    def __init__(self, box: FaultBox) -> None:
        self.box = box
        self.known = Known()
        self.has_residual = False
        self._undo: list[Callable[[], None]] = []

    def snes(self, snes: Any) -> None:
        """Guard residual and Jacobian of a SNES (not collective)."""
        found = snes.getFunction()
        function = registered(found)
        if function is not None:
            vector = found[0]
            snes.setFunction(self._residual(function), vector)
            self._undo.append(lambda: snes.setFunction(function[0], vector, function[1], function[2]))
        found = snes.getJacobian()
        jacobian = registered(found)
        if jacobian is not None:
            matrix, preconditioner = found[0], found[1]
            snes.setJacobian(self._jacobian(jacobian), matrix, preconditioner)
            self._undo.append(lambda: snes.setJacobian(jacobian[0], matrix, preconditioner, jacobian[1], jacobian[2]))

    def ts(self, ts: Any) -> None:
        """Guard the implicit and explicit functions of a TS with their Jacobians (not collective)."""
        explicit = _found(ts, "RHSFunction")
        for kind, found in (("IFunction", _found(ts, "IFunction")), ("RHSFunction", explicit)):
            function = registered(found)
            if function is not None:
                vector, set_function = found[0], getattr(ts, f"set{kind}")
                keeps = kind == "IFunction" and registered(explicit) is None
                set_function(self._residual(function, keeps=keeps), vector)
                self._undo.append(_again(set_function, function[0], vector, function[1], function[2]))
        for kind in ("IJacobian", "RHSJacobian"):
            found = _found(ts, kind)
            jacobian = registered(found)
            if jacobian is not None:
                set_jacobian = getattr(ts, f"set{kind}")
                set_jacobian(self._jacobian(jacobian), found[0], found[1])
                self._undo.append(_again(set_jacobian, jacobian[0], found[0], found[1], jacobian[1], jacobian[2]))

    def restore(self) -> None:
        """Put the user's own callbacks back (not collective)."""
        while self._undo:
            self._undo.pop()()

    def _residual(self, callback: Registered, *, keeps: bool = True) -> Callable[..., None]:
        """Return the guarded residual; its output is the last argument."""
        function, args, kwargs = callback
        box, known = self.box, self.known
        self.has_residual = self.has_residual or keeps

        def residual(*arguments: Any) -> None:
            f = arguments[-1]
            try:
                if keeps and known.armed:
                    known.armed = False
                    f.array[:] = known.last
                else:
                    # Called after a fault, too: other ranks communicate in theirs, and would wait for this one.
                    function(*arguments, *args, **kwargs)
                    if keeps:
                        known.last = f.array_r.copy()
            except BaseException as error:  # KeyboardInterrupt, too: PETSc's frames must not be unwound
                box.keep(error)
            if box.error is not None:
                f.array[:] = np.nan

        return residual

    def _jacobian(self, callback: Registered) -> Callable[..., Any]:
        """Return the guarded Jacobian; its matrices are the last two arguments."""
        function, args, kwargs = callback
        box = self.box

        def jacobian(*arguments: Any) -> Any:
            before = _assemblies(arguments[-1])
            try:
                return function(*arguments, *args, **kwargs)
            except BaseException as error:
                box.keep(error)
                # The other ranks assemble at the end of their callback: join them, if this rank has not.
                if _assemblies(arguments[-1]) == before:
                    arguments[-1].assemble()
            return None

        return jacobian


class GuessSlot:
    """The one initial guess of a SNES: ours while there is one, else the user's, else the start as it is.

    PETSc cannot clear the callback once it was set, so that one stays in place for good.

    Args:
        snes: The SNES.

    Attributes:
        ours: Called with the vector that holds the start; None lets the user's own guess answer.
    """

    def __init__(self, snes: Any) -> None:
        self.ours: Callable[[Any], None] | None = None
        found = snes.getInitialGuess()
        self._users = registered((found,)) if found is not None else None
        snes.setInitialGuess(self._guess)

    def users_own(self, snes: Any, x: Any) -> None:
        """Let the user's own guess set the start, where there is one (collective if theirs is)."""
        if self._users is not None:
            function, args, kwargs = self._users
            function(snes, x, *args, **kwargs)

    def _guess(self, snes: Any, x: Any) -> None:
        if self.ours is not None:
            self.ours(x)
        else:
            self.users_own(snes, x)


def _assemblies(matrix: Any) -> float:
    """Return how often a matrix was assembled so far on this rank."""
    return float(matrix.getInfo(matrix.InfoType.LOCAL)["assemblies"])


def _found(ts: Any, kind: str) -> Any:
    """Return what `get<kind>` of a TS returns; empty where the TS was given none, which PETSc calls an error."""
    try:
        return getattr(ts, f"get{kind}")()
    except PETSc.Error:
        return ()


def _again(method: Callable[..., Any], *arguments: Any) -> Callable[[], None]:
    return lambda: method(*arguments)
