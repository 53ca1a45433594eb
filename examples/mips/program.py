"""A mixed-integer program as arrays: what the generators make, what becomes a SCIP model or an MPS file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyscipopt import Model

INFINITY = float("inf")


@dataclass(frozen=True, slots=True)
class Row:
    """One linear constraint `lower <= sum of coefficients * variables <= upper`.

    Attributes:
        columns: Indices of its variables.
        coefficients: One for each.
        lower: Left-hand side, or -inf.
        upper: Right-hand side, or inf.
    """

    columns: Sequence[int]
    coefficients: Sequence[float]
    lower: float = -INFINITY
    upper: float = INFINITY


@dataclass(slots=True)
class MixedIntegerProgram:
    """A program to be built column by column and row by row.

    Attributes:
        name: Family, level and seed.
        maximise: Sense of the objective.
        costs: Objective coefficient of each variable.
        bounds: Lower and upper bound of each variable.
        integer: Whether each variable is integer.
        rows: The constraints.
    """

    name: str
    maximise: bool = False
    costs: list[float] = field(default_factory=list)
    bounds: list[tuple[float, float]] = field(default_factory=list)
    integer: list[bool] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def add_variables(
        self, costs: Iterable[float], *, upper: float = 1.0, lower: float = 0.0, integer: bool = True
    ) -> range:
        """Add one variable for each cost and return their indices; binary unless told otherwise."""
        start = len(self.costs)
        self.costs += [float(cost) for cost in costs]
        added = range(start, len(self.costs))
        self.bounds += [(lower, upper)] * len(added)
        self.integer += [integer] * len(added)
        return added

    def add_row(
        self,
        columns: Sequence[int],
        coefficients: Sequence[float] | float = 1.0,
        *,
        lower: float = -INFINITY,
        upper: float = INFINITY,
    ) -> None:
        """Add a constraint; one number stands for a coefficient that all its variables share."""
        if isinstance(coefficients, int | float):
            coefficients = [float(coefficients)] * len(columns)
        row = Row([int(j) for j in columns], [float(a) for a in coefficients], float(lower), float(upper))
        self.rows.append(row)

    def as_mps(self) -> str:
        """Return the program in free MPS format; numbers as Python prints them, so nothing is rounded."""
        by_column: list[list[tuple[int, float]]] = [[] for _ in self.costs]
        for i, row in enumerate(self.rows):
            for j, a in zip(row.columns, row.coefficients, strict=True):
                by_column[j].append((i, a))
        kinds = [_kind(row) for row in self.rows]
        lines = [f"NAME {self.name.replace(' ', '_')}"]
        lines += ["OBJSENSE", "  MAX"] if self.maximise else []
        lines += ["ROWS", " N  obj", *(f" {kind}  c{i}" for i, kind in enumerate(kinds)), "COLUMNS"]
        within = False
        for j, cost in enumerate(self.costs):
            if self.integer[j] != within:
                within = self.integer[j]
                lines.append(f" M{j} 'MARKER' '{'INTORG' if within else 'INTEND'}'")
            lines.append(f" x{j} obj {_number(cost)}")
            lines += [f" x{j} c{i} {_number(a)}" for i, a in by_column[j]]
        if within:
            lines.append(" MEND 'MARKER' 'INTEND'")
        lines.append("RHS")
        for i, (kind, row) in enumerate(zip(kinds, self.rows, strict=True)):
            lines.append(f" rhs c{i} {_number(row.lower if kind in 'GE' else row.upper)}")
        ranged = [(i, row) for i, (kind, row) in enumerate(zip(kinds, self.rows, strict=True)) if _ranged(kind, row)]
        if ranged:
            lines += ["RANGES", *(f" rng c{i} {_number(row.upper - row.lower)}" for i, row in ranged)]
        lines.append("BOUNDS")
        for j, (lower, upper) in enumerate(self.bounds):
            lines.append(f" LO bnd x{j} {_number(lower)}" if lower > -INFINITY else f" MI bnd x{j}")
            lines.append(f" UP bnd x{j} {_number(upper)}" if upper < INFINITY else f" PL bnd x{j}")
        return "\n".join([*lines, "ENDATA", ""])

    def write(self, path: Path) -> Path:
        """Write the MPS file and return its path."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.as_mps(), encoding="ascii")
        return path

    def model(self) -> Model:
        """Return a quiet SCIP model of the program, at SCIP's defaults."""
        with tempfile.TemporaryDirectory() as folder:
            return read(self.write(Path(folder) / "program.mps"))


def read(path: Path) -> Model:
    """Return a quiet SCIP model of a file in any format that SCIP reads.

    Raises:
        BadInputError: There is no such file, or SCIP cannot read it.
    """
    # Imported here: families and levels are listed without SCIP.
    from cosolve.core.errors import BadInputError
    from pyscipopt import Model

    if not path.is_file():
        raise BadInputError(f"{path}: expected a file with a program (MPS, LP or another format of SCIP), found none.")
    model = Model()
    model.hideOutput()
    try:
        model.readProblem(str(path))
    except Exception as error:  # PySCIPOpt knows only bare exceptions and OSError
        raise BadInputError(f"{path}: SCIP cannot read this file: {error}; mend or remove it.") from error
    return model


def _kind(row: Row) -> str:
    if row.lower == row.upper:
        return "E"
    return "L" if row.upper < INFINITY else "G"


def _ranged(kind: str, row: Row) -> bool:
    return kind == "L" and row.lower > -INFINITY


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
