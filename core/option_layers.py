"""One order of precedence for options: command line, environment, file, code; each value knows where it came from."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cosolve.core.errors import BadInputError, unknown_name

TABLES: Final = (
    "case",
    "problem",
    "solver",
    "coupling",
    "surrogate",
    "verifier",
    "governor",
    "output",
    "watchdog",
    "training",
    "petsc",
)
"""The tables of a case file, in the order of its documentation."""

COMMAND_LINE: Final = "command line"
CODE: Final = "code"
_PREFIX: Final = "COSOLVE_"


@dataclass(frozen=True, slots=True)
class Layer:
    """Values by dotted key (`coupling.mode`, `surrogate.0.model`) that share an origin.

    Attributes:
        origin: What to call it: `"command line"`, `"environment"`, the name of the file, `"code"`.
        values: Values by dotted key.
        names: How each key is spelt at its origin where that is not the key, e.g. `COSOLVE_COUPLING__MODE`.
    """

    origin: str
    values: Mapping[str, Any]
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Merged:
    """Options after precedence.

    Attributes:
        tables: Nested tables, `surrogate` a list of tables.
        origins: Origin of each dotted key, e.g. `"environment COSOLVE_COUPLING__MODE"`.
    """

    tables: Mapping[str, Any]
    origins: Mapping[str, str]


def merge(layers: Sequence[Layer]) -> Merged:
    """Merge layers, highest precedence first.

    >>> merged = merge([Layer("command line", {"coupling.mode": "off"}), Layer("a.toml", {"coupling.mode": "shadow"})])
    >>> merged.tables["coupling"]["mode"], merged.origins["coupling.mode"]
    ('off', 'command line')
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        for key, value in layer.values.items():
            if key not in values:
                values[key] = value
                spelt = layer.names.get(key)
                origins[key] = f"{layer.origin} {spelt}" if spelt else layer.origin
    return Merged(_nest(values), origins)


def flatten(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables and lists of tables as values by dotted key.

    >>> flatten({"surrogate": [{"name": "previous"}], "solver": {"rtol": 1e-8}})
    {'surrogate.0.name': 'previous', 'solver.rtol': 1e-08}
    """
    flat: dict[str, Any] = {}
    for name, value in tables.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{key}."))
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            flat.update(flatten({str(index): item for index, item in enumerate(value)}, f"{key}."))
        else:
            flat[key] = value
    return flat


def _nest(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *parents, last = key.split(".")
        node = tree
        for parent in parents:
            below = node.setdefault(parent, {})
            if not isinstance(below, dict):
                raise BadInputError(f"option {key!r} needs {parent!r} to be a table, found the value {below!r}.")
            node = below
        if isinstance(node.get(last), dict):
            raise BadInputError(f"option {key!r} is a table, found the value {value!r}; set one of its keys instead.")
        node[last] = value
    return {name: _lists(node) for name, node in tree.items()}


def _lists(node: Any) -> Any:
    """Turn tables whose keys are all numbers into lists, in order."""
    if not isinstance(node, dict):
        return node
    items = {name: _lists(value) for name, value in node.items()}
    if items and all(name.isdigit() for name in items):
        return [items[name] for name in sorted(items, key=int)]
    return items


def from_file(path: Path) -> Layer:
    """Read a TOML case file.

    Raises:
        BadInputError: The file is missing, is a folder, cannot be read or is not TOML; names the file and the place.
    """
    if not path.exists():
        beside = sorted(other.name for other in path.parent.glob("*.toml")) if path.parent.is_dir() else []
        what = f"; cases in {path.parent}: {', '.join(beside[:8])}" if beside else ""
        raise BadInputError(f"{path}: expected a case file, found nothing of that name{what}. Give the path of a case.")
    if path.is_dir():
        raise BadInputError(f"{path}: expected a case file, found a folder. Give the path of a file in it.")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror}. Check its permissions.") from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path}: expected TOML in UTF-8, found the byte at {error.start} that is not.") from error
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"{path}: expected TOML, found an error: {error}. Correct that line.") from error
    for name, value in tables.items():
        check_table(name, str(path))
        wanted = "a list of tables `[[surrogate]]`" if name == "surrogate" else f"a table `[{name}]`"
        fits = isinstance(value, list) and all(isinstance(item, dict) for item in value)
        if fits if name != "surrogate" else not fits:
            raise BadInputError(f"{path}: {name}: expected {wanted}, found {value!r}; change it there.")
        if name != "surrogate" and not isinstance(value, dict):
            raise BadInputError(f"{path}: {name}: expected {wanted}, found {value!r}; change it there.")
    return Layer(str(path), flatten(tables))


def from_environment(environment: Mapping[str, str] = os.environ) -> Layer:
    """Read `COSOLVE_TABLE__KEY` variables; the two underscores stand for the dot, names are lower-cased.

    Variables without two underscores (`COSOLVE_PLUGINS`, `COSOLVE_DATA`) are not options.

    Raises:
        BadInputError: A variable names an unknown table; says the nearest.
    """
    values: dict[str, Any] = {}
    names: dict[str, str] = {}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(_PREFIX) or "__" not in variable:
            continue
        key = variable.removeprefix(_PREFIX).replace("__", ".").lower()
        check_table(key.split(".")[0], f"environment {variable}")
        values[key] = parse_value(text)
        names[key] = variable
    return Layer("environment", values, names)


def from_assignments(assignments: Iterable[str], origin: str = COMMAND_LINE) -> Layer:
    """Read `key=value` texts of `--set`; a later one beats an earlier one.

    Raises:
        BadInputError: A text has no `=`, or its key names no table of a case.
    """
    values: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or "." not in key:
            raise BadInputError(f"--set {text!r}: expected TABLE.KEY=VALUE, e.g. --set coupling.mode=shadow.")
        check_table(key.split(".")[0], f"--set {text}")
        values[key] = parse_value(value)
    return Layer(origin, values)


def check_table(name: str, where: str) -> None:
    """Raise `BadInputError` where `name` is no table of a case; says the nearest."""
    if name not in TABLES:
        raise BadInputError(f"{where}: {unknown_name('table', name, TABLES)} Rename or remove it.")


def parse_value(text: str) -> Any:
    """Read a value as TOML where it is TOML, else as the text itself.

    >>> parse_value("1e-8"), parse_value("shadow"), parse_value("[1, 2]")
    (1e-08, 'shadow', [1, 2])
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
