"""What a command prints on: rank 0's terminal, and nothing on the other ranks; logging by `-v`."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from cosolve.core.cli.ending import launched_rank, launched_size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Function = TypeVar("Function", bound=Callable[..., Any])


def console() -> Console:
    """Return a console that writes to standard output on rank 0 and nowhere on other ranks."""
    # Imported here: the help needs no rich.
    from rich.console import Console

    quiet = launched_rank() != 0
    if plain():
        return Console(quiet=quiet, highlight=False, soft_wrap=True, color_system=None, force_terminal=False)
    return Console(quiet=quiet, highlight=False, soft_wrap=True)


def plain() -> bool:
    """Return whether text must do without colour, whatever the terminal seems to be.

    `NO_COLOR` asks for it. So do several ranks: mpirun gives each a terminal of its own and sends what they write to a
    file or a pipe as it is.
    """
    return bool(os.environ.get("NO_COLOR")) or launched_size() > 1


def table(*columns: str, title: str | None = None, names: Sequence[str] = ()) -> Table:
    """Return an empty table in the one style of cosolve, its title to the left.

    Names are there to be copied: the first column, and those that `names` lists, are never wrapped; the others are.
    """
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        made.add_column(column, overflow="fold", no_wrap=index == 0 or column in names)
    return made


def verbose_option(function: Function) -> Function:
    """Add `-v` to a command (twice for debugging), set up logging by it, and pass it on as the count `verbose`."""

    @click.option("-v", "--verbose", count=True, help="Say more; twice for debugging.")
    @functools.wraps(function)
    def wrapped(*args: Any, verbose: int, **kwargs: Any) -> Any:
        set_up_logging(verbose)
        return function(*args, verbose=verbose, **kwargs)

    return wrapped  # type: ignore[return-value]  # the decorated function has the same call for click


def set_up_logging(verbosity: int) -> None:
    """Send the log of cosolve to standard error: warnings by default, more with `-v` and `-vv`; rank 0 alone warns.

    `COSOLVE_LOG` (`debug`, `info`, `warning`, `error`) sets the level where no `-v` is given.
    """
    level = {0: os.environ.get("COSOLVE_LOG", "warning").upper(), 1: "INFO"}.get(verbosity, "DEBUG")
    rank = launched_rank()
    handler = logging.StreamHandler()
    prefix = f"rank {rank}: " if rank else ""
    handler.setFormatter(logging.Formatter(f"cosolve: {prefix}%(levelname)s: %(message)s"))
    logger = logging.getLogger("cosolve")
    logger.handlers[:] = [handler]
    logger.propagate = False
    known = logging.getLevelNamesMapping()
    logger.setLevel(known.get(level, logging.WARNING) if rank == 0 or verbosity > 1 else logging.ERROR)
