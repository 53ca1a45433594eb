"""`cosolve train branching`: from a folder of instances to a guide, and a report of what it gains and where not."""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from cosolve.core.communicator import Communicator
from cosolve.core.errors import BadInputError, InterruptedRunError
from cosolve.core.model_card import ModelCard
from cosolve.core.model_file import save_surrogate, versions
from cosolve.core.problem import Problem
from cosolve.core.progress import Progress
from cosolve.core.solver import Solver
from cosolve.core.training import TrainingReport, TrainingSettings
from cosolve.plugins.scip.choices import choices_for, starting_points
from cosolve.plugins.scip.collection import Collection, LabelStore, collect_all
from cosolve.plugins.scip.feature_names import NATIVE, PLAIN_INPUTS
from cosolve.plugins.scip.fit import Fit, fit
from cosolve.plugins.scip.guide import MIPGuide
from cosolve.plugins.scip.handshake import why_not_native
from cosolve.plugins.scip.instance import find_instances, read_instance
from cosolve.plugins.scip.instance_features import envelope_of, measure
from cosolve.plugins.scip.labels import Labels
from cosolve.plugins.scip.library import version
from cosolve.plugins.scip.options import GuideTrainingOptions
from cosolve.plugins.scip.racing import race
from cosolve.plugins.scip.settings import Settings, settings_from
from cosolve.plugins.scip.validation import Validation, attach, gate, validate

LABEL_SHARE: Final = 0.65
"""Share for labels of what a race of settings leaves; the rest fits, and measures on instances that were held back."""

RACE_INSTANCES: Final = 8
FALLBACK: Final = "pscost"
"""The rule that a race puts below the guide: its nodes are as cheap as the guide's."""

MIN_NODES: Final = 20
"""Labelled nodes below which nothing can be learnt."""

BASELINE: Final = NATIVE.index("pseudocost_product")


@dataclass(frozen=True, slots=True)
class GuideReport(TrainingReport):
    """The report of a guide: beside the figures, what was refused and what to expect."""

    def as_text(self) -> str:
        """Return the report for a reader."""
        lines = [super(GuideReport, self).as_text().rstrip()]
        notes = self.notes
        lines += [f"advice       {sentence}" for sentence in notes.get("advice", ())]
        for row in notes.get("validation", ()):
            parts = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in row["seconds"].items())
            lines.append(f"held back    {row['instance']}: {parts}")
        lines += [f"refused      {name}: {why}" for name, why in notes.get("refused", {}).items()]
        return "\n".join(lines) + "\n"


class BranchingTraining(Problem):
    """Trains a guide on a folder of instances.

    Args:
        options: The `[problem]` table.
    """

    name: ClassVar[str] = "branching"

    def __init__(self, options: GuideTrainingOptions) -> None:
        self.options = options
        self.parameters: Mapping[str, Any] = {}

    @property
    def time_span(self) -> tuple[float, float, float]:
        """There is no time."""
        return 0.0, 1.0, 1.0

    def make_solver(self, comm: Communicator, settings: Mapping[str, Any]) -> Solver:
        """Refuse: this is for training alone.

        Raises:
            BadInputError: Always; says what solves an instance.
        """
        raise BadInputError('the problem `branching` is for `cosolve train`; solve an instance with the problem "mip"')

    def train(self, settings: TrainingSettings, progress: Progress) -> TrainingReport:
        """Collect labels, fit, measure on held-back instances, write the guide (not collective).

        An interruption loses nothing but the instance at hand: the same command goes on from the labels on disk.

        Raises:
            BadInputError: The folder has no usable instances, or they have nothing to learn from.
            OutputError: Labels, model or report cannot be written.
            InterruptedRunError: Ctrl-C.
        """
        output = Path(settings.output or "guide.safetensors")
        folder = Path(settings.data) if settings.data else output.with_suffix(".labels")
        try:
            return self._train(settings, output, folder, progress)
        except KeyboardInterrupt:
            raise InterruptedRunError(
                f"interrupted; the labels so far are in {folder}, and the same command goes on from there"
            ) from None

    def _train(self, settings: TrainingSettings, output: Path, folder: Path, progress: Progress) -> TrainingReport:
        options = self.options
        why = why_not_native()
        if why:
            raise BadInputError(f"labels need native code, which cannot be used here: {why}")
        began = time.process_time()
        budget = 60.0 * settings.budget_minutes
        root = settings_from(options.settings)
        instances = find_instances(options.instances)
        order = np.random.default_rng(settings.seed).permutation(len(instances))
        shuffled = [instances[k] for k in order]
        jobs = options.jobs or os.cpu_count() or 1
        store = LabelStore(folder, root, settings.seed, start_steps=options.start_steps)
        share = LABEL_SHARE * (1.0 - options.race_share) / options.passes
        found = collect_all(
            shuffled,
            store,
            seconds=share * budget,
            jobs=jobs,
            progress=lambda done, text: progress(share * done, text),
        )
        held_back, fits = self._fit([found], settings)
        for number in range(1, options.passes):
            second = replace(store, seed=settings.seed + 1000 * number, network=fits[0].network)
            more = collect_all(
                shuffled,
                second,
                seconds=share * budget,
                jobs=jobs,
                progress=lambda done, text, number=number: progress(share * (number + done), text),  # type: ignore[misc]  # the default binds the loop's variable
            )
            found.seconds += more.seconds
            held_back, fits = self._fit([found, more], settings)
        measured = [measure(read_instance(path)) for path in list(found.labels)[: options.envelope_instances]]
        guide = MIPGuide(
            fits[0].network,
            fits[1].network,
            settings=root,
            envelope=envelope_of(measured),
            scip=".".join(map(str, version())),
            start_steps=options.start_steps,
        )
        raced = 0.0
        if options.race_share:
            begun = options.passes * share
            raced = self._race(
                guide,
                [path for path in found.labels if path not in held_back],
                folder,
                options.race_share * budget,
                progress=lambda done, text: progress(begun + options.race_share * done, text),
            )
        left = max(budget - found.seconds - (time.process_time() - began), 0.0)
        validation = validate(
            guide,
            held_back[: options.validation_instances],
            left,
            progress=lambda done, text: progress(0.7 + 0.3 * done, text),
        )
        guide, advice = gate(guide, validation)
        card = self._save(output, guide, settings, found, fits, validation, time.process_time() - began, raced)
        notes = {
            "advice": advice,
            "validation": validation.rows(),
            "refused": {path.name: why for path, why in found.refused.items()},
            "labelled_nodes": found.nodes,
            "labelled_instances": len(found.labels),
            "solved_at_the_root": len(found.empty),
            "left_out_by_the_budget": len(found.missing),
            "labels": str(folder),
        }
        runs = {"training": len(found.labels) - len(held_back), "validation": len(held_back)}
        return GuideReport(output, card, runs, 0, notes)

    def _fit(self, passes: Sequence[Collection], settings: TrainingSettings) -> tuple[list[Path], tuple[Fit, Fit]]:
        """Fit the native and the plain network; return the held-back instances and the fits."""
        first = passes[0]
        if first.nodes < MIN_NODES or len(first.labels) < 2:
            raise BadInputError(_nothing_to_learn(self.options.instances, first))
        names = sorted(first.labels, key=lambda path: zlib.crc32(f"{path.name}:{settings.seed}".encode()))
        count = min(max(round(settings.validation_share * len(names)), 1), len(names) - 1)
        held_back = names[:count]
        training: list[Labels] = []
        validation: list[Labels] = []
        for one in passes:
            for path, labels in one.labels.items():
                (validation if path in held_back else training).append(labels)

        def best(columns: Sequence[int] | None) -> Fit:
            fits = [
                fit(training, validation, columns=columns, baseline=BASELINE, seed=settings.seed + k)
                for k in range(self.options.fits)
            ]
            return max(fits, key=lambda one: one.score_ratio)

        return held_back, (best(None), best(PLAIN_INPUTS))

    def _race(
        self, guide: MIPGuide, instances: Sequence[Path], folder: Path, seconds: float, progress: Progress
    ) -> float:
        """Give the guide the fastest settings for its network; return the CPU seconds of the race."""
        assert guide.network is not None
        if guide.root_settings is None or not instances:
            return 0.0
        known = zlib.crc32(guide.network.flat().tobytes())
        result = race(
            [partial(read_instance, path) for path in instances[:RACE_INSTANCES]],
            [guide.root_settings, *starting_points(FALLBACK)],
            seconds,
            choices=choices_for(FALLBACK),
            prepare=partial(attach, guide),
            store=folder / "race.jsonl",
            label=f"{known:08x} {','.join(path.name for path in instances[:RACE_INSTANCES])}",
            progress=progress,
        )
        guide.root_settings = Settings("raced", result.winner.params)
        return result.spent_seconds

    def _save(
        self,
        output: Path,
        guide: MIPGuide,
        settings: TrainingSettings,
        found: Collection,
        fits: tuple[Fit, Fit],
        validation: Validation,
        seconds: float,
        raced: float,
    ) -> ModelCard:
        figures = {
            "score_ratio": fits[0].score_ratio,
            "score_ratio_plain": fits[1].score_ratio,
            "score_ratio_pseudocosts": fits[0].baseline_ratio,
            "labelled_nodes": float(found.nodes),
            **({"race_seconds": raced} if raced else {}),
            **validation.figures(),
        }
        return save_surrogate(
            output,
            guide,
            ModelCard(
                surrogate="mip_guide",
                problem="mip",
                dtype="float32",
                envelope=guide.envelope,
                seed=settings.seed,
                versions={**versions("pyscipopt", "numba", "safetensors"), "scip": guide.scip},
                cost_data_seconds=found.seconds,
                cost_training_seconds=seconds,
                data_sha256=_fingerprint(found),
                figures={name: value for name, value in figures.items() if np.isfinite(value)},
                made_by=f"cosolve train branching --instances {self.options.instances} --out {output} "
                f"--minutes {settings.budget_minutes:g} --seed {settings.seed}",
            ),
        )


def _nothing_to_learn(folder: Path, found: Collection) -> str:
    total = len(found.labels) + len(found.empty) + len(found.refused) + len(found.missing)
    parts = []
    if found.empty:
        parts.append(f"{len(found.empty)} were solved at the root")
    if found.refused:
        path, why = next(iter(found.refused.items()))
        parts.append(f"{len(found.refused)} could not be used ({path.name}: {why})")
    if found.missing:
        parts.append(f"{len(found.missing)} were left out by the budget")
    return (
        f"{folder}: {found.nodes} nodes of {total} instances were labelled, and at least {MIN_NODES} of 2 instances "
        f"are needed: {', '.join(parts) or 'their trees are too small'}. Give more instances or more --minutes."
    )


def _fingerprint(found: Collection) -> str:
    """Return a hash of all labels."""
    import hashlib

    total = hashlib.sha256()
    for path in sorted(found.labels):
        total.update(json.dumps(path.name).encode())
        total.update(found.labels[path].scores.tobytes())
    return total.hexdigest()
