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

import numpy as np
from cosolve.core.errors import OutputError
from cosolve.core.progress import Progress, silent
from cosolve.plugins.scip.instance import read_instance
from cosolve.plugins.scip.labels import Labels, collect
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


def collect_all(
    instances: Sequence[Path],
    store: Path,
    settings: Settings,
    *,
    seconds: float,
    jobs: int = 1,
    seed: int = 0,
    progress: Progress = silent,
) -> Collection:
    """Label nodes of the instances until the budget is used (not collective).

    Args:
        instances: Files that SCIP reads, in the order in which they are wanted.
        store: Folder of the labels; what is there already is not collected again.
        settings: Under which the guide will work.
        seconds: CPU seconds in all, over all processes and earlier calls.
        jobs: Number of processes.
        seed: Draws the nodes.
        progress: What to report to.

    Raises:
        OutputError: The store cannot be written.
    """
    try:
        store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder of labels {store} cannot be written: {error.strerror or error}") from error
    waiting = [path for path in instances if not _stored(store, path, settings, seed).exists()]
    used = sum(_note(store, path, settings, seed).get("seconds", 0.0) for path in instances if path not in waiting)
    spent = used
    crashes: dict[Path, str] = {}
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        running: dict[Future[float], tuple[Path, float]] = {}
        while waiting or running:
            while waiting and len(running) < jobs and spent < seconds:
                path = waiting.pop(0)
                allowed = max(seconds - spent, 1.0)
                target = _stored(store, path, settings, seed)
                try:
                    future = pool.submit(_collect_one, path, target, settings, seed, allowed)
                except BrokenProcessPool:
                    break
                running[future] = (path, time.monotonic())
            if not running:
                break
            done, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in done:
                path, _started = running.pop(future)
                try:
                    spent += future.result()
                except BrokenProcessPool:
                    crashes[path] = "the process that solved it died"
                except OSError as error:
                    raise OutputError(
                        f"labels cannot be written to {store}: {error.strerror or error}; free the space"
                    ) from error
            share = min(spent / seconds, 1.0) if seconds > 0.0 else 1.0
            progress(share, f"labels: {len(instances) - len(waiting) - len(running)} of {len(instances)} instances")
            if crashes and not running:
                break
    return _gather(instances, store, settings, seed, crashes)


def _collect_one(path: Path, target: Path, settings: Settings, seed: int, seconds: float) -> float:
    """Label one instance and write its file; runs in a process of the pool."""
    start = time.process_time()
    own_seed = zlib.crc32(f"{path.name}:{seed}".encode())
    note: dict[str, Any] = {"instance": path.name}
    labels = None
    try:
        labels = collect(lambda: read_instance(path), settings, seed=own_seed, label_limit=LABEL_LIMIT, seconds=seconds)
    except Exception as error:  # one bad file of a folder is a row of the report, not the end of the training
        note["refused"] = str(error) or type(error).__name__
    note["seconds"] = time.process_time() - start
    _write(target, labels, note)
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


def _stored(store: Path, path: Path, settings: Settings, seed: int) -> Path:
    """Return where the labels of an instance are; another file, settings or seed gives another name."""
    size = path.stat().st_size if path.exists() else 0
    key = json.dumps([path.name, size, dict(settings.params), seed], sort_keys=True)
    return store / f"{path.name}-{zlib.crc32(key.encode()):08x}.npz"


def _note(store: Path, path: Path, settings: Settings, seed: int) -> dict[str, Any]:
    try:
        with np.load(_stored(store, path, settings, seed), allow_pickle=False) as file:
            note: dict[str, Any] = json.loads(bytes(file["note"]))
            return note
    except (OSError, ValueError, KeyError, EOFError):
        return {}


def _gather(
    instances: Sequence[Path], store: Path, settings: Settings, seed: int, crashes: dict[Path, str]
) -> Collection:
    found = Collection()
    for path in instances:
        note = _note(store, path, settings, seed)
        if not note:
            if path in crashes:
                found.refused[path] = crashes[path]
            else:
                found.missing.append(path)
            continue
        found.seconds += float(note["seconds"])
        if "refused" in note:
            found.refused[path] = note["refused"]
            continue
        with np.load(_stored(store, path, settings, seed), allow_pickle=False) as file:
            labels = Labels(file["inputs"], file["scores"], file["starts"], file["depths"], float(note["seconds"]))
        if labels.nodes:
            found.labels[path] = labels
        else:
            found.empty.append(path)
    return found
