"""`cosolve bench operators`: grid operators at equal size and CPU budget against POD, on our own data or a folder's."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

# Ahead of PETSc: torch that is imported after Debian's PETSc runs on PETSc's BLAS, five times slower.
from cosolve.core.bench import BenchReport
from cosolve.core.errors import BadInputError, CosolveError, PluginError, unknown_name
from cosolve.examples.operators.contestants import Contestant, contestants
from cosolve.examples.operators.folder import read_folder
from cosolve.examples.operators.measures import h1_errors, l2_errors, start_gain
from cosolve.examples.operators.options import OperatorsOptions
from cosolve.examples.operators.speed import compared_speed
from cosolve.examples.operators.tasks import Task
from cosolve.plugins.pytorch.operators.presets import SYSTEMS
from cosolve.plugins.pytorch.placement import limit_threads

Progress = Callable[[float, str], None]
Case = dict[str, Any]

STARTS: Final = 24
"""Test samples that are solved, too."""
_REPEATS: Final = 9


def bench(
    *,
    quick: bool,
    seed: int,
    progress: Progress | None = None,
    options: OperatorsOptions | None = None,
) -> BenchReport:
    """Train all networks on each task and compare them with the rivals (CPU time; serial).

    Args:
        quick: One seed and a short budget.
        seed: Of data, weights and orders; further seeds follow it.
        progress: Told the share that is done.
        options: See `OperatorsOptions`.

    Raises:
        BadInputError: The folder of data or a name of a system cannot be used.
    """
    options = options or OperatorsOptions()
    systems = _systems(options.systems)
    limit_threads()
    own, elsewhere = (30.0, 120.0) if quick else (300.0, 600.0)
    budget = options.budget or (own if options.data is None else elsewhere)
    count = options.seeds or (1 if quick else 3)
    seeds = range(seed, seed + count)
    cases: list[Case] = []
    told: Progress = progress or (lambda share, text: None)
    from_elsewhere = read_folder(options.data) if options.data is not None else []
    for number, one in enumerate(seeds):
        tasks = from_elsewhere or own_tasks(quick, one)
        for place, task in enumerate(tasks):
            share = (number + place / len(tasks)) / count, 1.0 / (count * len(tasks))
            cases += compare(task, systems, options.parameters, budget, one, _part(told, *share))
            if task.equations is not None:
                task.equations.close()
    metrics = summary(cases)
    if not from_elsewhere:
        metrics["fno_speed"] = compared_speed()
    arguments: tuple[str, ...] = ("--data", str(options.data.name)) if options.data is not None else ()
    arguments += (f"--budget={options.budget:g}",) if options.budget else ()
    return BenchReport("operators", metrics, cases, {}, notes(budget, options.parameters), arguments)


def own_tasks(quick: bool, seed: int) -> list[Task]:
    """Return the tasks whose data our own solvers make."""
    # Imported here: data from elsewhere need no PETSc.
    try:
        from cosolve.examples.operators.darcy import darcy
    except ImportError as error:
        raise PluginError(
            f"the bench's own Darcy data need petsc4py ({error}); install it, or give `--data FOLDER`."
        ) from error
    from cosolve.examples.operators.zoo import zoo

    test = 60 if quick else 120
    return [darcy(64, 400 if quick else 1000, test, seed), zoo(128, 800 if quick else 2000, 2 * test, seed)]


def compare(
    task: Task, systems: Sequence[str], parameters: int, budget: float, seed: int, progress: Progress
) -> list[Case]:
    """Fit all contestants to a task and measure them; one case each."""
    entered = contestants(task, systems, parameters, budget, seed)
    cases: list[Case] = []
    ready: list[Contestant] = []
    for number, contestant in enumerate(entered):
        begin = number / len(entered)
        part = _part(progress, begin, 1.0 / len(entered), f"{task.name}, {contestant.name}: ")
        case: Case = {"task": task.name, "method": contestant.name}
        cases.append(case)
        try:
            contestant.fit(task, part)
        except CosolveError as error:
            # One that cannot be fitted is a row that says so, not the end of the bench.
            case["failed"] = str(error)
            continue
        ready.append(contestant)
        case |= _measured(task, contestant, seed)
    for name, milliseconds in _inference(task, ready).items():
        next(case for case in cases if case["method"] == name)["ms_per_field"] = milliseconds
    return cases


def _measured(task: Task, contestant: Contestant, seed: int) -> Case:
    found = contestant.predict(task.x_test)
    l2, h1 = l2_errors(found, task.y_test), h1_errors(found, task.y_test)
    case: Case = {
        "parameters": contestant.parameters,
        "train_s": round(contestant.seconds, 1),
        "l2": float(l2.mean()),
        "h1": float(h1.mean()),
    }
    if task.equations is not None:
        # Spread over the test samples, so that each family has its share.
        gain = start_gain(task.equations, task.x_test[:STARTS], found[:STARTS])
        case |= {
            "residual": gain.residual,
            "iterations_saved": gain.saved,
            "ms_per_field": 0.0,
            "starts_won": gain.won,
            "iterations_own": gain.iterations_own,
            "iterations": gain.iterations,
        }
    if task.groups:
        names = dict.fromkeys(task.groups)
        case["l2_by_family"] = {name: float(l2[[group == name for group in task.groups]].mean()) for name in names}
    case |= {"l2_worst": float(l2.max()), "data_s": round(task.seconds, 1), "seed": seed, **contestant.notes}
    return case


def _inference(task: Task, ready: Sequence[Contestant]) -> dict[str, float]:
    """Return the median milliseconds of one field alone, by name; all take turns."""
    one = task.x_test[:1]
    seconds: dict[str, list[float]] = {contestant.name: [] for contestant in ready}
    for _ in range(_REPEATS):
        for contestant in ready:
            begin = time.process_time()
            contestant.predict(one)
            seconds[contestant.name].append(time.process_time() - begin)
    return {name: 1e3 * statistics.median(spent) for name, spent in seconds.items()}


def summary(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return errors by task and method (means over the seeds) and the best network against the best rival."""
    metrics: dict[str, Any] = {}
    for task in dict.fromkeys(case["task"] for case in cases):
        mine = [case for case in cases if case["task"] == task and "l2" in case]
        table: dict[str, Any] = {}
        for key in ("l2", "h1", "residual", "iterations_saved", "ms_per_field"):
            for method in dict.fromkeys(case["method"] for case in mine):
                values = [case[key] for case in mine if case["method"] == method and key in case]
                if values:
                    table.setdefault(key, {})[method] = statistics.fmean(values)
                if key == "l2" and len(values) > 1:
                    table.setdefault("l2_spread", {})[method] = statistics.stdev(values)
        networks = {name: error for name, error in table.get("l2", {}).items() if name in SYSTEMS}
        rivals = {name: error for name, error in table.get("l2", {}).items() if name not in SYSTEMS}
        if networks and rivals:
            best = min(networks, key=lambda name: networks[name])
            table["best_network"] = best
            table["best_network_over_best_pod"] = networks[best] / max(min(rivals.values()), 1e-300)
        metrics[task] = table
    return metrics


def notes(budget: float, parameters: int) -> list[str]:
    """Return the sentences below the table."""
    return [
        f"Each network has about {parameters} parameters and {budget:g} CPU seconds of training on one core, trials "
        "of its learning rate included; nothing is tuned by task. POD takes what it needs, its hyperparameters chosen "
        "on held-back samples; its parameters are the numbers that it keeps.",
        "l2 and h1: mean relative errors of unseen samples, h1 in the seminorm, by differences of neighbours.",
        "residual: that of a prediction over that of the solver's own start (zero for Darcy, the state before the step "
        "for the zoo), geometric mean; above 1 the prediction is the worse start by the solver's measure.",
        "iterations_saved: share of the iterations (conjugate gradients with multigrid to 1e-8; Newton to 1e-9) that "
        f"predictions save through the coupling initial_guess on {STARTS} test samples; starts that lose the "
        "tournament are not used.",
        "ms_per_field: one field alone, median; all take turns.",
    ]


def _systems(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()] or list(SYSTEMS)
    for name in names:
        if name not in SYSTEMS:
            raise BadInputError(f"--systems: {unknown_name('grid operator', name, SYSTEMS)}")
    return names


def _part(progress: Progress, begin: float, width: float, before: str = "") -> Progress:
    return lambda share, text: progress(begin + width * share, before + text)
