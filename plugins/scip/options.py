"""Options of the problem `mip`, checked with no SCIP installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cosolve.core.options import Options, Positive
from pydantic import Field


class MipOptions(Options):
    """The `[problem]` table of the problem `mip`.

    Attributes:
        instance: The instance: an MPS, LP, CIP, ZPL or OPB file, also gzipped.
        start: A solution file in SCIP's format that the search starts from.
        time_limit: SCIP's time limit in seconds.
        seed: SCIP's seed shift for random numbers.
        params: Parameters of SCIP by name, such as `"limits/gap" = 0.01`; the guide leaves them alone.
    """

    instance: Path
    start: Path | None = None
    time_limit: Positive | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    params: dict[str, Any] = Field(default_factory=dict)


class ScipOptions(Options):
    """The `[solver]` table of the problem `mip`.

    Attributes:
        quiet: Whether SCIP prints nothing.
        cpu_clock: Whether SCIP's time limit counts CPU seconds rather than wall time.
    """

    quiet: bool = True
    cpu_clock: bool = False
