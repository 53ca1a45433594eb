"""The commands: help, laziness, options, PETSc's options, plugins, runs, and how they end."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from cosolve.core.cli import console as console_module
from cosolve.core.cli.arguments import split_petsc_options
from cosolve.core.cli.main import COMMANDS
from cosolve.core.errors import EXIT_CODES, BadInputError
from cosolve.core.ledger import read_ledger

HEAVY = ("numpy", "torch", "petsc4py", "dolfinx", "pyscipopt", "numba", "scipy", "matplotlib", "mpi4py")


def test_the_help_lists_commands_an_example_and_every_exit_code(cosolve) -> None:
    ended = cosolve("--help")
    assert ended.code == 0
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", ended.out, re.MULTILINE)
    assert "Example:\n    cosolve demo --embedded" in ended.out
    for code, meaning in EXIT_CODES.items():
        assert f"{code}  {meaning}" in ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_has_an_example(cosolve, command: str) -> None:
    ended = cosolve(command, "--help")
    assert ended.code == 0
    assert re.search(rf"Examples?:\n +cosolve {command}", ended.out)
    assert "-v, --verbose" in ended.out


CPU = "import resource; usage = resource.getrusage(resource.RUSAGE_SELF); print(usage.ru_utime + usage.ru_stime)"


@pytest.mark.parametrize(
    ("code", "seconds"),
    [
        ("import cosolve", 0.3),
        ("from cosolve.core.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass", 0.5),
        ("from cosolve.core.cli.main import main\ntry: main(['run', '--help'])\nexcept SystemExit: pass", 0.5),
    ],
    ids=["import cosolve", "cosolve --help", "cosolve run --help"],
)
def test_nothing_heavy_is_loaded_and_it_is_quick(site, code: str, seconds: float) -> None:
    import subprocess
    import sys

    script = f"{code}\nimport sys\nprint([name for name in {HEAVY!r} if name in sys.modules])\n{CPU}"
    spent = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=site.environment())
        loaded, cpu = done.stdout.splitlines()[-2:]
        assert loaded == "[]", done.stderr
        spent.append(float(cpu))
    assert min(spent) <= seconds, "CPU seconds, the interpreter's own start included"


@pytest.mark.parametrize(
    ("arguments", "own", "petsc"),
    [
        ("run a.toml -ksp_type cg -v", "run a.toml -v", "-ksp_type cg"),
        ("run -log_view a.toml", "run a.toml", "-log_view"),
        ("run a.toml -shift -1.5e-3 -vv", "run a.toml -vv", "-shift -1.5e-3"),
        (
            "run a.toml --set solver.rtol=1 -ksp_view ::ascii_info",
            "run a.toml --set solver.rtol=1",
            "-ksp_view ::ascii",
        ),
        ("-ksp_monitor run a.toml", "run a.toml", "-ksp_monitor"),
        ("run -- -odd_name.toml", "run -- -odd_name.toml", ""),
    ],
)
def test_options_of_petsc_are_split_off_untouched(arguments: str, own: str, petsc: str) -> None:
    found_own, found_petsc = split_petsc_options(arguments.split())
    assert " ".join(found_own) == own
    assert " ".join(found_petsc).startswith(petsc)


def test_a_command_that_solves_nothing_refuses_options_of_petsc() -> None:
    with pytest.raises(BadInputError, match=r"-role: expected two dashes"):
        split_petsc_options(["plugins", "-role", "surrogate"])
    with pytest.raises(BadInputError, match=r"-ksp_type: .*`cosolve plugins` solves nothing"):
        split_petsc_options(["plugins", "-ksp_type", "cg"])


def test_each_long_option_with_one_dash_is_caught() -> None:
    group = importlib.import_module("cosolve.core.cli.main").group
    declared = {name for option in group.params for name in option.opts}
    for command in COMMANDS:
        declared |= {name for option in group.get_command(None, command).params for name in option.opts}
    long = sorted({name for name in declared if name.startswith("--")} | {"--help"})
    assert len(long) > 15
    for name in long:
        with pytest.raises(BadInputError, match=f"expected two dashes, found one.*; write {name}"):
            split_petsc_options(["run", "case.toml", name[1:]])


def test_plugins_lists_every_state_and_never_fails(site, cosolve, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("bad-cosolve", {"bad_plugin": "import no_such_library\n"}, {"bad": "bad_plugin"})
    site.install("twin-cosolve", {"twin_plugin": ""}, {"verifiers": "twin_plugin"})
    ended = cosolve("plugins")
    assert ended.code == 0
    assert re.search(r"bad +broken +bad-cosolve 1.0", ended.out)
    assert (
        "bad: its import of 'bad_plugin' failed: ModuleNotFoundError: No module named 'no_such_library'." in ended.out
    )
    assert len(re.findall(r"verifiers +duplicate", ended.out)) == 2
    assert re.search(r"the plugin name 'verifiers' is offered by cosolve \S+ \(\S+\) and twin-cosolve 1.0", ended.out)
    assert "Traceback" not in ended.out
    verbose = cosolve("plugins", "-v")
    assert "import no_such_library\nModuleNotFoundError: No module named" in verbose.out
    monkeypatch.setenv("COSOLVE_PLUGINS", "baselines")
    assert re.search(r"couplings +not selected", cosolve("plugins").out)


def test_plugins_of_one_role(cosolve) -> None:
    ended = cosolve("plugins", "--role", "surrogate")
    assert ended.code == 0
    assert re.search(r"linear_extrapolation .*baselines .*baseline", ended.out)
    assert cosolve("plugins", "--role", "surrogates").code == 2


def test_a_run_that_needs_a_broken_plugin_exits_with_4_and_the_reason(toy: Path, site, cosolve) -> None:
    site.install("bad-cosolve", {"bad_plugin": "import no_such_library\n"}, {"bad": "bad_plugin"})
    ended = cosolve("run", "case.toml", "--set", "surrogate.0.name=bad")
    assert ended.code == 4
    assert ended.err == (
        "cosolve: command line: surrogate.0.name: no loaded plugin offers the surrogate 'bad'. Plugin 'bad' of "
        "bad-cosolve 1.0 is broken: its import of 'bad_plugin' failed: ModuleNotFoundError: No module named "
        "'no_such_library'. Run `cosolve plugins -v` for the traceback.\n"
    )
    assert cosolve("run", "case.toml").code == 0, "a broken plugin that nobody needs is nobody's business"


def test_a_library_that_is_missing_is_named_with_its_cure(toy: Path, site, cosolve) -> None:
    text = (
        "from cosolve import Entry, hookimpl\nCOSOLVE_API_VERSION = 1\n@hookimpl\ndef cosolve_surrogates():\n"
        "    return [Entry('oracle', 'knows', 'oracle_library:O', requires=('oracle_library',))]\n"
    )
    site.install("oracle-cosolve", {"oracle_plugin": text}, {"oracle": "oracle_plugin"})
    assert cosolve("run", "--check", "case.toml", "--set", "surrogate.0.name=oracle").code == 0
    ended = cosolve("run", "case.toml", "--set", "surrogate.0.name=oracle")
    assert ended.code == 4
    assert ended.err == (
        "cosolve: command line: surrogate.0.name: surrogate 'oracle' needs oracle_library, not installed here: "
        "install oracle_library.\n"
    )


def test_a_case_is_checked_where_no_solver_is_installed(toy: Path, process) -> None:
    (toy / "heat.toml").write_text('[problem]\nname = "heat"\n[[surrogate]]\nname = "previous"\n')
    block = "import sys\nfor n in ('dolfinx','petsc4py','mpi4py','torch','numba'): sys.modules[n] = None\n"
    (toy.parent / "site" / "sitecustomize.py").write_text(block)
    ended = process("run", "--check", "heat.toml", cwd=toy)
    assert (ended.code, ended.out) == (0, "heat.toml: fine. It runs heat with time_loop.\n"), ended.err
    ended = process("run", "heat.toml", cwd=toy)
    assert ended.code == 4
    assert "needs dolfinx, petsc4py, mpi4py, not installed here: apt-get install python3-dolfinx" in ended.err


def test_options_are_shown_with_their_origin(toy: Path, cosolve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSOLVE_PROBLEM__SIZE", "7")
    ended = cosolve(
        "run", "case.toml", "--show-options", "--mode", "shadow", "--set", "coupling.dt=0.05", "-ksp_type", "cg"
    )
    assert ended.code == 0
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "coupling.mode shadow command line" in lines
    assert "coupling.dt 0.05 command line" in lines
    assert "problem.size 7 environment COSOLVE_PROBLEM__SIZE" in lines
    assert "solver.atol 1e-10 case.toml" in lines
    assert "coupling.max_corrections 3 code" in lines
    assert "petsc.ksp_type cg command line" in lines
    assert not Path("out").exists()


def test_a_run_ends_with_a_table_and_its_paths(toy: Path, cosolve) -> None:
    ended = cosolve("run", "case.toml", "-ksp_type", "cg")
    assert ended.code == 0, ended.err
    assert "case: every accepted value passed its verifier or came from the solver" in ended.out
    assert re.search(r"reached +t = 1 in 10 transactions", ended.out)
    assert "report: out/report.html" in ended.out
    assert "ledger: out/ledger.jsonl" in ended.out
    assert ended.err == "cosolve: WARNING: PETSc options that nothing has read: -ksp_type\n"
    records = read_ledger("out")
    kinds = [record["kind"] for record in records]
    assert (kinds[0], kinds[1], kinds[-1]) == ("ledger", "run_started", "run_finished")
    assert kinds.count("step") == 10
    assert records[1]["case"]["problem"]["name"] == "toy"
    assert records[-1]["status"] == "SUCCESS"
    assert records[-1]["unused_petsc_options"] == ["-ksp_type"]
    explained = cosolve("explain", "out")
    assert explained.code == 0
    assert explained.out.startswith("10 steps from t = 0")


def test_a_run_that_does_not_converge_exits_with_3(toy: Path, cosolve) -> None:
    ended = cosolve("run", "case.toml", "--set", "solver.max_iterations=1", "--mode", "off")
    assert ended.code == 3
    assert "did not converge" in ended.err
    assert read_ledger("out")[-1]["status"] == "NOT_CONVERGED"


def test_an_unexpected_error_keeps_its_traceback(toy: Path, site, cosolve) -> None:
    text = (toy.parent / "site" / "toy_problem.py").read_text()
    broken = text.replace("return 0.0, self.options.end, self.options.dt", "return 1 / 0")
    (toy.parent / "site" / "toy_problem.py").write_text(broken)
    ended = cosolve("run", "case.toml")
    assert ended.code in (1, 4)
    assert "ZeroDivisionError: division by zero" in ended.err


def test_a_problem_that_cannot_build_its_solver(toy: Path, cosolve) -> None:
    ended = cosolve("run", "case.toml", "--set", "problem.fail_on_rank=0")
    assert ended.code == 4
    assert ended.err == (
        "cosolve: case.toml: problem.name: problem 'toy' could not build its solver on rank 0: RuntimeError: "
        "the mesh generator gave up. Run with -vv for the traceback.\n"
    )


def test_a_run_that_a_script_starts(toy: Path) -> None:
    import cosolve as facade

    result = facade.run("case.toml", overrides={"coupling.mode": "off"})
    assert result.ok
    assert result.stats["sources"] == {"solver": 10}
    shadow = facade.run(
        {"problem": {"name": "toy"}}, overrides={"output.directory": "again", "coupling.mode": "shadow"}
    )
    assert shadow.ok
    assert Path("again/ledger.jsonl").exists()


def test_a_run_can_be_replayed_into_its_own_folder(toy: Path, cosolve) -> None:
    assert cosolve("run", "case.toml").code == 0
    ended = cosolve("run", "case.toml", "--set", "governor.mode=replay", "--set", "governor.replay=out")
    assert ended.code == 0, ended.err


def test_a_replayed_governor_repeats_the_run(toy: Path, cosolve) -> None:
    assert cosolve("run", "case.toml", "--set", "problem.dt=0.02").code == 0
    again = ["--set", "problem.dt=0.02", "--set", "governor.mode=replay", "--set", "governor.replay=out"]
    ended = cosolve("run", "case.toml", "--output", "replayed", *again)
    assert ended.code == 0, ended.err

    def plans(folder: str) -> list[tuple[str, list[str]]]:
        return [(r["source"], r["plan"]) for r in read_ledger(folder) if r["kind"] == "step"]

    assert plans("replayed") == plans("out")


FAILING = """
from cosolve import Entry, Prediction, Surrogate, hookimpl

COSOLVE_API_VERSION = 1


class Raises(Surrogate):
    name = "raises"

    def _predict(self, query):
        raise KeyError("no such key")


@hookimpl
def cosolve_surrogates():
    return [
        Entry("raises", "always fails", "failing_plugin:Raises"),
        Entry("misnamed", "its factory is misspelt", "failing_plugin:Raisse"),
    ]
"""


def test_a_surrogate_that_always_fails_is_a_row_and_one_warning(toy: Path, site, cosolve) -> None:
    site.install("failing-cosolve", {"failing_plugin": FAILING}, {"failing": "failing_plugin"})
    case = (toy / "case.toml").read_text().replace("linear_extrapolation", "raises")
    (toy / "case.toml").write_text(case + '[governor]\nmode = "off"\n')
    ended = cosolve("run", "case.toml")
    assert ended.code == 0
    reason = "surrogate 'raises' failed on rank 0 at step 0: KeyError: 'no such key'"
    assert re.search(rf"failed +raises: 10 asked, 10 failed: {reason}", ended.out)
    assert ended.err.count("WARNING") == 1
    assert re.search(rf"surrogate 'raises' failed each of the 10 times that it was asked, .*: {reason}", ended.err)
    page = (toy / "out" / "report.html").read_text()
    assert "no proposal was judged. Surrogate &#39;raises&#39; failed each of the 10 times" in page


def test_a_misspelt_factory_is_to_be_corrected_in_the_entry(toy: Path, site, cosolve) -> None:
    site.install("failing-cosolve", {"failing_plugin": FAILING}, {"failing": "failing_plugin"})
    case = (toy / "case.toml").read_text().replace("linear_extrapolation", "misnamed")
    (toy / "case.toml").write_text(case)
    ended = cosolve("run", "case.toml")
    assert ended.code == 4
    assert "module 'failing_plugin' has no 'Raisse'; did you mean 'Raises'? Correct the text" in ended.err
    assert "doctor" not in ended.err


def test_a_broken_hook_is_a_sentence_with_one_mark_at_its_end(site, cosolve) -> None:
    text = FAILING.replace("def cosolve_surrogates", "def cosolve_surrogate")
    site.install("failing-cosolve", {"failing_plugin": text}, {"failing": "failing_plugin"})
    ended = cosolve("plugins")
    assert "did you mean 'cosolve_surrogates'" in ended.out
    assert "?." not in ended.out


def test_the_table_the_explanation_and_the_report_say_the_same_seconds(toy: Path, cosolve) -> None:
    ended = cosolve("run", "case.toml")
    machinery = re.search(r"seconds .*machinery (\S+) \(wall clock of this run", ended.out)
    assert machinery is not None
    assert f"machinery {machinery[1]} s (" in cosolve("explain", "out").out


def test_the_report_of_a_run_that_was_cut_off_can_be_written(toy: Path, cosolve) -> None:
    assert cosolve("run", "case.toml").code == 0
    (toy / "out" / "report.html").unlink()
    ended = cosolve("explain", "out", "--report")
    assert ended.code == 0, ended.err
    assert ended.out == "report: out/report.html\n"
    assert (toy / "out" / "report.html").read_text().startswith("<!doctype html>")
    assert cosolve("explain", "nowhere", "--report").code == 2


@pytest.mark.parametrize("width", ["80", "60"])
def test_names_in_tables_can_be_copied_whatever_the_width(cosolve, monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    for role, name in (("surrogate", "quadratic_extrapolation"), ("coupling", "compared_time_loop")):
        assert re.search(rf"^ *{name} ", cosolve("plugins", "--role", role).out, re.MULTILINE)


def test_colour_is_off_where_asked_and_with_several_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "MPI_LOCALNRANKS"):
        monkeypatch.delenv(name, raising=False)
    assert not console_module.plain()
    monkeypatch.setenv("NO_COLOR", "1")
    assert console_module.plain()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
    out = console_module.console()
    with out.capture() as captured:
        out.print("[bold red]text[/]")
    assert captured.get() == "text\n"


def test_a_text_that_reads_like_a_number_is_told_how_to_be_quoted(toy: Path, cosolve) -> None:
    ended = cosolve("run", "--check", "case.toml", "--set", "case.name=nan")
    assert "expected a text in quotes, found nan; quote a text" in ended.err
    assert "--set 'case.name=\"nan\"'" in ended.err
    assert cosolve("run", "--check", "case.toml", "--set", 'case.name="nan"').code == 0


def test_a_grid_that_does_not_coarsen_is_told_by_its_key(cosolve) -> None:
    ended = cosolve("demo", "--embedded", "--set", "problem.cells=63")
    assert ended.code == 2
    assert "problem.cells: expected m * 2^k cells a side with m at most 8" in ended.err
