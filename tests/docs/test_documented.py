"""Everything that a user can name is documented, and the pages are what the code says."""

import importlib.util
import inspect
import re
import sys
from pathlib import Path

import click
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs" / "_ext"))

import reference_pages as reference
from snippets import DOCS, ROOT, pages


def page_text(name):
    """Return a reference page with its generated part."""
    text = (DOCS / "reference" / f"{name}.md").read_text()
    return re.sub(r"```\{generated\} (\w+)\n```", lambda match: reference.PAGES[match.group(1)](), text)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_hook_and_each_of_its_arguments():
    text = page_text("hooks")
    hooks = reference.hooks()
    assert len(hooks) == 12
    for hook in hooks:
        assert f"`{hook.name}`" in text
        assert len(hook.text) > 20, f"{hook.name} has no sentence in core/hookspecs.py"
        for argument in hook.arguments:
            assert f"`{argument}`" in text, f"argument {argument} of {hook.name}"


def test_every_attribute_of_an_event():
    text = page_text("hooks")
    for event, attributes in reference.events().items():
        for name, meaning in attributes.items():
            assert meaning, f"{event}.{name} has no text: add it to the Attributes of the class"
            assert f"| `{name}` | {meaning} |" in text


@pytest.mark.parametrize("table", sorted(reference.case_tables()))
def test_every_option_of_a_case(table):
    text = page_text("options")
    assert f"[{table}]" in text
    for option in reference.options_of(reference.case_tables()[table]):
        assert option.text, f"[{table}] {option.name} has no text: add it to the Attributes of its model"
        assert f"| `{option.name}` |" in text


def test_every_table_of_a_case_is_on_the_page():
    from cosolve.core.option_layers import TABLES

    text = (DOCS / "reference" / "options.md").read_text() + reference.case_page()
    for table in TABLES:
        assert f"[{table}]" in text, f"table [{table}]"


def test_every_entry_of_a_plugin_with_its_options():
    text = page_text("plugins")
    offered = list(reference.entries())
    assert len(offered) >= 15
    for item in offered:
        assert f"### {item.entry.name}\n" in text
        assert len(item.entry.summary) > 10
        model = item.entry.load_options()
        for option in reference.options_of(model) if model is not None else ():
            assert option.text, f"option {option.name} of {item.role} {item.entry.name} has no text"


def test_every_exit_code_and_error():
    from cosolve.core import errors

    text = page_text("errors")
    used = {item.exit_code for item in reference.error_classes()} | {errors.WATCHDOG_EXIT_CODE, 0}
    assert used <= set(reference.exit_codes())
    for code, meaning in reference.exit_codes().items():
        assert meaning
        assert f"| {code} | {meaning} |" in text
        assert code < 2 or re.search(rf"^{code}\n: ", text, flags=re.MULTILINE), f"what to do at exit code {code}"
    for item in reference.error_classes():
        assert f"`{item.__name__}`" in text


def test_every_command_and_each_of_its_options():
    text = page_text("cli")
    commands = reference.commands()
    assert set(commands) >= {"run", "demo", "train", "bench", "plugins", "doctor", "explain"}
    for name, command in commands.items():
        assert f"## cosolve {name}\n" in text
        assert re.search(r"Examples?:", command.epilog or ""), f"cosolve {name} --help has no example"
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"cosolve {name} {parameter.name} has no help"
                assert parameter.opts[0] in text
            else:
                assert parameter.make_metavar(click.Context(command)) in text


def test_every_key_of_a_model_card():
    from cosolve.core.model_card import ModelCard

    for option in reference.options_of(ModelCard):
        assert option.text, f"ModelCard.{option.name} has no text"


def test_every_kind_of_ledger_record():
    written = set()
    for folder in ("core", "couplings", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            found = re.findall(r"(?:ledger|self)\.write\(\s*\"(\w+)\"", path.read_text())
            written |= set(found)
    assert {"ledger", "step", "governor", "checkpoint"} <= written
    text = (DOCS / "reference" / "ledger.md").read_text()
    missing = {kind for kind in written if f"`{kind}`" not in text}
    assert not missing, f"kinds of record that docs/reference/ledger.md does not name: {sorted(missing)}"


def test_every_key_of_a_step_record(tmp_path):
    import cosolve
    from cosolve.core.ledger import read_ledger
    from cosolve.core.testing.mean_field import MeanFieldSolver
    from cosolve.plugins.baselines.extrapolation import Previous

    governor = cosolve.Governor("off")
    cosolve.time_loop(MeanFieldSolver(), Previous(), t_end=0.3, dt=0.1, directory=tmp_path, governor=governor)
    text = (DOCS / "reference" / "ledger.md").read_text()
    steps = [record for record in read_ledger(tmp_path) if record["kind"] == "step"]
    assert steps[0]["verdicts"]
    for key in {*steps[0], *steps[0]["cost"], *steps[0]["verdicts"][0]} - {"kind"}:
        assert f"`{key}`" in text, f"key {key!r} of a step record"


def test_every_public_name_has_a_docstring():
    import cosolve

    for name in cosolve.__all__:
        item = getattr(cosolve, name)
        assert name == "__version__" or inspect.getdoc(item), f"cosolve.{name}"


def test_the_pages_of_benches_are_what_their_json_gives():
    generator = load(DOCS / "generate_bench_pages.py")
    sources = generator.results()
    assert sources
    for source in sources:
        assert source.with_suffix(".md").read_text() == generator.page_of(source), (
            f"run `python docs/generate_bench_pages.py` ({source})"
        )


def test_figures_of_the_long_form_stand_beside_the_quick_ones():
    generator = load(DOCS / "generate_bench_pages.py")
    quick, full = ({"name": "b", "metrics": {"x": x}, "targets": {"x": ">= 1"}} for x in (2.0, 3.0))
    assert "| `x` | 2 | >= 1 |" in generator.page(quick, "b.json")
    both = generator.page(quick, "b.json", full)
    assert "| metric | quick | full | target |" in both
    assert "| `x` | 2 | 3 | >= 1 |" in both
    assert "b.full.json" in both


def test_a_bench_with_options_has_a_page_for_each_of_them():
    generator = load(DOCS / "generate_bench_pages.py")
    bench = {"name": "b", "metrics": {"x": 1.0}, "arguments": ["--family", "auctions", "--level", "easy"]}
    assert generator.stem(bench) == "b-auctions-easy"
    page = generator.page(bench, "b-auctions-easy.json")
    assert page.startswith("# b-auctions-easy\n")
    assert "$ cosolve bench b --family auctions --level easy --quick --json b-auctions-easy.json" in page


def test_the_table_of_the_readme_is_what_the_benches_measured():
    generator = load(DOCS / "generate_bench_pages.py")
    text = (ROOT / "README.md").read_text()
    assert text.count(generator.START) == text.count(generator.END) == 1
    assert generator.with_table(text) == text, "run `python docs/generate_bench_pages.py`"


def test_no_page_calls_an_estimate_a_guarantee():
    for page in pages():
        for line in page.read_text().splitlines():
            if "estimate" in line.lower() and "guarantee" in line.lower():
                assert re.search(r"never|no guarantee|not ", line), f"{page}: {line}"
