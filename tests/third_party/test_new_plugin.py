"""`cosolve new-plugin`: what it writes installs by pip, registers, is short, and passes its own conformance test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from cosolve.core.cli.main import main
from cosolve.core.plugin_template import TEMPLATE_ROLES
from environment import Environment

NAMES = {role: f"plain_{role}" for role in TEMPLATE_ROLES} | {"baseline": "plain_rival"}


def code_lines(path: Path) -> int:
    """Return the number of lines with code: neither blank, nor comment, nor docstring."""
    tree = ast.parse(path.read_text())
    lines = {line for node in ast.walk(tree) if isinstance(node, ast.stmt) for line in _lines_of(node)}
    return len(lines)


def _lines_of(node: ast.stmt) -> range:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return range(0)
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return range(node.lineno, node.body[0].lineno)  # the body counts by itself
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


@pytest.fixture(scope="module")
def written(fresh: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A distribution for each role and one of a rival, installed together."""
    folder = tmp_path_factory.mktemp("plugins")
    for kind, name in NAMES.items():
        options = ["--baseline"] if kind == "baseline" else ["--role", kind]
        done = fresh.run("cosolve", "new-plugin", name, *options, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert f"cosolve check-plugin {name}" in done.stdout
    fresh.install(*(folder / name for name in NAMES.values()))
    return folder


def test_all_show_up_in_the_table(written: Path, fresh: Environment) -> None:
    table = fresh.run("cosolve", "plugins").stdout
    for kind, name in NAMES.items():
        row = next(line for line in table.splitlines() if f" {name} " in line)
        assert "loaded" in row
        assert f"1 {'surrogate' if kind == 'baseline' else kind}" in row
    rival = fresh.run("cosolve", "plugins", "--role", "surrogate").stdout
    assert "baseline" in next(line for line in rival.splitlines() if " plain_rival " in line)


def test_all_pass_check_plugin(written: Path, fresh: Environment) -> None:
    done = fresh.run("cosolve", "check-plugin", *NAMES.values(), "--ranks", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in NAMES.values():
        assert f"{name}: " in done.stdout


@pytest.mark.slow
def test_all_pass_check_plugin_on_ranks_1_to_3(written: Path, fresh: Environment) -> None:
    done = fresh.run("cosolve", "check-plugin", *NAMES.values(), timeout=550.0)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(ranks 1, 2, 3)" in done.stdout


def test_their_own_tests_pass(written: Path, fresh: Environment) -> None:
    files = [str(path) for path in sorted(written.glob("*/tests/test_*.py"))]
    done = fresh.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, cwd=written)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "skipped" not in done.stdout


@pytest.mark.parametrize("kind", NAMES)
def test_the_code_is_short(kind: str, written: Path) -> None:
    package = written / NAMES[kind] / f"cosolve_{NAMES[kind]}"
    modules = sorted(package.glob("*.py"))
    assert [path.name for path in modules] == ["__init__.py", f"{'surrogate' if kind == 'baseline' else kind}.py"]
    for path in modules:
        assert code_lines(path) <= 15, path


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["My-Network"], "'My-Network': expected a name of small letters, digits and underscores"),
        (["My-Network"], "write 'my_network'"),
        (["9"], "choose another"),
        (["verifiers"], "the plugin 'verifiers' is installed already, from cosolve"),
        (["residual", "--role", "verifier"], "plugin 'verifiers' of cosolve 0.1.0 offers a verifier of that name"),
        (["judge", "--role", "verifier", "--baseline"], "can be a rival, not a verifier"),
        (["there"], "there is a folder with files in it already"),
        (["file"], "file is a file already"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "thing").touch()
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        main(["new-plugin", *arguments])
    assert ended.value.code == 2
    message = capfd.readouterr().err
    assert sentence in message
    assert "Traceback" not in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there"]
