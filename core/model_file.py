"""Model files: one safetensors file with the card as JSON in its metadata. No pickle anywhere."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError, CosolveError, OutputError
from cosolve.core.model_card import ModelCard, check_matches, outside_envelope
from cosolve.core.surrogate import StoredSurrogate
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

if TYPE_CHECKING:
    from cosolve.core.entries import Entry, Role

__all__ = [
    "ModelCard",
    "check_matches",
    "load_card",
    "load_surrogate",
    "outside_envelope",
    "save_surrogate",
    "versions",
]

_CARD_KEY = "cosolve_card"
_MAX_HEADER = 4 * 1024 * 1024
_TENSOR_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}")
_DTYPES = {"F16": 2, "F32": 4, "F64": 8}


class EntryFinder(Protocol):
    """The part of the registry that loading needs."""

    def get(self, role: Role, name: str) -> Entry:
        """Return the entry of that name; raise a `CosolveError` with the nearest known name else."""


def versions(*distributions: str) -> dict[str, str]:
    """Return the versions of Python, cosolve, numpy and further installed `distributions`, for a card.

    >>> sorted(versions())
    ['cosolve', 'numpy', 'python']
    """
    found = {"python": platform.python_version()}
    for name in ("cosolve", "numpy", *distributions):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def save_surrogate(path: str | Path, surrogate: StoredSurrogate, card: ModelCard) -> ModelCard:
    """Write `surrogate` to `path` as one safetensors file, atomically (not collective: call it on one rank).

    Args:
        path: The file, by convention `*.safetensors`. It appears only when it is complete.
        surrogate: The trained surrogate.
        card: Its card; `settings` and `tensors_sha256` are filled in here.

    Returns:
        The card as written.

    Raises:
        BadInputError: A tensor does not hold floats of 16, 32 or 64 bits, is not finite, or has an unusable name; the
            settings are not JSON.
        OutputError: The file cannot be written.
    """
    path = Path(path)
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in surrogate.tensors().items()}
    for name, tensor in tensors.items():
        if not _TENSOR_NAME.fullmatch(name):
            raise BadInputError(f"tensor name {name!r} of {surrogate.name!r}: use letters, digits, '_', '.' and '-'")
        if tensor.dtype not in (np.float16, np.float32, np.float64):
            raise BadInputError(
                f"tensor {name!r} of {surrogate.name!r} is {tensor.dtype}, expected float16, float32 or float64"
            )
        _check_finite(name, tensor, f"surrogate {surrogate.name!r}")
    try:
        settings = json.loads(json.dumps(dict(surrogate.settings()), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise BadInputError(f"the settings of surrogate {surrogate.name!r} are not JSON: {error}") from error
    written = card.model_copy(update={"settings": settings, "tensors_sha256": _hash(tensors)})
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        save_file(tensors, temporary, metadata={_CARD_KEY: written.model_dump_json()})
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes the file private; a model is read by whoever may read its folder.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise OutputError(f"the model file {path} cannot be written: {error}. Choose a writable folder.") from error
    return written


def load_card(path: str | Path) -> ModelCard:
    """Read and check the card of a model file (not collective; every rank may call it).

    Raises:
        BadInputError: The file is missing, truncated, hostile or has no valid card; names the file and the reason.
    """
    return _read_card(Path(path), _read_header(Path(path)))


def load_surrogate(path: str | Path, registry: EntryFinder) -> StoredSurrogate:
    """Read a model file and build its surrogate (not collective; every rank may call it).

    The class comes from the registry by the registered name in the card. The file can choose among registered
    classes and give arrays and JSON settings to them, nothing else.

    Args:
        path: The model file.
        registry: Finds the entry of the surrogate.

    Returns:
        The surrogate, with `model_card` set.

    Raises:
        BadInputError: The file is missing, truncated or hostile, names an unknown surrogate, or its tensors are not
            what the surrogate needs.
        PluginError: The plugin of the surrogate cannot be imported.
    """
    path = Path(path)
    header = _read_header(path)
    card = _read_card(path, header)
    try:
        entry = registry.get("surrogate", card.surrogate)
    except CosolveError as error:
        raise BadInputError(f"{path}: the model needs a surrogate that is not there: {error}") from error
    factory = entry.load()
    if not (isinstance(factory, type) and issubclass(factory, StoredSurrogate)):
        raise BadInputError(f"{path}: surrogate {card.surrogate!r} is registered, but cannot be read from a file")
    tensors = _read_tensors(path, header)
    if card.tensors_sha256 and card.tensors_sha256 != _hash(tensors):
        raise BadInputError(f"{path} is damaged: its tensors do not have the hash that its card states. Copy it again.")
    try:
        surrogate = factory.from_file(tensors, card.settings)
    except BadInputError as error:
        raise BadInputError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadInputError(
            f"{path}: surrogate {card.surrogate!r} cannot be built from its tensors and settings "
            f"({type(error).__name__}: {error}). Was it written by another version?"
        ) from error
    surrogate.model_card = card
    return surrogate


def _read_header(path: Path) -> dict[str, Any]:
    """Read the header by hand first: every claim in it is checked against the size of the file, with a sentence."""
    if not path.exists():
        raise BadInputError(f"the model file {path} does not exist. Give its path, or train one: `cosolve train`.")
    if not path.is_file():
        raise BadInputError(f"the model file {path} is not a regular file")
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length < 2 or length > size - 8:
                raise BadInputError(
                    f"{path} is not a complete safetensors file: its header claims {length} bytes, "
                    f"the file has {size}. Was it truncated, or is it another kind of file?"
                )
            if length > _MAX_HEADER:
                raise BadInputError(f"{path}: its header has {length} bytes, at most {_MAX_HEADER} are read")
            header = json.loads(file.read(length))
    except OSError as error:
        raise BadInputError(f"the model file {path} cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{path}: the header is not JSON ({error}); expected a safetensors file") from error
    if not isinstance(header, dict):
        raise BadInputError(f"{path}: the header is {type(header).__name__}, expected a JSON object")
    _check_layout(path, header, size - 8 - length)
    return header


def _check_layout(path: Path, header: Mapping[str, Any], available: int) -> None:
    """Check names, types, shapes and offsets of all tensors against the bytes that are there."""
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if not _TENSOR_NAME.fullmatch(name):
            raise BadInputError(f"{path}: tensor name {name!r} is not allowed (letters, digits, '_', '.' and '-')")
        found = entry.get("dtype") if isinstance(entry, dict) else entry
        if not (isinstance(entry, dict) and isinstance(found, str) and found in _DTYPES):
            raise BadInputError(f"{path}: tensor {name!r} has dtype {found!r}, expected F16, F32 or F64")
        shape, offsets = entry.get("shape"), entry.get("data_offsets")
        if not (_is_counts(shape) and _is_counts(offsets) and len(offsets) == 2):
            raise BadInputError(f"{path}: tensor {name!r} has shape {shape!r} and offsets {offsets!r}, expected counts")
        wanted = _DTYPES[found]
        for extent in shape:
            wanted *= extent
        if offsets[1] - offsets[0] != wanted or offsets[1] > available:
            raise BadInputError(
                f"{path}: tensor {name!r} of shape {shape} needs {wanted} bytes, its header claims bytes "
                f"{offsets[0]} to {offsets[1]} of {available}. Was the file truncated?"
            )


def _is_counts(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _read_card(path: Path, header: Mapping[str, Any]) -> ModelCard:
    metadata_table = header.get("__metadata__")
    text = metadata_table.get(_CARD_KEY) if isinstance(metadata_table, dict) else None
    if not isinstance(text, str):
        raise BadInputError(f"{path} has no cosolve card in its metadata; write models with `cosolve train`")
    try:
        return ModelCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the card"
        raise BadInputError(f"{path}: the card is not valid: {where}: {first['msg']}") from error


def _read_tensors(path: Path, header: Mapping[str, Any]) -> dict[str, Array]:
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in header if name != "__metadata__"}
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise BadInputError(f"{path} is not a valid safetensors file: {error}") from error
    for name, tensor in tensors.items():
        _check_finite(name, tensor, str(path))
    return tensors


def _check_finite(name: str, tensor: Array, where: str) -> None:
    if not bool(np.all(np.isfinite(tensor))):
        bad = int(np.size(tensor) - np.count_nonzero(np.isfinite(tensor)))
        raise BadInputError(f"{where}: tensor {name!r} holds {bad} values that are NaN or infinite; train it again")


def _hash(tensors: Mapping[str, Array]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name}:{tensor.dtype.name}:{tensor.shape};".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()
