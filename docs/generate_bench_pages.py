"""Writes one page for each bench's JSON file in `docs/reference/benches/`.

    python docs/generate_bench_pages.py [FILE.json ...]

Files that are named are copied there first (by the bench's name). Pages and JSON are committed, and so is the table of
the README; a test fails when one of them is not what its JSON gives.
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
README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- measured: made by docs/generate_bench_pages.py -->", "<!-- end of measured -->"
HEADLINES = {
    "time-loop": {
        "speedup_median": "flagship, CPU time against the best full stepping at equal error, median",
        "speedup_min": "the same, worst run",
        "speedup_vs_cycle_jump": "against the classical cycle jump, median",
        "silent_failures": "accepted runs with a true error above the tolerance",
        "estimate_covers": "share of accepted runs whose estimate covers the true error",
        "accepted_share": "share of runs that did not fall back to full stepping",
        "break_even_runs": "runs that repay data and training, against full stepping",
        "break_even_runs_vs_cycle_jump": "the same, against the classical cycle jump",
        "heat_accepted_share": "nonlinear heat, certified steps: share of proposals accepted, median",
        "heat_speedup_median": "the same: CPU time against the classical loop, median",
        "cahn_hilliard_cost_ratio": "Cahn-Hilliard, where a network cannot gain: cost against adaptive stepping",
    },
    "overhead": {
        "overhead_ms_per_step": "cosolve's own time per step, ms",
        "overhead_share_of_10ms": "its share of a step of 10 ms",
    },
}
"""Metrics of the README's table, with their words."""
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


def readme_table(folder: Path = FOLDER) -> str:
    """Return the README's table of those headlines that were measured."""
    rows = ["| measured | value | aim |", "|---|---|---|"]
    for name, headlines in HEADLINES.items():
        source = folder / f"{name}.json"
        if not source.is_file():
            continue
        bench = json.loads(source.read_text())
        for metric, words in headlines.items():
            if metric in bench["metrics"]:
                aim = bench.get("targets", {}).get(metric, "")
                rows.append(f"| {words} | {text(bench['metrics'][metric])} | {aim} |")
    return "\n".join(rows)


def with_table(readme: str) -> str:
    """Return the README with its table made anew."""
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{readme_table()}\n\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Take in the named files, write all pages, and print their paths."""
    for argument in arguments:
        name = str(json.loads(Path(argument).read_text())["name"])
        if Path(argument).resolve() != (FOLDER / f"{name}.json").resolve():
            shutil.copyfile(argument, FOLDER / f"{name}.json")
    for path in write_pages():
        print(path)
    README.write_text(with_table(README.read_text()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
