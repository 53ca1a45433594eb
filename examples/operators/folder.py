"""Pairs of fields from elsewhere: `.npz` files with `x_train, y_train, x_test, y_test`, grids channels first."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from cosolve.core.errors import BadInputError
from cosolve.examples.operators.tasks import Task

KEYS: Final = ("x_train", "y_train", "x_test", "y_test")
FEWEST: Final = 10
"""Training samples below which nothing can be learnt and held back."""


def read_folder(folder: Path) -> list[Task]:
    """Return one task for each `.npz` file, in order of their names.

    Raises:
        BadInputError: There is no such file, or one of them cannot be used; names file, array and sample.
    """
    if not folder.is_dir():
        raise BadInputError(f"--data {folder}: expected a folder with .npz files, found none there; correct the path.")
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise BadInputError(
            f"--data {folder}: expected .npz files with {', '.join(KEYS)}, found none; write them with "
            "numpy.savez(file, x_train=...)."
        )
    return [read_file(file) for file in files]


def read_file(file: Path) -> Task:
    """Return the task of one file.

    Raises:
        BadInputError: It cannot be used; says why.
    """
    arrays = _arrays(file)
    for key, array in arrays.items():
        if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
            hint = "give real and imaginary part as two channels" if np.iscomplexobj(array) else "save it as numbers"
            raise BadInputError(f"{file}: {key}: expected real numbers, found {array.dtype}; {hint}.")
        if not 3 <= array.ndim <= 5 or not array.size:
            raise BadInputError(
                f"{file}: {key}: expected shape (sample, channel, n[, m[, k]]) with at least one sample, found "
                f"{array.shape}; grids have their channels first, one channel is an axis of length 1."
            )
    if min(arrays["y_train"].shape[2:]) < 4:
        raise BadInputError(
            f"{file}: expected at least 4 points along each axis, found {_points(arrays['y_train'])}; are the channels "
            "the second axis?"
        )
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if len(x) != len(y):
            raise BadInputError(f"{file}: x_{part} has {len(x)} samples and y_{part} {len(y)}; they must be pairs.")
        if x.shape[2:] != y.shape[2:]:
            raise BadInputError(
                f"{file}: x_{part} lives on a grid of {_points(x)} and y_{part} on {_points(y)} points; resample the "
                "input to the grid of the output."
            )
    for name in ("x", "y"):
        train, test = arrays[f"{name}_train"], arrays[f"{name}_test"]
        if train.shape[1] != test.shape[1] or train.ndim != test.ndim:
            raise BadInputError(
                f"{file}: {name}_train has {train.shape[1]} channels on {train.ndim - 2} axes, {name}_test "
                f"{test.shape[1]} on {test.ndim - 2}; they must be the same."
            )
    if len(arrays["x_train"]) < FEWEST:
        raise BadInputError(f"{file}: {len(arrays['x_train'])} training samples are too few; give {FEWEST} or more.")
    for key, array in arrays.items():
        _check_finite(file, key, array)
    with np.errstate(over="ignore"):
        fields = {key: np.ascontiguousarray(array, dtype=np.float32) for key, array in arrays.items()}
    for key, field in fields.items():
        if not np.all(np.isfinite(field)):
            raise BadInputError(f"{file}: {key} holds numbers beyond single precision (3e38); scale it.")
    return Task(file.stem, fields["x_train"], fields["y_train"], fields["x_test"], fields["y_test"])


def _arrays(file: Path) -> dict[str, Any]:
    try:
        with np.load(file, allow_pickle=False) as content:
            for key in KEYS:
                if key not in content.files:
                    found = ", ".join(content.files) or "none"
                    raise BadInputError(
                        f"{file}: expected the arrays {', '.join(KEYS)}, found {found}; {key} is missing."
                    )
            return {key: content[key] for key in KEYS}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInputError(
            f"{file}: expected a .npz file of plain arrays, which cannot be read ({why}); write it again."
        ) from error


def _check_finite(file: Path, key: str, array: Any) -> None:
    if np.issubdtype(array.dtype, np.floating):
        good = np.isfinite(array).reshape(len(array), -1).all(axis=1)
        if not good.all():
            bad = np.flatnonzero(~good)
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            raise BadInputError(
                f"{file}: {key} is NaN or infinite in sample {bad[0]}{more}; remove or repair these samples."
            )


def _points(array: Any) -> str:
    return " x ".join(map(str, array.shape[2:]))
