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


class GuideTrainingOptions(Options):
    """The `[problem]` table of the problem `branching`, which `cosolve train` trains.

    Attributes:
        instances: Folder of instances of one kind: MPS, LP, CIP, ZPL or OPB files, also gzipped, in sub-folders too.
        jobs: Processes that collect labels; 0 for one on each core.
        settings: Root settings under which labels are collected, with the rule that takes over where the guide does not
            decide: of the portfolio, or a JSON file that holds what `Settings.as_json` gave, such as a race's winner.
        race_share: Share of the budget for a race of root settings with the new network, which begins with `settings`
            and the portfolio; 0 keeps `settings`.
        start_steps: Steps of the local search for a primal start, where the instances are covering or packing programs
            (see `cosolve.plugins.scip.covering_search`); 0 for no start.
        passes: Passes of label collection; in a second one the guide of the first branches (DAgger).
        fits: Networks that are fitted from different starts; the best on the held-back instances is kept.
        validation_instances: Held-back instances that are solved by SCIP's default, the settings alone and the guide.
        envelope_instances: Instances that the range is measured on in which the guide may be used.
    """

    instances: Path
    jobs: Annotated[int, Field(ge=0)] = 0
    settings: str = "lean+pscost"
    race_share: Annotated[float, Field(ge=0.0, le=0.8)] = 0.0
    start_steps: Annotated[int, Field(ge=0)] = 0
    passes: Annotated[int, Field(ge=1, le=3)] = 1
    fits: Annotated[int, Field(ge=1)] = 2
    validation_instances: Annotated[int, Field(ge=0)] = 12
    envelope_instances: Annotated[int, Field(ge=1)] = 40
