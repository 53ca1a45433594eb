"""The HTML report: one file that needs no other, readable in ten seconds and complete in two minutes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from cosolve.core.errors import OutputError
from cosolve.core.fields_file import PlaneFields, read_plane_fields
from cosolve.core.wording import counted, ended
from cosolve.plugins.report.digest import Digest, duration, number, percent
from cosolve.plugins.report.reading import read_digest

FILE_NAME = "report.html"
_ROWS = 40


@dataclass(frozen=True, slots=True)
class Tile:
    """One key figure."""

    name: str
    value: str
    note: str
    bad: bool = False


def write_report(directory: Path) -> Path:
    """Write `report.html` from the ledger (and `fields.npz`, where there is one) of a run.

    Not collective: call it on rank 0.

    Args:
        directory: The run's folder.

    Returns:
        The path of the report.

    Raises:
        BadInputError: The folder has no readable ledger.
        OutputError: The report cannot be written.
    """
    directory = Path(directory)
    text = render(read_digest(directory), read_plane_fields(directory), str(directory))
    path = directory / FILE_NAME
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}. Choose a writable folder under `[output] directory`."
        ) from error
    return path


def render(digest: Digest, fields: PlaneFields | None, directory: str) -> str:
    """Return the page."""
    # Imported here: the template engine and the plots are needed only when a run has ended.
    import jinja2
    from cosolve.plugins.report import plots

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cosolve.plugins.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pictures = {
        "fields": plots.fields(fields) if fields and fields.fields else "",
        "verdicts": plots.verdicts(digest) if digest.steps else "",
        "errors": plots.errors(digest) if digest.errors else "",
        "cost": plots.cost(digest) if len(digest.steps) > 1 and sum(digest.seconds().values()) > 0 else "",
        "rivals": plots.rivals(digest) if any(math.isfinite(rival.speedup) for rival in digest.rivals) else "",
    }
    refused = [row for row in digest.steps if row.decision in ("correct", "reject", "fault")]
    return environment.get_template("report.html.jinja").render(
        digest=digest,
        directory=directory,
        sentence=sentence(digest),
        tiles=tiles(digest),
        pictures=pictures,
        field_names=", ".join(item.label or name for name, item in fields.fields.items()) if fields else "",
        reasons=refused[-_ROWS:],
        more_reasons=len(refused) > _ROWS,
        governor_rows=digest.governor[:_ROWS],
        more_governor=len(digest.governor) > _ROWS,
        error_note=error_note(digest),
        paid=paid(digest),
        grade_note=grade_note(digest),
        number=number,
        percent=percent,
        duration=duration,
    )


def sentence(digest: Digest) -> str:
    """Return the run in one or two sentences."""
    if not digest.steps:
        return "The ledger has no transaction: the run ended before its first one."
    accepted, judged, total = digest.count("accept"), digest.judged, len(digest.steps)
    failed = "".join(f" {ended(one.as_warning()[:1].upper() + one.as_warning()[1:])}" for one in digest.failures)
    if judged == 0:
        return f"{counted(total, 'transaction')}, all computed by the solver: no proposal was judged.{failed}"
    grades = " and ".join(digest.grades)
    text = f"{accepted} of {judged} judged proposals were accepted{f' ({grades})' if grades else ''}"
    fallen = judged - accepted
    if fallen:
        text += f"; the solver corrected or replaced the other {fallen}"
    text += f".{failed}"
    if digest.rivals and not math.isnan(digest.rivals[0].speedup):
        best = digest.rivals[0]
        speed = best.speedup
        verb = f"{number(speed)} times faster than" if speed >= 1.0 else f"{number(1 / speed)} times slower than"
        text += f" The run was {verb} {best.name}, its best classical rival"
        text += f", with an error of {percent(best.run_error)}." if not math.isnan(best.run_error) else "."
    return text


def tiles(digest: Digest) -> list[Tile]:
    """Return the three to four key figures."""
    accepted, judged = digest.count("accept"), digest.judged
    grades = ", ".join(f"{count} {grade}" for grade, count in digest.grades.items())
    shown = [
        Tile(
            "Proposals used",
            f"{accepted + digest.corrected} of {judged}" if judged else "none judged",
            f"{f'{grades}; ' if grades else ''}{digest.corrected} after a correction",
        )
    ]
    seconds = digest.seconds()
    spent = sum(seconds.values())
    if digest.rivals:
        best = digest.rivals[0]
        if not math.isnan(best.run_error):
            known = not math.isnan(best.tolerance)
            shown.append(
                Tile(
                    "Error",
                    percent(best.run_error),
                    f"tolerance {percent(best.tolerance)}" if known else "against the reference",
                    bad=known and best.run_error > best.tolerance,
                )
            )
        shown.append(
            Tile("Against the best rival", f"{number(best.speedup)} x", f"{best.name}", bad=best.speedup < 1.0)
        )
        unknown = math.isnan(best.break_even)
        shown.append(
            Tile(
                "Training repaid after",
                "unknown"
                if unknown
                else "never"
                if math.isinf(best.break_even)
                else f"{number(best.break_even, 4)} runs",
                "cost of data and training not recorded"
                if unknown
                else f"data and training: {duration(best.training_seconds)}",
                bad=math.isinf(best.break_even),
            )
        )
        return shown
    if digest.errors:
        shown.append(Tile("Largest error", percent(max(row.error for row in digest.errors)), "against the reference"))
    shown.append(
        Tile("Cost", duration(spent), f"of it judging {percent(seconds['judge'] / spent) if spent else '0 %'}")
    )
    shown.append(Tile("Rival", "none", "no classical rival was measured in this run"))
    return shown


def error_note(digest: Digest) -> str:
    """Return what the error is, in words."""
    measure = next((rival.measure for rival in digest.rivals if rival.measure), "")
    text = f"{measure[:1].upper()}{measure[1:]}." if measure else "Relative, against the reference."
    if any(math.isfinite(row.estimate) for row in digest.errors):
        covered = sum(row.estimate >= row.error for row in digest.errors)
        text += f" The estimate covered the error at {covered} of {len(digest.errors)} times."
    return text


def paid(digest: Digest) -> str:
    """Return whether the surrogate paid, in plain words, for and against."""
    if not digest.rivals:
        return ""
    best = digest.rivals[0]
    if math.isnan(best.speedup):
        return "The cost of the run or of its rival is unknown, so nothing can be said."
    if best.speedup < 1.0:
        return f"No. {best.name} was {number(1.0 / best.speedup)} times faster than this run."
    text = f"In this run, yes: {duration(best.seconds - best.run_seconds)} were saved against {best.name}."
    if math.isnan(best.break_even):
        return f"{text} What data and training cost is not recorded, so a break-even cannot be given."
    return (
        f"{text} Data and training cost {duration(best.training_seconds)}, "
        f"so it takes {number(best.break_even, 4)} such runs to repay them."
    )


def grade_note(digest: Digest) -> str:
    """Return what the grades in this report mean."""
    certified = "Certified: the residual of the step's own equations is below a stated part of the solver's tolerance."
    estimated = "Estimated: a calibrated estimate is below the tolerance; it can be wrong and is no guarantee."
    grades = {row.grade for row in digest.steps}
    notes = [text for name, text in (("certified", certified), ("estimated", estimated)) if name in grades]
    return " ".join(notes) or "No proposal was judged in this run, so every value is the solver's own."
