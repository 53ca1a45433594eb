"""Writes one page for each bench's JSON file in `docs/reference/benches/`.

    python docs/generate_bench_pages.py [FILE.json ...]

Files that are named are copied there first (by the bench's name). The pages are committed beside the JSON, and a test
fails when a page is not what its JSON gives.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "reference" / "benches"
_CASES = 80
_COLUMNS = 9


def text(value: Any) -> str:
    """Return a value as a cell of a table."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return "unknown" if math.isnan(value) else f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {text(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(text(item) for item in value)
    return str(value).replace("|", "\\|").replace("\n", " ")


def metrics_table(metrics: Mapping[str, Any], targets: Mapping[str, str]) -> list[str]:
    """Return the metrics, with their targets where there are some."""
    header = ["| metric | value | target |", "|---|---|---|"] if targets else ["| metric | value |", "|---|---|"]
    rows = []
    for name, value in metrics.items():
        cells = [f"`{name}`", text(value)] + ([targets.get(name, "")] if targets else [])
        rows.append("| " + " | ".join(cells) + " |")
    return header + rows


def cases_table(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the cases: scalars as columns, one table for each set of keys, at most `_COLUMNS` columns."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for case in cases[:_CASES]:
        keys = tuple(key for key, value in case.items() if not isinstance(value, list | dict))[:_COLUMNS]
        groups.setdefault(keys, []).append(case)
    lines: list[str] = []
    for keys, members in groups.items():
        if keys:
            lines += ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
            lines += ["| " + " | ".join(text(case.get(key)) for key in keys) + " |" for case in members] + [""]
    if len(cases) > _CASES:
        lines.append(f"The first {_CASES} of {len(cases)} cases; the JSON file has all.")
    return lines


def page(bench: Mapping[str, Any], file_name: str) -> str:
    """Return the page of one bench."""
    name = str(bench["name"])
    lines = [f"# {name}", "", f"Made from [{file_name}]({file_name}). Run it again with", "", "```text"]
    lines += [f"$ cosolve bench {name} --quick --json {name}.json", "```", "", "## Figures", ""]
    lines += metrics_table(bench.get("metrics", {}), bench.get("targets", {}))
    notes = bench.get("notes", [])
    if notes:
        lines += ["", *(f"* {text(note)}" for note in notes)]
    if bench.get("cases"):
        lines += ["", "## Cases", "", *cases_table(bench["cases"])]
    while not lines[-1]:
        lines.pop()
    lines += ["", "## Machine", "", "| | |", "|---|---|"]
    lines += [f"| {key} | {text(value)} |" for key, value in bench.get("machine", {}).items()]
    return "\n".join(lines).rstrip() + "\n"


def write_pages(folder: Path = FOLDER) -> list[Path]:
    """Write the page of each JSON file in `folder` and return the paths."""
    written = []
    for source in sorted(folder.glob("*.json")):
        target = source.with_suffix(".md")
        target.write_text(page(json.loads(source.read_text()), source.name))
        written.append(target)
    return written


def main(arguments: list[str]) -> int:
    """Take in the named files, write all pages, and print their paths."""
    for argument in arguments:
        name = str(json.loads(Path(argument).read_text())["name"])
        if Path(argument).resolve() != (FOLDER / f"{name}.json").resolve():
            shutil.copyfile(argument, FOLDER / f"{name}.json")
    for path in write_pages():
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
