"""Settings that races found on training instances for the guides' rivals, from `raced.toml`.

    python -m cosolve.examples.mips.raced set-cover relpscost 6

races a family's easy level (seeds 1000 to 1007) with a branching rule for six CPU minutes and stores the winner. A
guide brings its own settings, which its training raced.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from cosolve.core.errors import BadInputError
from cosolve.core.progress import progress_bar
from cosolve.examples.mips.families import generate
from cosolve.plugins.scip.choices import choices_for, starting_points
from cosolve.plugins.scip.racing import RaceResult, race
from cosolve.plugins.scip.settings import Settings, settings_named

FILE: Final = Path(__file__).with_name("raced.toml")
SEEDS: Final = range(1000, 1008)
"""Of the instances that races run on: neither training nor benches draw them."""


def raced(family: str, rule: str, path: Path = FILE) -> Settings:
    """Return the winner of a family's race with a branching rule, the lean settings where none was run.

    Args:
        family: Name of the family.
        rule: `"pscost"` or `"relpscost"`.
        path: The file of winners.
    """
    found = _read(path).get(family, {}).get(rule)
    if found is not None:
        return Settings(f"tuned {rule}", found)
    return Settings(f"tuned {rule}", settings_named("lean").with_rule(rule).params)


def told_of_races(family: str, rules: Sequence[str], path: Path = FILE) -> str:
    """Return the sentence that says for which of SCIP's rules a race was run on training instances of a family."""
    found = _read(path).get(family, {})
    run = [rule for rule in rules if rule in found]
    missing = [rule for rule in rules if rule not in found]
    said = f"Raced on training instances: {', '.join(run)}." if run else ""
    lean = f"No race was run for {', '.join(missing)}: these take the lean settings as they are." if missing else ""
    return " ".join(one for one in (said, lean) if one)


def store(family: str, rule: str, settings: Settings, path: Path = FILE) -> None:
    """Put a winner into the file, in place of an earlier one."""
    content = _read(path)
    content.setdefault(family, {})[rule] = dict(settings.params)
    lines = ["# Winners of races on training instances: family, branching rule, parameters of SCIP.", ""]
    for name in sorted(content):
        for one in sorted(content[name]):
            lines.append(f"[{name}.{one}]")
            # A scalar of JSON is a scalar of TOML: true, 1, 0.5 and "text" read alike.
            lines += [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in sorted(content[name][one].items())]
            lines.append("")
    path.write_text("\n".join(lines[:-1] if not lines[-1] else lines) + "\n", encoding="utf-8")


def run_race(
    family: str, rule: str, minutes: float, *, record: Path | None = None, start: Sequence[Settings] = ()
) -> RaceResult:
    """Race a family's easy level with one of SCIP's rules, from the portfolio and from `start`.

    Args:
        family: Name of the family.
        rule: A branching rule of SCIP.
        minutes: CPU minutes.
        record: File that keeps every run, so that an interrupted race goes on.
        start: Further candidates, such as the winner of another rule's race.
    """
    programs = [generate(family, "easy", seed) for seed in SEEDS]
    candidates = starting_points(rule) + [one.with_rule(rule) for one in start]
    with progress_bar(f"race {family} {rule}") as progress:
        return race(
            [program.model for program in programs],
            candidates,
            60.0 * minutes,
            choices=choices_for(rule),
            store=record,
            label=f"{family} easy {rule}",
            progress=progress,
        )


def _read(path: Path) -> dict[str, dict[str, Mapping[str, bool | int | float | str]]]:
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"{path}: expected a table of settings in TOML, found an error: {error}.") from error


def main(arguments: list[str]) -> int:
    """Race and store: FAMILY RULE MINUTES [RECORD]."""
    family, rule, minutes, *rest = arguments
    result = run_race(family, rule, float(minutes), record=Path(rest[0]) if rest else None)
    for row in result.rows[:20]:
        print(f"{row.ratio:6.3f} {row.seconds:8.2f} s on {row.instances} {row.settings.name}")
    store(family, rule, result.winner)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
