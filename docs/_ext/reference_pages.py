"""Reference pages as Markdown, made from the code: hooks, options, commands, exit codes, plugins' entries.

The directive `{generated}` puts them on a page; the tests in `tests/docs` call the same functions and fail when an
item has no text.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

EVENTS = {"cosolve_run_started": "RunEvent", "cosolve_run_finished": "RunEvent"}


def attributes(item: Any) -> dict[str, str]:
    """Return the texts of the `Attributes:` section of a docstring, by name; of base classes, too."""
    found: dict[str, str] = {}
    for owner in reversed(inspect.getmro(item)) if inspect.isclass(item) else (item,):
        text = inspect.cleandoc(owner.__doc__ or "")
        match = re.search(r"^(?:Attributes|Args):\n((?:[ ]{4}.*\n?|\n)+)", text, flags=re.MULTILINE)
        name = ""
        for line in (match.group(1) if match else "").splitlines():
            start = re.match(r"^ {4}(\w+):\s+(.*)$", line)
            if start:
                name = start.group(1)
                found[name] = start.group(2)
            elif name and line.strip():
                found[name] += " " + line.strip()
    return found


def summary(item: Any) -> str:
    """Return the first paragraph of a docstring as one line."""
    return " ".join(inspect.cleandoc(item.__doc__ or "").split("\n\n")[0].split())


@dataclass(frozen=True)
class Hook:
    """One hook: name, its line, the class of its event (empty for registration)."""

    name: str
    text: str
    event: str
    arguments: tuple[str, ...]


def hooks() -> list[Hook]:
    """Return all hooks in the order of the specs."""
    specs = importlib.import_module("cosolve.core.hookspecs")
    found = []
    for group in (specs.RegistrationSpecs, specs.LifecycleSpecs):
        for name, function in vars(group).items():
            if not name.startswith("cosolve_"):
                continue
            arguments = tuple(word for word in inspect.signature(function).parameters if word != "self")
            event = EVENTS.get(name, "StepEvent") if "event" in arguments else ""
            found.append(Hook(name, summary(function), event, arguments))
    return found


def events() -> dict[str, dict[str, str]]:
    """Return the attributes of each event, by class name, with their texts."""
    module = importlib.import_module("cosolve.core.events")
    found = {}
    for name, item in vars(module).items():
        if is_dataclass(item) and name.endswith("Event"):
            texts = attributes(item)
            found[name] = {part.name: texts.get(part.name, "") for part in fields(item)}
    return found


def hooks_page() -> str:
    """Return the list of hooks and of what their events hold."""
    lines = []
    for title, registration in (("Registration hooks", True), ("Lifecycle hooks", False)):
        lines += [f"## {title}", "", "| hook | arguments | what it is for |", "|---|---|---|"]
        for hook in hooks():
            if (not hook.event) == registration:
                arguments = f"`event`: `{hook.event}`" if hook.event else "none"
                lines.append(f"| `{hook.name}` | {arguments} | {hook.text} |")
        lines.append("")
    lines += ["## What an event holds", ""]
    for name, items in events().items():
        lines += [f"### {name}", "", "| attribute | meaning |", "|---|---|"]
        lines += [f"| `{attribute}` | {text} |" for attribute, text in items.items()]
        lines.append("")
    return "\n".join(lines)


@dataclass(frozen=True)
class Option:
    """One key of a table: name, type in words, default in words, and its text."""

    name: str
    kind: str
    default: str
    text: str


def options_of(model: Any) -> list[Option]:
    """Return the options of a pydantic model."""
    texts = attributes(model)
    found = []
    for name, info in model.model_fields.items():
        default = "required" if info.is_required() else _value(info.get_default(call_default_factory=True))
        bounds = [
            f"{sign} {getattr(limit, key):g}"
            for limit in info.metadata
            for key, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
            if getattr(limit, key, None) is not None
        ]
        kind = ", ".join([_kind(info.annotation), *bounds])
        found.append(Option(info.alias or name, kind, default, info.description or texts.get(name, "")))
    return found


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if value in ("", (), [], {}):
        return "empty"
    return str(getattr(value, "value", value)).replace("|", "\\|")


def _kind(annotation: Any) -> str:
    words = {float: "number", int: "whole number", str: "text", bool: "true or false", type(None): "none"}
    if annotation in words:
        return words[annotation]
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{word}`" for word in inner)
    if origin is typing.Annotated:
        return _kind(inner[0])
    if origin in (list, tuple, set, frozenset):
        return f"list of {_kind(inner[0])}" if inner else "list"
    if origin is dict:
        return "table"
    if inner:
        return " or ".join(_kind(part) for part in inner if part is not type(None))
    name = getattr(annotation, "__name__", str(annotation))
    return {"Path": "path", "Any": "anything", "Mapping": "table"}.get(name, name)


def option_table(model: Any) -> str:
    """Return the options of a model as a table."""
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    rows += [f"| `{o.name}` | {o.kind} | {o.default} | {o.text} |" for o in options_of(model)]
    return "\n".join(rows) + "\n"


def case_tables() -> dict[str, Any]:
    """Return the options model of each table of a case that cosolve itself checks."""
    case = importlib.import_module("cosolve.core.case")
    options = importlib.import_module("cosolve.core.options")
    training = importlib.import_module("cosolve.core.training")
    return {
        "case": case.CaseTable,
        "solver": options.SolverOptions,
        "coupling": case.CouplingTable,
        "governor": case.GovernorTable,
        "output": case.OutputTable,
        "watchdog": case.WatchdogTable,
        "training": training.TrainingSettings,
    }


def case_page() -> str:
    """Return the tables of a case."""
    lines = []
    for name, model in case_tables().items():
        lines += [f"## `[{name}]`", "", option_table(model), ""]
    return "\n".join(lines)


@dataclass(frozen=True)
class Offered:
    """One entry with its plugin."""

    role: str
    plugin: str
    entry: Any


def entries() -> Iterator[Offered]:
    """Yield what the built-in plugins offer."""
    registry = importlib.import_module("cosolve.core.registry").Registry.discover(os.environ)
    for offer in registry.offers():
        if offer.distribution.split()[0] == "cosolve":
            yield Offered(offer.role, offer.plugin, offer.entry)


def traits(stated: Any) -> str:
    """Return what a surrogate says of itself as one line."""
    words = {"inputs": "sees", "spaces": "lives on", "boundaries": "boundary kept", "resolution": "resolution"}
    words |= {"cost": "cost", "certified": "certified"}
    said = [f"{word}: {getattr(stated, name)}" for name, word in words.items() if getattr(stated, name)]
    return "; ".join(said).capitalize()


def entries_page() -> str:
    """Return everything that the built-in plugins offer, with its options."""
    lines: list[str] = []
    role = ""
    for item in entries():
        if item.role != role:
            role = item.role
            lines += [f"## {role.capitalize()}{'es' if role == 'bench' else 's'}", ""]
        entry = item.entry
        lines += [f"### {entry.name}", "", f"{entry.summary[:1].upper()}{entry.summary[1:]}.", ""]
        facts = [f"Plugin `{item.plugin}`", f"`{entry.factory}`"]
        if entry.baseline:
            facts.append("a classical rival")
        if entry.requires:
            facts.append("needs " + ", ".join(f"`{name}`" for name in entry.requires))
        if entry.capabilities:
            facts.append("capabilities: " + ", ".join(entry.capabilities))
        lines += ["; ".join(facts) + ".", ""]
        if entry.traits is not None:
            lines += [f"{traits(entry.traits)}.", ""]
        model = entry.load_options()
        if model is not None and options_of(model):
            lines += [option_table(model), ""]
    return "\n".join(lines)


def exit_codes() -> dict[int, str]:
    """Return the exit codes with their meaning."""
    return dict(importlib.import_module("cosolve.core.errors").EXIT_CODES)


def error_classes() -> list[Any]:
    """Return the errors a user can meet."""
    module = importlib.import_module("cosolve.core.errors")
    return [item for item in vars(module).values() if inspect.isclass(item) and issubclass(item, module.CosolveError)]


def errors_page() -> str:
    """Return exit codes and error classes."""
    lines = ["## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {text} |" for code, text in exit_codes().items()]
    lines += ["", "## Error classes", "", "| class | exit code | meaning |", "|---|---|---|"]
    for item in error_classes():
        lines.append(f"| `{item.__name__}` | {item.exit_code} | {summary(item)} |")
    return "\n".join(lines) + "\n"


def commands() -> dict[str, Any]:
    """Return the commands of the command line, by name."""
    import click

    main = importlib.import_module("cosolve.core.cli.main")
    context = click.Context(main.group, info_name="cosolve")
    found = {name: main.group.get_command(context, name) for name in main.group.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def commands_page() -> str:
    """Return the help of every command, as the terminal shows it."""
    import click

    main = importlib.import_module("cosolve.core.cli.main")
    parent = click.Context(main.group, info_name="cosolve", max_content_width=90, terminal_width=90)
    lines = ["## cosolve", "", "```text", main.group.get_help(parent).rstrip(), "```", ""]
    for name, command in commands().items():
        context = click.Context(command, info_name=name, parent=parent, max_content_width=90, terminal_width=90)
        lines += [f"## cosolve {name}", "", "```text", command.get_help(context).rstrip(), "```", ""]
    return "\n".join(lines)


def card_page() -> str:
    """Return the keys of a model card."""
    return option_table(importlib.import_module("cosolve.core.model_card").ModelCard)


PAGES: dict[str, Callable[[], str]] = {
    "hooks": hooks_page,
    "case": case_page,
    "entries": entries_page,
    "errors": errors_page,
    "commands": commands_page,
    "card": card_page,
}
