"""Racing of settings: which are the fastest on training instances, for a budget of CPU seconds.

Two stages. Successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943): all candidates run on a few instances,
the better half on twice as many, until few are left. Then challengers, which are the best settings with a few
parameters drawn anew, run against the best in the manner of Hutter et al. (2009, doi:10.1613/jair.2861): a challenger
is dropped at the first instances on which it falls behind, and replaces the best only when it won on all of them.

A run is stopped when it has taken a multiple of the best time known for its instance, and then counts twice its limit.
Every run is kept in a file, if one is given: an interrupted race goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cosolve.core.errors import BadInputError
from cosolve.core.progress import Progress, silent
from cosolve.plugins.scip.measured import SHIFT_SECONDS, Measured, Prepare, measure, shifted_geometric_mean
from cosolve.plugins.scip.settings import Settings, Value, random_changes
from pyscipopt import Model

logger = logging.getLogger(__name__)

MOST_SECONDS = 120.0
"""Of one run, while no other has solved its instance."""
PATIENCE = 2.5
"""Multiple of the best time known for an instance after which a run is stopped."""
SHARE_FOR_HALVING = 0.5
"""Of the budget, if challengers follow."""


@dataclass(frozen=True, slots=True)
class RaceRow:
    """What a race found out about one candidate.

    Attributes:
        settings: The candidate.
        seconds: Shifted geometric mean over the instances that it ran on.
        instances: How many these were.
        ratio: Its mean over that of the winner on the same instances.
    """

    settings: Settings
    seconds: float
    instances: int
    ratio: float


@dataclass(frozen=True, slots=True)
class RaceResult:
    """How a race ended.

    Attributes:
        winner: The best settings.
        rows: All candidates, those first that got furthest.
        spent_seconds: CPU seconds of all runs, those found in the file included.
    """

    winner: Settings
    rows: Sequence[RaceRow]
    spent_seconds: float


@dataclass(slots=True)
class _Book:
    """All runs so far: by candidate, by instance; in a file, if there is one."""

    instances: Sequence[Callable[[], Model]]
    budget: float
    prepare: Prepare | None
    store: Path | None
    label: str
    spent: float = 0.0
    times: dict[tuple[str, int], float] = field(default_factory=dict)
    best: dict[int, float] = field(default_factory=dict)
    kept: dict[str, Measured] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.store is None or not self.store.is_file():
            return
        for line in self.store.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
                self.kept[record["key"]] = Measured.from_json(record["run"])
            except (ValueError, KeyError, TypeError):
                logger.warning("%s: a broken line is left out: %.40s", self.store, line)

    @property
    def over(self) -> bool:
        return self.spent >= self.budget

    def time(self, settings: Settings, index: int) -> float:
        """Return the (penalised) time of a candidate on an instance; run it if it has not run there."""
        name = _digest(settings)
        if (name, index) not in self.times:
            best = self.best.get(index)
            limit = MOST_SECONDS if best is None else PATIENCE * best + SHIFT_SECONDS
            key = f"{self.label} {index} {name}"
            found = self.kept.get(key)
            if found is None:
                found = measure(self.instances[index](), settings, time_limit=limit, prepare=self.prepare)
                self._keep(key, settings, found)
            self.spent += found.seconds
            if found.solved:
                self.best[index] = min(found.seconds, self.best.get(index, math.inf))
            self.times[name, index] = found.seconds if found.solved else 2.0 * max(limit, found.seconds)
        return self.times[name, index]

    def mean(self, settings: Settings, indices: Sequence[int]) -> float:
        return shifted_geometric_mean(self.times[_digest(settings), index] for index in indices)

    def seen(self, settings: Settings) -> list[int]:
        name = _digest(settings)
        return [index for index in range(len(self.instances)) if (name, index) in self.times]

    def _keep(self, key: str, settings: Settings, found: Measured) -> None:
        self.kept[key] = found
        if self.store is not None:
            self.store.parent.mkdir(parents=True, exist_ok=True)
            with self.store.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "settings": settings.name, "run": found.as_json()}) + "\n")


def race(
    instances: Sequence[Callable[[], Model]],
    candidates: Sequence[Settings],
    budget_seconds: float,
    *,
    choices: Mapping[str, Sequence[Value]] | None = None,
    prepare: Prepare | None = None,
    store: Path | None = None,
    label: str = "",
    seed: int = 0,
    progress: Progress = silent,
) -> RaceResult:
    """Find the fastest settings for a kind of program.

    Args:
        instances: Each makes a fresh model of a training instance.
        candidates: What to start from; SCIP's default among them, unless it is known to lose.
        budget_seconds: CPU seconds of all runs together; the run that exceeds it is finished.
        choices: Parameters with the values that challengers draw; None leaves it at the candidates.
        prepare: Called with each model before it is solved: a guide, say, so that its settings are found.
        store: File of JSON lines that keeps every run; a race with the same one resumes.
        label: Says in `store` what is prepared and which instances these are.
        seed: Draws the challengers.
        progress: Told the share of the budget that is spent.

    Raises:
        BadInputError: No instance or no candidate, or SCIP refuses a candidate.
    """
    if not instances or not candidates:
        raise BadInputError(
            f"race: expected instances and candidates, found {len(instances)} and {len(candidates)}; give both."
        )
    book = _Book(instances, budget_seconds, prepare, store, label)
    unique = list({_digest(one): one for one in candidates}.values())
    share = SHARE_FOR_HALVING if choices else 1.0
    winner, upto = _halve(book, unique, share * budget_seconds, progress)
    tried = list(unique)
    if choices:
        winner = _challenge(book, winner, upto, choices, seed, tried, progress)
    common = book.seen(winner)
    rows = []
    for one in tried:
        shared = [index for index in book.seen(one) if index in common]
        if shared:
            mean = book.mean(one, shared)
            rows.append(RaceRow(one, mean, len(shared), mean / max(book.mean(winner, shared), 1e-9)))
    rows.sort(key=lambda row: (-row.instances, row.ratio))
    return RaceResult(winner, rows, book.spent)


def _halve(book: _Book, alive: list[Settings], budget: float, progress: Progress) -> tuple[Settings, int]:
    """Return the candidate that is left, and on how many instances it ran."""
    upto = min(2, len(book.instances))
    done = 0
    while True:
        for index in range(done, upto):
            # The one that leads runs first: its time bounds the others'.
            for one in sorted(alive, key=lambda one: book.mean(one, range(done)) if done else 0.0):
                # The first instance is run by all: without it nothing could be compared.
                if index and book.spent >= budget:
                    break
                book.time(one, index)
                progress(book.spent / book.budget, f"instance {index + 1}, {one.name}")
        complete = [one for one in alive if book.seen(one)[:upto] == list(range(upto))]
        if len(complete) < len(alive):  # the budget ended within this rung: compare by what all of them have run
            upto = min(len(book.seen(one)) for one in alive)
            complete = alive
        alive = sorted(complete, key=lambda one: book.mean(one, range(upto)))[: math.ceil(len(complete) / 2)]
        if book.spent >= budget or upto == len(book.instances) or len(alive) == 1:
            return alive[0], upto
        done, upto = upto, min(2 * upto, len(book.instances))


def _challenge(
    book: _Book,
    winner: Settings,
    upto: int,
    choices: Mapping[str, Sequence[Value]],
    seed: int,
    tried: list[Settings],
    progress: Progress,
) -> Settings:
    """Return the best settings after challengers came until the budget was spent."""
    # Imported here: a race without challengers draws nothing.
    import numpy as np

    rng = np.random.default_rng(seed)
    order = random.Random(seed)
    failures = 0
    while not book.over and failures < 50:
        challenger = random_changes(winner, choices, rng, int(rng.integers(1, 4)))
        if any(_digest(challenger) == _digest(one) for one in tried):
            failures += 1
            continue
        failures = 0
        tried.append(challenger)
        if upto < len(book.instances):  # the best must prove itself on one more instance for each challenger
            book.time(winner, upto)
            upto += 1
        indices = list(range(upto))
        order.shuffle(indices)
        ran: list[int] = []
        for index in indices:
            book.time(challenger, index)
            ran.append(index)
            progress(min(1.0, book.spent / book.budget), f"{len(tried)} candidates, best {winner.name}")
            if book.mean(challenger, ran) > book.mean(winner, ran) * (1.0 + 0.1 / len(ran)) or book.over:
                break
        if len(ran) == upto and book.mean(challenger, ran) < book.mean(winner, ran):
            winner = challenger
    return winner


def _digest(settings: Settings) -> str:
    text = json.dumps(dict(sorted(settings.params.items())))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
