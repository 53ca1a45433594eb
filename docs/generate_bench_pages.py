"""Writes one page for each bench's JSON file in `docs/reference/benches/`.

    python docs/generate_bench_pages.py [--full] [FILE.json ...]

Files that are named are copied there first (by the bench's name and options). With `--full` they are results of the
bench's long form: they become `NAME.full.json`, whose figures stand beside the quick ones. Pages and JSON are
committed, and so is the table of the README; a test fails when one of them is not what its JSON gives.
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
    "branching-set-cover-easy": {
        "speedup_vs_default": "SCIP guided on set covering (500 x 1000), CPU time against SCIP's default",
        "speedup_vs_best_classical": "the same, against the best tuned classical rule",
        "optima_equal": "the same: optima equal on every instance",
    },
    "branching-auctions-easy": {
        "speedup_vs_default": "SCIP guided on combinatorial auctions (100 items, 500 bids), against SCIP's default",
        "speedup_vs_best_classical": "the same, against the best tuned classical rule",
        "ratio_p95": "the same, 95th percentile of its time over the default's",
    },
    "newton": {
        "time_ratio_vs_stepping": "large bending from a learned start, CPU time of load stepping over ours",
        "time_ratio_vs_grid_sequencing": "the same, of grid sequencing over ours",
        "fine_solves_ratio_vs_stepping": "the same, fine solves of load stepping over ours",
        "break_even_queries": "solves that repay data and training, against load stepping",
    },
    "overhead": {
        "overhead_ms_per_step": "cosolve's own time per step, ms",
        "overhead_share_of_10ms": "its share of a step of 10 ms",
    },
    "linear-guess": {
        "worst_regret": "sequences of multigrid solves: CPU time over the best fixed classical start's, worst of four",
        "energy_above_projection": "the same: starts that a surrogate made worse in the energy norm",
    },
    "cylinder": {
        "cost_ratio_vs_classical": "flow past a cylinder, where no surrogate pays: CPU time over the classical run's",
        "accepted_bad": "accepted steps whose residual is above the tolerance",
        "lift_error": "largest lift against the reference",
    },
}
"""Metrics of the README's table, with their words."""
FULL = ".full.json"
"""Ending of the results of a bench's long form."""
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


def metrics_table(
    metrics: Mapping[str, Any], targets: Mapping[str, str], full: Mapping[str, Any] | None = None
) -> list[str]:
    """Return the metrics, beside them those of the long form and their targets where there are some."""
    columns = ["value"] if full is None else ["quick", "full"]
    columns += ["target"] if targets else []
    rows = []
    for name in dict.fromkeys([*metrics, *(full or {})]):
        cells = [f"`{name}`", text(metrics[name]) if name in metrics else ""]
        if full is not None:
            cells.append(text(full[name]) if name in full else "")
        rows.append("| " + " | ".join(cells + ([targets.get(name, "")] if targets else [])) + " |")
    return ["| metric | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|", *rows]


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


def stem(bench: Mapping[str, Any]) -> str:
    """Return the name of a bench's page: its own, and the values of the options that it was run with."""
    words = [str(word) for word in bench.get("arguments", ()) if not str(word).startswith("--")]
    return "-".join([str(bench["name"]), *words])


def page(bench: Mapping[str, Any], file_name: str, full: Mapping[str, Any] | None = None) -> str:
    """Return the page of one bench, with the figures of its long form where they were measured, too."""
    name = stem(bench)
    command = " ".join(["cosolve bench", str(bench["name"]), *bench.get("arguments", ())])
    long = "" if full is None else f" (quick) and [{name}{FULL}]({name}{FULL}) (full)"
    lines = [f"# {name}", "", f"Made from [{file_name}]({file_name}){long}. Run it again with", "", "```text"]
    lines += [f"$ {command} --quick --json {name}.json"]
    lines += [] if full is None else [f"$ {command} --json {name}{FULL}"]
    lines += ["```", "", "## Figures", ""]
    picture = f"{name}.png"
    lines += [f"![{name}]({picture})", ""] if (FOLDER / picture).is_file() else []
    lines += metrics_table(bench.get("metrics", {}), bench.get("targets", {}), full and full.get("metrics", {}))
    notes = bench.get("notes", [])
    if notes:
        lines += ["", *(f"* {text(note)}" for note in notes)]
    if bench.get("cases"):
        of = "" if full is None else " of the quick form"
        lines += ["", f"## Cases{of}", "", *cases_table(bench["cases"])]
    while not lines[-1]:
        lines.pop()
    lines += ["", "## Machine", "", "| | |", "|---|---|"]
    lines += [f"| {key} | {text(value)} |" for key, value in bench.get("machine", {}).items()]
    return "\n".join(lines).rstrip() + "\n"


def page_of(source: Path) -> str:
    """Return the page of the JSON file `source`."""
    long = source.with_name(source.stem + FULL)
    full = json.loads(long.read_text()) if long.is_file() else None
    return page(json.loads(source.read_text()), source.name, full)


def results(folder: Path = FOLDER) -> list[Path]:
    """Return the JSON files that have a page each."""
    return sorted(path for path in folder.glob("*.json") if not path.name.endswith(FULL))


def write_pages(folder: Path = FOLDER) -> list[Path]:
    """Write the page of each bench in `folder` and return the paths."""
    written = []
    for source in results(folder):
        target = source.with_suffix(".md")
        target.write_text(page_of(source))
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
    ending = FULL if "--full" in arguments else ".json"
    for argument in arguments:
        if argument == "--full":
            continue
        target = FOLDER / f"{stem(json.loads(Path(argument).read_text()))}{ending}"
        if Path(argument).resolve() != target.resolve():
            shutil.copyfile(argument, target)
    for path in write_pages():
        print(path)
    README.write_text(with_table(README.read_text()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
