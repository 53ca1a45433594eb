"""Weights of a user's module, from `.safetensors` or `.pt`; a pickle that wants to run code is refused."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import TypeVar

import torch
from cosolve.core.errors import BadInputError, ModelMismatchError
from safetensors import SafetensorError
from safetensors.torch import load_file

M = TypeVar("M", bound=torch.nn.Module)


def load_weights(module: M, path: str | Path) -> M:
    """Load trained weights into `module` and return it, in evaluation mode (not collective).

    Args:
        module: The module, built by the user's own code.
        path: `.pt` or `.pth` as `torch.save(module.state_dict(), path)` writes it, or `.safetensors`. A checkpoint
            `{"state_dict": ...}` or `{"model_state_dict": ...}` serves, too.

    Raises:
        BadInputError: The file is missing, damaged, of another kind, or holds more than plain tensors.
        ModelMismatchError: The weights belong to another module; names the first that differs.
    """
    path = Path(path)
    state = read_weights(path)
    expected = module.state_dict()
    missing, surplus = sorted(set(expected) - set(state)), sorted(set(state) - set(expected))
    if missing or surplus:
        what = f"{missing[0]!r} is missing" if missing else f"{surplus[0]!r} is unknown to it"
        raise ModelMismatchError(
            f"{path} does not hold the weights of {type(module).__name__}: {what} "
            f"({len(missing)} missing, {len(surplus)} unknown). Build the module as it was trained."
        )
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            raise ModelMismatchError(
                f"{path} does not hold the weights of {type(module).__name__}: {name!r} has shape "
                f"{tuple(tensor.shape)}, expected {tuple(expected[name].shape)}. "
                "Build the module with the arguments it was trained with."
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise BadInputError(f"{path}: {name!r} holds NaN or infinite values; train it again")
    module.load_state_dict(state)
    return module.eval()


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read named tensors of a weight file, never running code from it.

    Raises:
        BadInputError: As for `load_weights`.
    """
    if not path.is_file():
        raise BadInputError(f"the weight file {path} does not exist")
    if path.suffix == ".safetensors":
        try:
            return dict(load_file(path))
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise BadInputError(f"{path} is not a complete safetensors file: {error}") from error
    if path.suffix not in (".pt", ".pth"):
        raise BadInputError(f"{path}: expected weights in a .pt, .pth or .safetensors file, found {path.suffix!r}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadInputError(
            f"{path} was refused: it is no plain file of tensors and would have to run code to be read. "
            "Write it again with `torch.save(module.state_dict(), path)`, or as .safetensors."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise BadInputError(
            f"{path} cannot be read as torch weights; was it truncated? ({_first_line(error)})"
        ) from error
    return _state_dict(path, content)


def _state_dict(path: Path, content: object) -> dict[str, torch.Tensor]:
    if isinstance(content, dict):
        for key in ("state_dict", "model_state_dict"):
            if isinstance(content.get(key), dict):
                content = content[key]
                break
    if isinstance(content, dict) and content and all(isinstance(value, torch.Tensor) for value in content.values()):
        return {str(name): value for name, value in content.items()}
    raise BadInputError(f"{path} holds {type(content).__name__}, expected the named tensors of `module.state_dict()`")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
