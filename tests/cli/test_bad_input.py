"""Bad input: its exit code, and one sentence that names file, key, expected, found and what to do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cosolve.core.ledger import read_ledger
from safetensors.numpy import save_file


def test_a_case_that_does_not_exist(toy: Path, cosolve) -> None:
    ended = cosolve("run", "cases.toml")
    assert ended.code == 2
    assert ended.err == (
        "cosolve: cases.toml: expected a case file, found nothing of that name; cases in .: case.toml. "
        "Give the path of a case.\n"
    )


def test_a_folder_instead_of_a_case(toy: Path, cosolve) -> None:
    ended = cosolve("run", ".")
    assert ended.code == 2
    assert ended.err == "cosolve: .: expected a case file, found a folder. Give the path of a file in it.\n"


def test_a_case_that_is_no_toml_names_the_line(toy: Path, cosolve) -> None:
    Path("case.toml").write_text("[problem]\nname = toy\n")
    ended = cosolve("run", "case.toml")
    assert ended.code == 2
    assert ended.err.startswith(
        "cosolve: case.toml: expected TOML, found an error: Invalid value (at line 2, column 8)"
    )
    assert ended.err.endswith("Correct that line.\n")


def test_a_case_of_bytes(toy: Path, cosolve) -> None:
    Path("case.toml").write_bytes(b"[problem]\nname = '\xff'\n")
    ended = cosolve("run", "case.toml")
    assert (ended.code, ended.err) == (
        2,
        "cosolve: case.toml: expected TOML in UTF-8, found the byte at 18 that is not.\n",
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[problem]\n", "case.toml: problem.name: expected the name of a problem ("),
        ('[probelm]\nname = "toy"\n', "case.toml: unknown table 'probelm'; did you mean 'problem'?"),
        ('problem = "toy"\n', "case.toml: problem: expected a table `[problem]`, found 'toy'; change it there."),
        (
            '[surrogate]\nname = "previous"\n[problem]\nname = "toy"\n',
            "case.toml: surrogate: expected a list of tables `[[surrogate]]`, found {'name': 'previous'}; change it",
        ),
        ("[problem]\nname = 3\n", "case.toml: problem.name: expected a text, found 3; change it."),
        (
            '[problem]\nname = "toy"\nsizes = 3\n',
            "case.toml: problem: unknown key 'sizes'; did you mean 'size'? Known: dt, end, fail_on_rank, mesh, name, "
            "pause, size. Rename or remove 'problem.sizes'.",
        ),
        (
            '[problem]\nname = "toy"\nsize = 2.5\n',
            "case.toml: problem.size: expected a whole number, found 2.5; change it there, or override it with --set.",
        ),
        (
            '[problem]\nname = "toy"\ndt = nan\n',
            "case.toml: problem.dt: expected a finite number, found nan; change it there, or override it with",
        ),
        (
            '[problem]\nname = "toy"\n[coupling]\nmode = "trust"\n',
            "case.toml: coupling.mode: expected one of 'replace', 'correct', 'initial_guess', 'shadow' or 'off', "
            "found 'trust'; change it there, or override it with --set.",
        ),
        (
            '[problem]\nname = "toy"\n[[surrogate]]\nname = "previous"\nwindow = 3\n',
            "case.toml: surrogate.0: unknown key 'window'.",
        ),
        (
            '[problem]\nname = "toy"\n[governor]\nmode = "replay"\n',
            "case.toml: governor.replay: expected the folder of the run to repeat, found nothing; add `replay = ",
        ),
    ],
)
def test_a_malformed_case(toy: Path, cosolve, text: str, sentence: str) -> None:
    Path("case.toml").write_text(text)
    ended = cosolve("run", "case.toml")
    assert ended.code == 2
    assert sentence in ended.err
    assert len(ended.err.strip().splitlines()) == 1, "one sentence"
    assert not Path("out").exists(), "nothing is written before the case is checked"


@pytest.mark.parametrize("key", ["atol", "rtol"])
@pytest.mark.parametrize("value", ["-1e-8", "0.0", "inf"])
def test_a_tolerance_that_is_none(toy: Path, cosolve, key: str, value: str) -> None:
    Path("case.toml").write_text(f'[problem]\nname = "toy"\n[solver]\n{key} = {value}\n')
    ended = cosolve("run", "case.toml")
    expected = "a finite number" if value == "inf" else "a number greater than 0"
    assert ended.code == 2
    assert ended.err == (
        f"cosolve: case.toml: solver.{key}: expected {expected}, found {float(value)!r}; "
        "change it there, or override it with --set.\n"
    )


def test_each_wrong_key_has_a_sentence(toy: Path, cosolve) -> None:
    ended = cosolve("run", "case.toml", "--set", "solver.atol=-1", "--set", "solver.rtoll=1")
    assert ended.code == 2
    assert ended.err.splitlines() == [
        "cosolve: command line: solver.atol: expected a number greater than 0, found -1; change that option.",
        "command line: solver: unknown key 'rtoll'; did you mean 'rtol'? Known: atol, max_iterations, rtol. "
        "Rename or remove 'solver.rtoll'.",
    ]


def test_the_environment_is_named_as_the_user_wrote_it(toy: Path, cosolve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSOLVE_SOLVER__ATOL", "-1")
    ended = cosolve("run", "case.toml")
    assert ended.code == 2
    assert ended.err == (
        "cosolve: environment COSOLVE_SOLVER__ATOL: solver.atol: expected a number greater than 0, found -1; "
        "change or unset COSOLVE_SOLVER__ATOL.\n"
    )


@pytest.mark.parametrize(
    ("role", "key", "name", "nearest"),
    [
        ("problem", "problem.name", "toi", "did you mean 'toy'?"),
        ("coupling", "coupling.name", "timeloop", "did you mean 'time_loop'?"),
        ("verifier", "verifier.name", "residul", "did you mean 'residual'?"),
        ("surrogate", "surrogate.0.name", "previos", "did you mean 'previous'?"),
    ],
)
def test_an_unknown_plugin(toy: Path, cosolve, role: str, key: str, name: str, nearest: str) -> None:
    ended = cosolve("run", "case.toml", "--set", f"{key}={name}")
    assert ended.code == 2
    assert ended.err.startswith(f"cosolve: command line: {key}: unknown {role} {name!r}; {nearest} Known: ")
    assert ended.err.endswith(f"Run `cosolve plugins --role {role}` for a table.\n")


def test_a_mesh_file_that_does_not_exist(toy: Path, cosolve) -> None:
    Path("case.toml").write_text('[problem]\nname = "toy"\nmesh = "meshes/plate.msh"\n')
    ended = cosolve("run", "case.toml")
    assert ended.code == 2
    assert ended.err == (
        "cosolve: case.toml: problem.mesh: expected a file that exists, found nothing there: meshes/plate.msh; "
        "change it there, or override it with --set.\n"
    )


def test_a_folder_instead_of_a_mesh(toy: Path, cosolve) -> None:
    ended = cosolve("run", "case.toml", "--set", f"problem.mesh={toy}")
    assert ended.code == 2
    assert ended.err == (
        f"cosolve: command line: problem.mesh: expected a file that exists, found a folder: {toy}; "
        "change that option.\n"
    )


def test_relative_paths_start_at_the_case_file_or_where_the_user_is(toy: Path, cosolve, monkeypatch) -> None:
    (toy / "plate.msh").write_text("mesh")
    (toy / "case.toml").write_text('[problem]\nname = "toy"\nmesh = "plate.msh"\n')
    (toy / "here").mkdir()
    monkeypatch.chdir(toy / "here")
    assert cosolve("run", "--check", "../case.toml").code == 0
    assert cosolve("run", "--check", "../case.toml", "--set", "problem.mesh=../plate.msh").code == 0
    assert cosolve("run", "--check", "../case.toml", "--set", "problem.mesh=plate.msh").code == 2


def test_an_output_folder_that_cannot_be_written(toy: Path, cosolve) -> None:
    Path("taken").write_text("a file in place of a folder")
    ended = cosolve("run", "case.toml", "--output", "taken/run")
    assert ended.code == 7
    assert ended.err == (
        "cosolve: the output folder taken/run cannot be written: Not a directory; give another one "
        "([output] directory, or --output) or free the space\n"
    )


def test_a_read_only_file_system(toy: Path, cosolve) -> None:
    ended = cosolve("run", "case.toml", "--output", "/proc/cosolve")
    assert ended.code == 7
    assert ended.err.startswith("cosolve: the output folder /proc/cosolve cannot be written: ")


def test_a_model_that_does_not_exist(toy: Path, cosolve) -> None:
    Path("case.toml").write_text('[problem]\nname = "toy"\n[[surrogate]]\nmodel = "absent.safetensors"\n')
    ended = cosolve("run", "case.toml")
    assert ended.code == 2
    assert ended.err == (
        "cosolve: case.toml: surrogate.0.model: the model file absent.safetensors does not exist. "
        "Give its path, or train one: `cosolve train`.\n"
    )


def test_a_model_without_a_card(toy: Path, cosolve) -> None:
    save_file({"w": np.zeros(3)}, "foreign.safetensors")
    ended = cosolve("run", "case.toml", "--set", "surrogate.0.model=foreign.safetensors")
    assert ended.code == 2
    assert ended.err == (
        "cosolve: command line: surrogate.0.model: foreign.safetensors has no cosolve card in its metadata; "
        "write models with `cosolve train`\n"
    )


def test_a_model_that_is_a_pickle(toy: Path, cosolve) -> None:
    Path("model.pt").write_bytes(b"\x80\x04\x95" + b"cposix\nsystem\n" * 8)
    ended = cosolve("run", "case.toml", "--set", "surrogate.0.model=model.pt")
    assert ended.code == 2
    assert "model.pt is not a complete safetensors file" in ended.err


def test_a_command_that_does_not_exist(cosolve) -> None:
    ended = cosolve("rnu", "case.toml")
    assert ended.code == 2
    assert ended.err.startswith("cosolve: unknown command 'rnu'; did you mean 'run'? Known: bench, check-plugin, demo,")


def test_an_option_that_does_not_exist(cosolve) -> None:
    ended = cosolve("run", "case.toml", "--chekc")
    assert ended.code == 2
    assert ended.err.startswith("cosolve: No such option")
    assert "'--check'" in ended.err
    assert ended.err.endswith("Try `cosolve run --help`.\n")


def test_one_of_our_options_with_one_dash(cosolve) -> None:
    ended = cosolve("run", "case.toml", "-show_options")
    assert ended.code == 2
    assert ended.err.startswith(
        "cosolve: -show_options: expected two dashes, found one, which hands the option to PETSc"
    )


def test_set_without_a_value(toy: Path, cosolve) -> None:
    ended = cosolve("run", "case.toml", "--set", "mode")
    assert ended.code == 2
    assert ended.err == "cosolve: --set 'mode': expected TABLE.KEY=VALUE, e.g. --set coupling.mode=shadow.\n"


def test_a_folder_without_a_run(tmp_path: Path, cosolve) -> None:
    ended = cosolve("explain", str(tmp_path))
    assert ended.code == 2
    assert ended.err.startswith(f"cosolve: no ledger can be read at {tmp_path}/ledger.jsonl: No such file")


def test_a_bench_result_that_cannot_be_written(tmp_path: Path, cosolve) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "out.json"
    ended = cosolve("bench", "any", "--quick", "--json", str(path))
    assert ended.code == 7
    assert ended.err == (
        f"cosolve: --json {path}: expected a file that can be written, found File exists; give another path.\n"
    )


@pytest.mark.parametrize("damage", ["truncated", "hostile", "missing"])
def test_a_checkpoint_that_cannot_be_used(toy: Path, cosolve, damage: str) -> None:
    assert cosolve("run", "case.toml", "--set", "output.checkpoint_every=4").code == 0
    newest = sorted(Path("out/checkpoints").iterdir())[-1]
    file = newest / "rank-0000.npz"
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "hostile":
        np.savez(file, state=np.array([{"evil": print}], dtype=object))
    else:
        file.unlink()
    ended = cosolve("run", "case.toml", "--resume")
    assert ended.code == 2
    assert f"{file}" in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_resuming_what_was_never_begun(toy: Path, cosolve) -> None:
    ended = cosolve("run", "case.toml", "--resume")
    assert ended.code == 2
    assert ended.err == "cosolve: there is no checkpoint in out/checkpoints; start the run without resuming\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_run_leaves_a_readable_ledger_and_a_checkpoint(toy: Path, site, cosolve, number: int) -> None:
    command = [sys.executable, "-c", "from cosolve.core.cli.main import main; main()", "run", "case.toml"]
    slow = ["--set", "problem.pause=0.1", "--set", "problem.end=100.0"]
    with subprocess.Popen(
        [*command, *slow], cwd=toy, env=site.environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        wait_for(toy / "out", "step", 3)
        run.send_signal(number)
        _, err = run.communicate(timeout=60)
    assert run.returncode == 6
    assert "cosolve: interrupted after step " in err
    assert "resume from there" in err
    steps = [record for record in read_ledger(toy / "out") if record["kind"] == "step"]
    assert len(steps) >= 3
    assert read_ledger(toy / "out")[-1]["status"] == "INTERRUPTED"
    resumed = cosolve("run", "case.toml", "--resume", "--set", f"problem.end={0.1 * (len(steps) + 2)}")
    assert resumed.code == 0, resumed.err
    assert [record["step"] for record in read_ledger(toy / "out") if record["kind"] == "step"][-1] == len(steps) + 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_coupling_without_transactions_ends_with_a_readable_ledger(toy: Path, site, number: int) -> None:
    command = [sys.executable, "-c", "from cosolve.core.cli.main import main; main()", "run", "case.toml"]
    slow = ["--set", "problem.pause=0.1", "--set", "problem.end=100.0", "--set", "coupling.name=adaptive_stepping"]
    with subprocess.Popen(
        [*command, *slow], cwd=toy, env=site.environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        wait_for(toy / "out", "run_started", 1)
        time.sleep(0.5)
        run.send_signal(number)
        _, err = run.communicate(timeout=60)
    assert run.returncode == 6
    assert err.startswith("cosolve: interrupted by ")
    last = read_ledger(toy / "out")[-1]
    assert (last["kind"], last["status"]) == ("run_finished", "INTERRUPTED")


def wait_for(folder: Path, kind: str, number: int) -> None:
    """Wait until a ledger has so many records of a kind."""
    path, end = folder / "ledger.jsonl", time.monotonic() + 60.0
    while time.monotonic() < end:
        if path.exists() and path.read_text().count(f'"kind":"{kind}"') >= number:
            return
        time.sleep(0.05)
    raise AssertionError("the run did not get going")
