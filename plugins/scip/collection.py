"""Collects labels over a folder of instances: in processes, within a budget, resumable, whatever single files hold.

Each instance is labelled in a process of its own kind, and its labels are a file as soon as they are there. So a broken
file, a crash or an interruption loses that instance at most, and the next call goes on with the others.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from cosolve.core.errors import OutputError
from cosolve.core.progress import Progress, silent
from cosolve.plugins.scip.instance import read_instance
from cosolve.plugins.scip.labels import Labels, collect
from cosolve.plugins.scip.network import Network
from cosolve.plugins.scip.settings import Settings

LABEL_LIMIT: Final = 16
"""Labelled nodes of one instance: many instances tell more than many nodes of a few."""


@dataclass(slots=True)
class Collection:
    """What was collected.

    Attributes:
        labels: Labels by instance, in the order of the instances.
        refused: Sentence for each instance that could not be used.
        empty: Instances without a node to label: solved at the root.
        seconds: CPU seconds of all labels, those of earlier calls included.
        missing: Instances that the budget left out.
    """

    labels: dict[Path, Labels] = field(default_factory=dict)
    refused: dict[Path, str] = field(default_factory=dict)
    empty: list[Path] = field(default_factory=list)
    seconds: float = 0.0
    missing: list[Path] = field(default_factory=list)

    @property
    def nodes(self) -> int:
        """Number of labelled nodes."""
        return sum(labels.nodes for labels in self.labels.values())


@dataclass(frozen=True, slots=True)
class LabelStore:
    """Where the labels of a training are: one file for each instance.

    Attributes:
        folder: The folder.
        settings: Under which the guide will work.
        seed: Draws the nodes.
        network: What branches between the labelled nodes; None for SCIP's rule.
        start_steps: Of the search for a start that each instance gets.
    """

    folder: Path
    settings: Settings
    seed: int = 0
    network: Network | None = None
    start_steps: int = 0

    def path(self, instance: Path) -> Path:
        """Return the file of an instance; another instance, settings, seed or network gives another name."""
        size = instance.stat().st_size if instance.exists() else 0
        known: list[Any] = [instance.name, size, dict(self.settings.params), self.seed]
        if self.start_steps:
            known.append(self.start_steps)
        if self.network is not None:
            known.append(zlib.crc32(self.network.flat().tobytes()))
        return self.folder / f"{instance.name}-{zlib.crc32(json.dumps(known, sort_keys=True).encode()):08x}.npz"

    def note(self, instance: Path) -> dict[str, Any]:
        """Return what is noted of an instance; nothing where it was not labelled, or its file is damaged."""
        try:
            with np.load(self.path(instance), allow_pickle=False) as file:
                note: dict[str, Any] = json.loads(bytes(file["note"]))
                return note
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return {}

    def gather(self, instances: Sequence[Path]) -> Collection:
        """Return all labels that are there."""
        found = Collection()
        for path in instances:
            note = self.note(path)
            if not note:
                found.missing.append(path)
                continue
            found.seconds += float(note["seconds"])
            if "refused" in note:
                found.refused[path] = note["refused"]
                continue
            with np.load(self.path(path), allow_pickle=False) as file:
                labels = Labels(file["inputs"], file["scores"], file["starts"], file["depths"], float(note["seconds"]))
            if labels.nodes:
                found.labels[path] = labels
            else:
                found.empty.append(path)
        return found


def collect_all(
    instances: Sequence[Path], store: LabelStore, *, seconds: float, jobs: int = 1, progress: Progress = silent
) -> Collection:
    """Label nodes of the instances until the budget is used (not collective).

    Args:
        instances: Files that SCIP reads, in the order in which they are wanted.
        store: Where the labels go; what is there already is not collected again.
        seconds: CPU seconds in all, over all processes and earlier calls.
        jobs: Number of processes.
        progress: What to report to.

    Raises:
        OutputError: The store cannot be written.
    """
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder of labels {store.folder} cannot be written: {error.strerror or error}; give another --output"
        ) from error
    notes = {path: store.note(path) for path in instances}
    waiting = [path for path in instances if not notes[path]]
    spent = sum(float(note["seconds"]) for note in notes.values() if note)
    strikes: dict[Path, int] = {}
    while waiting and spent < seconds:
        spent = _with_pool(waiting, store, spent, seconds, jobs, strikes, progress)
    return store.gather(instances)


def _with_pool(
    waiting: list[Path],
    store: LabelStore,
    spent: float,
    seconds: float,
    jobs: int,
    strikes: dict[Path, int],
    progress: Progress,
) -> float:
    """Label until all is done, the budget is used, or a process died; return the seconds spent so far."""
    total = len(waiting)
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        running: dict[Future[float], Path] = {}
        broken = False
        while running or (waiting and spent < seconds and not broken):
            while waiting and len(running) < jobs and spent < seconds and not broken:
                path = waiting.pop(0)
                running[pool.submit(_collect_one, path, store, max(seconds - spent, 1.0))] = path
            done, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in done:
                path = running.pop(future)
                try:
                    spent += future.result()
                except BrokenProcessPool:
                    broken = True
                    _strike(path, waiting, store, strikes)
                except OSError as error:
                    raise OutputError(
                        f"labels cannot be written to {store.folder}: {error.strerror or error}; free the space"
                    ) from error
            finished = total - len(waiting) - len(running)
            progress(min(spent / seconds, 1.0), f"labels: {finished} of {total} instances")
    return spent


def _strike(path: Path, waiting: list[Path], store: LabelStore, strikes: dict[Path, int]) -> None:
    """A process died, and with it the pool: which instance it was shows when it dies again with the same one."""
    strikes[path] = strikes.get(path, 0) + 1
    if strikes[path] < 2:
        waiting.append(path)
        return
    note = {"instance": path.name, "refused": "the process that solved it died twice", "seconds": 0.0}
    _write(store.path(path), None, note)


def _collect_one(path: Path, store: LabelStore, seconds: float) -> float:
    """Label one instance and write its file; runs in a process of the pool."""
    start = time.process_time()
    own_seed = zlib.crc32(f"{path.name}:{store.seed}".encode())
    note: dict[str, Any] = {"instance": path.name}
    labels = None
    try:
        labels = collect(
            lambda: read_instance(path),
            store.settings,
            seed=own_seed,
            label_limit=LABEL_LIMIT,
            seconds=seconds,
            network=store.network,
            start_steps=store.start_steps,
        )
    except Exception as error:  # one bad file of a folder is a row of the report, not the end of the training
        note["refused"] = str(error) or type(error).__name__
    note["seconds"] = time.process_time() - start
    _write(store.path(path), labels, note)
    return float(note["seconds"])


def _write(target: Path, labels: Labels | None, note: dict[str, Any]) -> None:
    arrays = {}
    if labels is not None:
        arrays = {
            "inputs": labels.inputs,
            "scores": labels.scores,
            "starts": labels.starts,
            "depths": labels.depths,
        }
    handle, temporary = tempfile.mkstemp(prefix=".labels.", suffix=".npz", dir=target.parent)
    with os.fdopen(handle, "wb") as file:
        np.savez_compressed(file, note=np.frombuffer(json.dumps(note).encode(), np.uint8), **arrays)
    os.replace(temporary, target)
