"""`cosolve check-plugin`: does an installed plugin keep the contract of its roles?"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from cosolve.core.cli.console import console, table, verbose_option

if TYPE_CHECKING:
    from cosolve.core.testing.checking import Finding
    from rich.console import Console
    from rich.table import Table

EXAMPLES = """\b
Examples:
  cosolve check-plugin my_plugin
  cosolve check-plugin my_plugin --ranks 1 -v
  cosolve check-plugin my_plugin --json findings.json

\b
Exits with 0 when all checks passed, 2 for an unknown name, 4 when a check failed or the plugin cannot be loaded."""


@click.command("check-plugin", epilog=EXAMPLES)
@click.argument("names", metavar="NAME...", nargs=-1)
@click.option(
    "--ranks",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Most ranks that mpirun is started for; 1 does without.",
)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write every finding as JSON.")
@verbose_option
def check_plugin(names: tuple[str, ...], ranks: int, json_path: Path | None, verbose: int) -> None:
    """Put an installed plugin through the conformance kit of each role that it offers.

    The checks: contract, valid and nearly valid inputs drawn from the declared domain, float32 and float64, gradients
    where they are claimed, determinism, memory over 200 calls, the fault matrix, and ranks 1 to 3 with one that owns
    nothing (under mpirun, where there is one). -v lists what was left out and why.
    """
    # Imported here: --help needs none of it.
    from cosolve.core.cli.bench import check_writable
    from cosolve.core.errors import BadInputError, PluginError
    from cosolve.core.registry import Registry
    from cosolve.core.testing.check_plugin import check_plugins, chosen_plugins
    from cosolve.core.testing.checking import failed

    registry = Registry.discover()
    if not names:
        known = ", ".join(plugin.name for plugin in registry.plugins)
        raise BadInputError(f"check-plugin: expected the name of an installed plugin, found none. Known: {known}.")
    plugins = chosen_plugins(registry, names)
    if json_path is not None:
        check_writable(json_path)
    out = console()
    found: dict[str, list[Finding]] = defaultdict(list)
    with out.status("checking") as status:
        told = check_plugins(registry, plugins, most_ranks=ranks, tell=lambda what: status.update(f"checking {what}"))
        for plugin, finding in told:
            found[plugin].append(finding)
    for plugin, findings in found.items():
        out.print(_table(plugin, findings))
        _print(out, findings, verbose)
        out.print(_last_line(plugin, findings), markup=False)
    if json_path is not None:
        _write(json_path, found)
        out.print(f"JSON: {json_path}", markup=False)
    accused = {plugin: len(failed(findings)) for plugin, findings in found.items() if failed(findings)}
    if accused:
        words = ", ".join(f"{count} of plugin {plugin!r}" for plugin, count in accused.items())
        raise PluginError(f"checks failed: {words}; the sentences above say what to mend.")


def _table(plugin: str, findings: list[Finding]) -> Table:
    """Return one row for each subject: its groups by how they ended."""
    from cosolve.core.testing.contract import GROUPS

    rows = table("what", "passed", "failed", "left out or not run", title=f"plugin {plugin}")
    by_subject: dict[str, dict[str, list[Finding]]] = defaultdict(lambda: defaultdict(list))
    for finding in findings:
        by_subject[finding.subject][finding.group].append(finding)
    for subject, groups in by_subject.items():
        counts = {
            group: {state: sum(f.state == state for f in groups[group]) for state in ("passed", "failed")}
            for group in GROUPS
            if group in groups
        }
        passed = [f"{group} {count['passed']}" for group, count in counts.items() if count["passed"]]
        bad = [f"{group} {count['failed']}" for group, count in counts.items() if count["failed"]]
        rest = [group for group, count in counts.items() if not any(count.values())]
        rows.add_row(subject, ", ".join(passed), f"[red]{', '.join(bad)}[/]" if bad else "", ", ".join(rest))
    return rows


def _print(out: Console, findings: list[Finding], verbose: int) -> None:
    """Print the sentences, each reason once."""
    from cosolve.core.wording import ended

    told: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for finding in findings:
        if finding.state in ("failed", "not run") or (verbose and finding.state == "left out"):
            ranks = f" ({finding.ranks} ranks)" if finding.ranks > 1 else ""
            told[finding.state, finding.subject, finding.reason].append(f"{finding.check}{ranks}")
    for (state, subject, reason), checks in told.items():
        out.print(f"{state}: {subject}: {'; '.join(checks)}: {ended(reason)}", markup=False)


def _last_line(plugin: str, findings: list[Finding]) -> str:
    from cosolve.core.wording import counted

    count = {state: sum(f.state == state for f in findings) for state in ("passed", "failed", "left out", "not run")}
    ranks = sorted({finding.ranks for finding in findings if finding.state in ("passed", "failed")})
    words = [f"{counted(count['passed'], 'check')} passed"]
    words += [f"{number} {state}" for state, number in count.items() if number and state != "passed"]
    return f"{plugin}: {', '.join(words)} (ranks {', '.join(map(str, ranks))})"


def _write(path: Path, found: dict[str, list[Finding]]) -> None:
    import json
    from dataclasses import asdict

    records = [{"plugin": plugin, **asdict(finding)} for plugin, findings in found.items() for finding in findings]
    path.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
