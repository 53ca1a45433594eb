"""`cosolve bench`: the JSON that it writes, its exit code, and options of a bench's own."""

from __future__ import annotations

import json
import re
from pathlib import Path

BENCH = """
from cosolve import Entry, hookimpl
COSOLVE_API_VERSION = 1

@hookimpl
def cosolve_benches():
    return [Entry("toy-bench", "counts", "bench_plugin:bench")]

def bench(*, quick, seed, progress):
    from cosolve.core.bench import BenchReport
    progress(0.5, "half way")
    return BenchReport("toy-bench", {"quick": quick, "seed": seed, "speedup": 0.5}, [{"case": 1}], {"speedup": ">= 10"})
"""


def test_a_bench_exits_with_0_whatever_its_figures(site, tmp_path: Path, cosolve) -> None:
    site.install("bench-cosolve", {"bench_plugin": BENCH}, {"toy-bench": "bench_plugin"})
    ended = cosolve("bench", "toy-bench", "--quick", "--seed", "7", "--json", str(tmp_path / "out.json"))
    assert ended.code == 0, ended.err
    assert re.search(r"speedup +0.5 +>= 10", ended.out)
    read = json.loads((tmp_path / "out.json").read_text())
    assert read["metrics"] == {"quick": True, "seed": 7, "speedup": 0.5}
    assert {"name", "machine", "metrics", "cases"} <= set(read)
    assert "toy-bench" in cosolve("bench").out
    assert cosolve("bench", "toy-bensh").err.startswith(
        "cosolve: cosolve bench: unknown bench 'toy-bensh'; did you mean 'toy-bench'?"
    )


BENCH_WITH_OPTIONS = """
from typing import Literal
from cosolve import Entry, hookimpl
from cosolve.core.options import Options
COSOLVE_API_VERSION = 1

class Own(Options):
    family: Literal["auctions", "set-cover"] = "set-cover"
    most_nodes: int = 3
    verbose_rows: bool = False

@hookimpl
def cosolve_benches():
    return [Entry("optional", "takes options", "optional_plugin:bench", options="optional_plugin:Own")]

def bench(*, quick, seed, progress, options):
    from cosolve.core.bench import BenchReport
    return BenchReport("optional", options.model_dump())
"""


def test_a_bench_has_options_of_its_own(site, tmp_path: Path, cosolve) -> None:
    site.install("optional-cosolve", {"optional_plugin": BENCH_WITH_OPTIONS}, {"optional": "optional_plugin"})
    path = tmp_path / "out.json"
    ended = cosolve(
        "bench", "optional", "--family=auctions", "--most-nodes", "7", "--verbose-rows", "--json", str(path)
    )
    assert ended.code == 0, ended.err
    assert json.loads(path.read_text())["metrics"] == {"family": "auctions", "most_nodes": 7, "verbose_rows": True}
    assert cosolve("bench", "optional").code == 0
    for words, sentence in (
        (("--famly", "auctions"), "unknown option '--famly'; did you mean '--family'? Known: --family, --most-nodes"),
        (("--family", "auction"), "expected one of 'auctions' or 'set-cover', found 'auction'; change that option."),
        (("--most-nodes", "many"), "expected a whole number, found 'many'"),
        (("stray",), "expected an option, found 'stray'"),
    ):
        ended = cosolve("bench", "optional", *words)
        assert (ended.code, sentence in ended.err) == (2, True), ended.err
    ended = cosolve("bench", "overhead", "--family", "auctions")
    assert ended.code == 2
    assert "The bench 'overhead' takes no options of its own." in ended.err


def test_a_folder_of_data_becomes_an_option_of_the_bench_that_has_one(tmp_path: Path, cosolve) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    ended = cosolve("bench", "operators", "--data", str(empty))
    assert ended.code == 2
    assert f"--data {empty}: expected .npz files with x_train" in " ".join(ended.err.split())
    ended = cosolve("bench", "operators", "--data", str(tmp_path / "nowhere"))
    assert (ended.code, "found none there" in ended.err) == (2, True)
