"""What a library's callback raises is kept until it can be raised outside of it, once and on every rank."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class FaultBox:
    """Keeps the first fault of library callbacks until it can be raised outside them."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def keep(self, error: BaseException) -> None:
        """Keep `error` unless one is kept already: the first is the root cause.

        The frames of its traceback let go of what they hold: a vector of a library that lives longer on the rank of the
        fault than on the others would have that rank wait for them at the library's end.
        """
        _let_go(error)
        if self.error is None:
            self.error = error

    def raise_kept(self) -> None:
        """Raise the kept fault and forget it; do nothing when there is none (not collective)."""
        error, self.error = self.error, None
        try:
            if error is not None:
                raise error
        finally:
            del (
                error
            )  # a frame that holds its own error lives until a garbage collection, on the rank of the fault alone


def _let_go(error: BaseException | None) -> None:
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def guard(fn: Callable[..., T], box: FaultBox, poison: Callable[..., T]) -> Callable[..., T]:
    """Wrap a library callback so that it never raises.

    A fault is kept in `box` and `poison`, called with the same arguments, answers instead, typically by filling the
    output with NaN: the library's own reductions then give the same reason on every rank. After a fault `fn` is not
    called again until `box.raise_kept` has told it. Call that inside the `Consensus.run` that encloses the solve.

    Args:
        fn: The callback; must not communicate.
        box: Where the fault is kept.
        poison: What answers after a fault.
    """

    def guarded(*args: Any, **kwargs: Any) -> T:
        if box.error is None:
            try:
                return fn(*args, **kwargs)
            except BaseException as error:  # KeyboardInterrupt, too: a library's C frames must not be unwound
                box.keep(error)
        return poison(*args, **kwargs)

    return guarded
