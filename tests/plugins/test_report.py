"""The report: right figures, whole without the network, tolerant of what a run may leave behind."""

import io
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from cosolve.core.errors import BadInputError, OutputError
from cosolve.core.events import RunEvent
from cosolve.core.fields_file import PlaneField, PlaneFields, grid_points, write_plane_fields
from cosolve.core.ledger import Ledger
from cosolve.plugins import report
from cosolve.plugins.report import plots
from cosolve.plugins.report.digest import Digest, Rival, StepRow
from cosolve.plugins.report.page import paid, render, sentence, tiles
from cosolve.plugins.report.reading import digest_of, read_digest
from cosolve.plugins.report.table import rows
from rich.console import Console

ACCEPT = {"decision": "accept", "grade": "certified", "measure": 2e-9, "tolerance": 1e-8, "proposer": "net"}
REJECT = {"decision": "reject", "grade": "certified", "measure": "nan", "tolerance": 1e-8, "proposer": "net"}
COST = {"propose": 0.001, "verify": 0.002, "correct": 0.0, "solve": 0.0, "machinery": 0.0001}


def write_run(directory, *, end=True, rival=True):
    with Ledger(directory) as ledger:
        ledger.write("run_started", case={"case": {"name": "Heat in a plate"}}, versions={"cosolve": "0.1.0"})
        for step in range(6):
            accepted = step % 3 != 2
            ledger.write(
                "step",
                step=step,
                t=0.1 * step,
                dt=0.1,
                mode="replace",
                plan=["net"],
                asked=["net"],
                source="net" if accepted else "solver",
                rung="" if accepted else "step",
                status="SUCCESS",
                message="",
                verdicts=[{**(ACCEPT if accepted else REJECT), "reason": "<b>because</b>", "verifier": "residual"}],
                cost=COST if accepted else {**COST, "solve": 0.05},
                copies=2,
                bytes=1000,
                iterations=0 if accepted else 3,
                linear_iterations=0,
            )
        ledger.write("governor", step=5, proposer="net", event="switched off", hybrid_seconds=0.1, solver_seconds=0.05)
        if rival:
            slow = {"rival": "fixed steps", "rival_cost_seconds": 9.0, "run_cost_seconds": 2.0}
            best = {"rival": "adaptive steps", "rival_cost_seconds": 5.0, "run_cost_seconds": 2.0}
            ledger.write("comparison", **slow, error=0.001, rival_error=0.002, tolerance=0.005)
            ledger.write(
                "comparison",
                **best,
                error=0.001,
                rival_error=0.004,
                tolerance=0.005,
                data_seconds=20.0,
                training_seconds=10.0,
                measure="relative L2 error at the end",
            )
            ledger.write("error", t=0.3, error=0.0005, estimate=0.001)
            ledger.write("error", t=0.6, error=0.001, estimate=0.0009)
        if end:
            ledger.write("finished", step=6, t=0.6, status="SUCCESS", message="")


def fields_of_a_run():
    x, triangles = grid_points((9, 9))
    values = {
        "u": PlaneField(x[:, 0], label="temperature", unit="K"),
        "e": PlaneField(x[:, 1] ** 2, label="error", role="error"),
        "source": PlaneField((x[:, 0] > 0.5) * 1.0, role="source", categories=("net", "solver")),
    }
    return PlaneFields(x, values, triangles)


def test_digest_counts_what_the_ledger_holds(tmp_path):
    write_run(tmp_path)
    digest = read_digest(tmp_path)
    assert digest.title == "Heat in a plate"
    assert digest.ok
    assert not digest.incomplete
    assert (digest.judged, digest.count("accept"), digest.count("reject")) == (6, 4, 2)
    assert digest.sources == {"net": 4, "solver": 2}
    assert digest.grades == {"certified": 4}
    assert math.isnan(digest.steps[2].measure)
    assert digest.seconds()["solve"] == pytest.approx(0.1)
    assert digest.totals["copies of a state"] == "12 (0.006 MB)"


def test_best_rival_is_first_and_training_is_charged(tmp_path):
    write_run(tmp_path)
    best, other = read_digest(tmp_path).rivals
    assert (best.name, best.speedup) == ("adaptive steps", 2.5)
    assert best.break_even == 10  # 30 s of data and training, 3 s saved by each run
    assert other.name == "fixed steps"
    assert math.isnan(other.break_even)


@pytest.mark.parametrize(
    ("seconds", "run_seconds", "training", "break_even", "words"),
    [(5.0, 2.0, 31.0, 11, "yes"), (2.0, 5.0, 31.0, math.inf, "No. rival was 2.5 times faster")],
)
def test_a_loss_is_called_a_loss(seconds, run_seconds, training, break_even, words):
    rival = Rival("rival", seconds, run_seconds, training_seconds=training)
    digest = Digest("case", "SUCCESS", "", (StepRow(0, 1.0, "net", "accept", "estimated"),), (rival,))
    assert rival.break_even == break_even
    assert words in paid(digest)
    assert ("slower" in sentence(digest)) == (rival.speedup < 1.0)
    assert any(tile.bad for tile in tiles(digest)) == (rival.speedup < 1.0)


class Sources(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []
        self.open = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_whole_and_needs_no_other_file(tmp_path):
    write_run(tmp_path)
    write_plane_fields(tmp_path, fields_of_a_run())
    path = report.write_report(tmp_path)
    text = path.read_text()
    parser = Sources()
    parser.feed(text)
    assert not parser.open
    assert len(parser.found) == 5
    assert all(source.startswith("data:image/") for source in parser.found)
    assert not re.search(r"<(script|link|iframe)", text)
    assert "@import" not in text
    assert "url(" not in text
    for words in ("Heat in a plate", "adaptive steps", "switched off", "4 of 6", "10 runs", "0.1\u00a0%"):
        assert words in text
    assert "<b>because</b>" not in text
    assert "&lt;b&gt;because" in text


def test_an_estimate_is_never_called_a_guarantee(tmp_path):
    rows = (StepRow(0, 1.0, "net", "accept", "estimated", 0.001, 0.005, "estimate 0.1 % is below 0.5 %"),)
    text = render(Digest("case", "SUCCESS", "", rows), None, "runs/case")
    assert "is no guarantee" in text
    assert "ertified" not in text
    assert "guarantee" not in text.replace("is no guarantee", "")


@pytest.mark.parametrize("cut", [2, 40, 400, 1500])
def test_a_ledger_that_was_cut_off_still_gives_a_report(tmp_path, cut):
    write_run(tmp_path)
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    digest = read_digest(tmp_path)
    assert digest.status == "UNFINISHED"
    assert "Its last whole record is transaction" in digest.incomplete
    assert "The ledger is incomplete." in report.write_report(tmp_path).read_text()


def test_a_run_without_a_step_says_so(tmp_path):
    Ledger(tmp_path).close()
    assert "has no transaction" in report.write_report(tmp_path).read_text()


def test_a_failed_run_shows_its_sentence(tmp_path):
    write_run(tmp_path, end=False, rival=False)
    with (tmp_path / "ledger.jsonl").open("a") as stream:
        line = {"kind": "stopped", "step": 6, "t": 0.6, "status": "NOT_CONVERGED", "message": "Newton stood still"}
        stream.write(json.dumps(line) + "\n")
    text = report.write_report(tmp_path).read_text()
    assert "Newton stood still" in text
    assert "not converged" in text


def test_steps_that_a_resumed_run_repeats_count_once():
    steps = [{"kind": "step", "step": step, "source": "old"} for step in range(5)]
    again = [{"kind": "step", "step": step, "source": "new"} for step in range(3, 6)]
    end = {"kind": "finished", "status": "INTERRUPTED"}
    digest = digest_of([*steps, end, {"kind": "resumed", "step": 3}, *again])
    assert [(row.step, row.source) for row in digest.steps][-3:] == [(3, "new"), (4, "new"), (5, "new")]
    assert len(digest.steps) == 6
    assert digest.status == "UNFINISHED"


def test_records_of_other_versions_are_tolerated():
    digest = digest_of([{"kind": "step"}, {"kind": "whatever", "x": 1}, {"kind": "comparison"}, {"kind": "finished"}])
    assert len(digest.steps) == 1
    text = render(digest, None, "runs/x")
    assert "unknown" in text


def test_table_for_the_terminal(tmp_path):
    write_run(tmp_path)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(report.summary_table(tmp_path))
    text = console.export_text()
    assert "6 judged, 4 accepted (4 certified), 0 corrected, 2 rejected" in text
    assert "2.5 x: 5 s against 2 s" in text
    assert "after 10 runs" in text
    assert "net: switched off" in text


def test_rank_0_alone_writes_when_a_run_has_finished(tmp_path):
    write_run(tmp_path)
    report.cosolve_run_finished(RunEvent(tmp_path, rank=1))
    assert not (tmp_path / "report.html").exists()
    report.cosolve_run_finished(RunEvent(tmp_path, {"output": {"report": False}}))
    assert not (tmp_path / "report.html").exists()
    report.cosolve_run_finished(RunEvent(tmp_path))
    assert (tmp_path / "report.html").stat().st_size < 1_000_000
    report.cosolve_run_finished(RunEvent(None))


def test_no_ledger_and_no_folder_are_sentences(tmp_path):
    with pytest.raises(BadInputError, match="no ledger can be read"):
        report.write_report(tmp_path)
    write_run(tmp_path)
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        report.write_report(tmp_path)


def test_values_that_are_not_finite_are_said(tmp_path):
    fields = fields_of_a_run()
    broken = np.array(fields.fields["u"].values, dtype=float)
    broken[3] = np.nan
    write_run(tmp_path)
    write_plane_fields(tmp_path, PlaneFields(fields.x, {"u": PlaneField(broken)}, fields.triangles))
    assert report.write_report(tmp_path).is_file()


def test_a_long_run_stays_small():
    rows = tuple(
        StepRow(k, k * 0.1, "net" if k % 7 else "solver", "accept", "certified", 1e-9, 1e-8) for k in range(9000)
    )
    assert len(render(Digest("long", "SUCCESS", "", rows), None, "runs/long")) < 1_000_000


def test_sources_that_never_computed_a_value_are_left_out_of_the_map():
    names = ("initial", "solver", "corrected")
    assert len(set(plots.source_colours(names))) == 3
    x, triangles = grid_points((5, 5))
    fields = PlaneFields(x, {"source": PlaneField(np.full(25, 1.0), role="source", categories=names)}, triangles)
    assert plots.fields(fields).startswith("data:image/png")


def test_points_of_a_grid_in_any_order_are_covered_without_slivers():
    x, _ = grid_points((7, 5))
    shuffled = x[np.random.default_rng(0).permutation(len(x))]
    triangulation = plots._triangulation(PlaneFields(shuffled))
    a, b, c = (shuffled[triangulation.triangles[:, k]] for k in range(3))
    areas = 0.5 * np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    assert areas.sum() == pytest.approx(1.0)
    assert areas.min() > 0.01


def test_a_proposer_that_always_fails_is_a_row_and_no_rejection():
    reason = "surrogate 'net' failed on rank 0 at step 0: KeyError: 'k'"
    fault = {**REJECT, "verifier": "session", "reason": reason}
    steps = [
        {"kind": "step", "step": k, "t": k, "dt": 1.0, "asked": ["net"], "source": "solver", "verdicts": [fault]}
        for k in range(3)
    ]
    digest = digest_of([*steps, {"kind": "finished", "status": "SUCCESS", "message": ""}])
    assert (digest.judged, digest.count("reject"), digest.count("fault"), digest.grades) == (0, 0, 3, {})
    assert digest.totals["proposals that failed"] == "3"
    assert ("failed", f"net: 3 asked, 3 failed: {reason}") in rows(digest)
    assert "no proposal was judged. Surrogate 'net' failed each of the 3 times that it was asked" in sentence(digest)
    assert reason in render(digest, None, "run").replace("&#39;", "'")


def test_a_proposal_that_was_judged_counts_before_one_that_failed():
    fault = {**REJECT, "verifier": "session", "reason": "it raised", "proposer": "first"}
    judged = {**ACCEPT, "verifier": "residual", "reason": "small"}
    step = {"kind": "step", "step": 0, "t": 0.0, "dt": 1.0, "asked": ["first", "net"], "verdicts": [judged, fault]}
    digest = digest_of([step])
    assert (digest.judged, digest.count("accept")) == (1, 1)
    assert [one.proposer for one in digest.failures] == ["first"]
