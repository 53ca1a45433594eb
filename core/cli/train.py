"""`cosolve train`: generate the data of a case's problem, train its surrogate, write the model file with its card."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from cosolve.core.cli.console import console, verbose_option
from cosolve.core.entries import Entry
from cosolve.core.errors import BadInputError, PluginError

if TYPE_CHECKING:
    from cosolve.core.registry import Registry

IMPORT_FIRST = "train-imports-first:"
"""Capability of a problem, before the name of a library that training imports ahead of the problem's own.

Torch that is imported after Debian's PETSc runs on PETSc's BLAS: the same fit takes five times as long.
"""

EXAMPLES = """\b
Examples:
  cosolve train examples/heat/case.toml
  cosolve train case.toml --seed 1 --budget-minutes 5 --output runs/models/mine.safetensors
  cosolve train case.toml --from-ledger runs/plate
  cosolve train branching --instances fleet --out fleet.safetensors --minutes 30

\b
Training runs are kept in runs/training-data, so that an interrupted training goes on where it was.
Use the model in a case:  [[surrogate]]  model = "runs/models/mine.safetensors\""""


@click.command(epilog=EXAMPLES)
@click.argument("case", type=click.Path(path_type=Path))
@click.option(
    "--output", "--out", type=click.Path(path_type=Path), help="Same as --set training.output=...: the model file."
)
@click.option("--seed", type=int, help="Same as --set training.seed=...")
@click.option("--runs", type=int, help="Same as --set training.runs=...: number of training runs.")
@click.option(
    "--budget-minutes",
    "--minutes",
    type=float,
    help="Same as --set training.budget_minutes=...: CPU minutes in all.",
)
@click.option(
    "--instances",
    type=click.Path(path_type=Path),
    help="Same as --set problem.instances=...: a folder of instances, for problems that train on files.",
)
@click.option(
    "--from-ledger",
    type=click.Path(path_type=Path),
    help="Same as --set training.from_ledger=...: a run whose rejected proposals are trained on, too.",
)
@click.option("--set", "assignments", multiple=True, metavar="TABLE.KEY=VALUE", help="Set any option; repeatable.")
@verbose_option
@click.pass_context
def train(
    ctx: click.Context,
    case: Path,
    output: Path | None,
    seed: int | None,
    runs: int | None,
    budget_minutes: float | None,
    instances: Path | None,
    from_ledger: Path | None,
    assignments: tuple[str, ...],
    verbose: int,
) -> None:
    """Generate data and train the model of a case, on one rank.

    CASE is a file, or the name of a registered problem that needs no file (`branching`).
    """
    # Imported here: --help needs none of it.
    from cosolve.core.case_reading import load_case
    from cosolve.core.communicator import world
    from cosolve.core.option_layers import Layer, from_assignments
    from cosolve.core.options import check
    from cosolve.core.problem import Problem
    from cosolve.core.progress import progress_bar
    from cosolve.core.registry import Registry
    from cosolve.core.training import TrainingSettings
    from cosolve.core.training import train as train_problem

    ranks = world().Get_size()
    if ranks > 1:
        raise BadInputError(f"`cosolve train` runs on one rank, found {ranks}; start it without mpirun.")
    if ctx.obj["petsc"]:
        raise BadInputError(
            f"`cosolve train` takes no PETSc options, found {ctx.obj['petsc'][0]}; problems choose those of their data."
        )
    direct = {
        "training.output": output and str(output),
        "training.seed": seed,
        "training.runs": runs,
        "training.budget_minutes": budget_minutes,
        "training.from_ledger": from_ledger and str(from_ledger.absolute()),
        "problem.instances": instances and str(instances.absolute()),
    }
    values: dict[str, Any] = {key: value for key, value in direct.items() if value is not None}
    layer = Layer("command line", {**from_assignments(assignments).values, **values})
    registry = Registry.discover()
    # The case may name the very model that is to be trained.
    source = _source(case, registry)
    loaded = load_case(source, registry, overrides=layer, leave_out=("surrogate",))
    settings = check(
        TrainingSettings,
        loaded.training,
        key="training",
        origins=loaded.origins,
        source=loaded.source,
        folder=loaded.folder,
    )
    _import_first(loaded.problem.entry)
    factory = registry.load("problem", loaded.problem.name, where=loaded.problem.where)
    problem: Problem = factory(loaded.problem.options)
    command = " ".join(["cosolve train", str(case), *(f"--set {key}={value}" for key, value in layer.values.items())])
    with progress_bar(f"training {loaded.problem.name}") as progress:
        report = train_problem(problem, settings, progress, made_by=command)
    out = console()
    out.print(report.as_text(), end="", markup=False)
    out.print(f"report       {report.path.with_suffix('.json')}", markup=False)


def _source(case: Path, registry: Registry) -> Path | dict[str, Any]:
    """Return the file, or the tables that stand for the name of a problem."""
    name = str(case)
    if not case.exists() and any(entry.name == name for entry in registry.entries("problem")):
        return {"case": {"name": name}, "problem": {"name": name}}
    return case


def _import_first(entry: Entry) -> None:
    for word in entry.capabilities:
        if word.startswith(IMPORT_FIRST):
            name = word.removeprefix(IMPORT_FIRST)
            try:
                importlib.import_module(name)
            except ImportError as error:
                raise PluginError(
                    f"the training of {entry.name!r} needs {name}, which cannot be imported ({error}). Install it, "
                    "e.g. `pip install cosolve[torch]`."
                ) from error
