"""A case: the tables that every case has, and what a checked case holds. `cosolve.core.case_reading` reads one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cosolve.core.coupling import Mode
from cosolve.core.entries import Entry, Role
from cosolve.core.governor import GovernorMode
from cosolve.core.option_layers import CODE, flatten
from cosolve.core.options import Count, Options, Positive, Share
from cosolve.core.petsc_options import pairs_of
from pydantic import BaseModel, Field


class CaseTable(Options):
    """The `[case]` table.

    Attributes:
        name: Names the run and its folder; by default the name of the file.
        plugins: Plugins that must be loaded; a broken one ends the run with exit code 4 and its reason.
    """

    name: str = ""
    plugins: tuple[str, ...] = ()


class CouplingTable(Options):
    """What every coupling understands; the rest of `[coupling]` are the options of the coupling itself.

    Attributes:
        name: Registered name.
        mode: What a proposal may become.
        grade: `certified` refuses acceptances by an estimate.
        max_corrections: Nonlinear iterations of a correction.
        smallest_step_fraction: The fallback ladder's smallest step, as a fraction of the step.
        deadline_seconds: A proposer or verifier that takes longer on some rank has failed on all.
        solver_deadline_seconds: The same for a classical step.
    """

    name: str = "time_loop"
    mode: Mode = "replace"
    grade: Literal["certified", "estimated"] | None = None
    max_corrections: Count = 3
    smallest_step_fraction: Share = 0.125
    deadline_seconds: Positive | None = None
    solver_deadline_seconds: Positive | None = None


class GovernorTable(Options):
    """The `[governor]` table.

    Attributes:
        mode: `measured` compares costs, `replay` repeats the decisions of a run, `off` asks always.
        replay: Folder of the run to repeat; needed by `replay` alone.
        price_share: Largest share of the time that useless asking may cost.
    """

    mode: GovernorMode = "measured"
    replay: Path | None = None
    price_share: Share = 0.02


class OutputTable(Options):
    """The `[output]` table.

    Attributes:
        directory: Folder of ledger, checkpoint, report and fields, from the working directory; `runs/NAME` by default.
        fields: Whether to write fields for ParaView.
        fields_every: Transactions between two snapshots of the fields; by default about fifty snapshots.
        report: Whether to write the HTML report.
        rejected_limit: How many rejected proposals each rank keeps as a training set.
        checkpoint_every: Transactions between two checkpoints; the last state is always kept.
    """

    directory: Path | None = None
    fields: bool = True
    fields_every: Count | None = None
    report: bool = True
    rejected_limit: int = Field(default=256, ge=0)
    checkpoint_every: Count = 50


class WatchdogTable(Options):
    """The `[watchdog]` table.

    Attributes:
        seconds: A run that shows no life for so long is ended with exit code 5; absent for no watchdog.
    """

    seconds: Positive | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One named thing of a case.

    Attributes:
        role: Its role.
        name: Registered name.
        entry: The entry.
        options: The validated options of the entry's model; None where it has no model.
        model: Model file of a trained surrogate; None where the entry's factory builds it.
        where: What asks for it, for sentences.
    """

    role: Role
    name: str
    entry: Entry
    options: BaseModel | None = None
    model: Path | None = None
    where: str = ""

    def arguments(self) -> dict[str, Any]:
        """Return the options as keyword arguments of the factory, defaults included."""
        return (
            {} if self.options is None else {key: getattr(self.options, key) for key in type(self.options).model_fields}
        )


@dataclass(frozen=True, slots=True)
class Case:
    """A checked case.

    Attributes:
        source: Path of the file, or what stands for it.
        folder: Where relative paths of the file start.
        name: Name of the run.
        origins: Origin of each dotted key that is not a default.
        problem: The problem.
        solver: The validated `[solver]` table.
        coupling: The coupling.
        session: What every coupling understands.
        surrogates: Proposers in order of preference.
        verifier: The judge.
        governor: The governor's table.
        output: The output's table.
        watchdog: The watchdog's table.
        training: The `[training]` table as written; `cosolve train` checks it.
        petsc_options: PETSc's words: those of the file, then those of the command line.
    """

    source: str
    folder: Path
    name: str
    origins: Mapping[str, str]
    problem: Part
    solver: BaseModel
    coupling: Part
    session: CouplingTable
    surrogates: tuple[Part, ...]
    verifier: Part
    governor: GovernorTable
    output: OutputTable
    watchdog: WatchdogTable
    training: Mapping[str, Any] = field(default_factory=dict)
    petsc_options: tuple[str, ...] = ()

    @property
    def directory(self) -> Path:
        """Output folder."""
        return self.output.directory if self.output.directory is not None else Path("runs") / self.name

    @property
    def solver_settings(self) -> dict[str, Any]:
        """The `[solver]` table as plain values, without what the case leaves to the problem."""
        return {key: value for key, value in _values(self.solver).items() if value is not None}

    def effective(self) -> dict[str, Any]:
        """Return all options with their defaults as plain, JSON-serialisable tables."""
        surrogates = []
        for part in self.surrogates:
            table = {"name": part.name} | ({"model": str(part.model)} if part.model else {})
            surrogates.append(table | _values(part.options))
        return {
            "case": {"name": self.name},
            "problem": {"name": self.problem.name, **_values(self.problem.options)},
            "solver": _values(self.solver),
            "coupling": {**_values(self.session), **_values(self.coupling.options)},
            "surrogate": surrogates,
            "verifier": {"name": self.verifier.name, **_values(self.verifier.options)},
            "governor": _values(self.governor),
            "output": {**_values(self.output), "directory": str(self.directory)},
            "watchdog": _values(self.watchdog),
            "petsc": pairs_of(self.petsc_options),
        }

    def option_rows(self) -> list[tuple[str, Any, str]]:
        """Return (key, value, origin) of every option, as `--show-options` prints them."""
        rows = []
        for key, value in flatten(self.effective()).items():
            if value != {} and value != []:
                rows.append((key, value, self.origins.get(key, CODE)))
        return rows


def _values(options: BaseModel | None) -> dict[str, Any]:
    """Return options as plain, JSON-serialisable values."""
    return {} if options is None else options.model_dump(mode="json")
