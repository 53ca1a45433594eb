"""Options as strict pydantic models, and their errors as one sentence each.

Every options model of cosolve and of its plugins derives from `Options`: unknown keys are errors, values are checked
before anything is solved, and nothing heavy is imported for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cosolve.core.errors import BadInputError, unknown_name
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails, PydanticCustomError

Model = TypeVar("Model", bound=BaseModel)


class Options(BaseModel):
    """Base of all options models: strict about keys, frozen, no NaN and no infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _existing_file(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    resolved = path if path.is_absolute() or base is None else base(info.field_name) / path
    if not resolved.is_file():
        found = "a folder" if resolved.is_dir() else "nothing there"
        raise PydanticCustomError("cosolve_file", "a file that exists|{found}", {"found": f"{found}: {resolved}"})
    return resolved


Positive = Annotated[float, Field(gt=0.0)]
"""A finite number above zero (a tolerance, a time step)."""

NonNegative = Annotated[float, Field(ge=0.0)]
"""A finite number of at least zero."""

Count = Annotated[int, Field(ge=1)]
"""A whole number of at least one."""

Share = Annotated[float, Field(gt=0.0, le=1.0)]
"""A number above zero and at most one."""

ExistingFile = Annotated[Path, AfterValidator(_existing_file)]
"""A file that exists (a mesh, a model). Relative paths in a case file start at its folder, others where you are."""


class SolverOptions(Options):
    """The `[solver]` table of a problem that brings no model of its own: what the keys leave out, the problem decides.

    Attributes:
        rtol: Tolerance relative to the solver's reference norm.
        atol: Absolute tolerance, in the unit of the residual.
        max_iterations: Most nonlinear iterations of one step.
    """

    rtol: Positive | None = None
    atol: Positive | None = None
    max_iterations: Count | None = None


def check(
    model: type[Model],
    values: Mapping[str, Any],
    *,
    key: str,
    origins: Mapping[str, str],
    source: str,
    folder: Path | None = None,
    also_known: Sequence[str] = (),
) -> Model:
    """Validate one table against its model.

    Args:
        model: The options model.
        values: The table.
        key: Dotted key of the table, e.g. `"solver"` or `"surrogate.0"`.
        origins: Origin of each dotted key, see `cosolve.core.option_layers`.
        source: What to call the case where a key has no origin (its path).
        folder: Where relative paths start.
        also_known: Keys that the table may have beside those of the model, for the list of known keys.

    Returns:
        The validated model.

    Raises:
        BadInputError: One sentence for each error: source, key, expected, found, what to do.
    """
    try:
        base = partial(base_folder, key, origins, source, folder)
        return model.model_validate(dict(values), context={"base": base})
    except ValidationError as error:
        known = [*also_known, *known_keys(model)]
        sentences = [_sentence(detail, key, origins, source, known, model) for detail in error.errors()]
        raise BadInputError("\n".join(dict.fromkeys(sentences))) from None


def base_folder(
    key: str, origins: Mapping[str, str], source: str, folder: Path | None, name: str | None = None
) -> Path:
    """Return where a relative path starts: at the folder of the file that says it, else in the working directory."""
    said_by = _origin_of(f"{key}.{name}" if name else key, origins) or source
    return folder if folder is not None and said_by == source else Path()


def known_keys(model: type[BaseModel]) -> list[str]:
    """Return the keys of a model as a case spells them."""
    return [info.alias or name for name, info in model.model_fields.items()]


def _sentence(
    detail: ErrorDetails,
    key: str,
    origins: Mapping[str, str],
    source: str,
    known: Sequence[str],
    model: type[BaseModel],
) -> str:
    # A tagged or plain union adds the member's name to the location: only names that a case can spell are kept.
    location = [str(part) for part in detail["loc"] if isinstance(part, int) or str(part).isidentifier()]
    dotted = ".".join([key, *location])
    origin = _origin_of(dotted, origins) or source
    kind = detail["type"]
    if kind == "extra_forbidden":
        names = known if len(location) == 1 else _names_at(model, location[:-1])
        return f"{origin}: {key}: {unknown_name('key', location[-1], names)} Rename or remove {dotted!r}."
    if kind == "missing":
        return f"{origin}: {dotted}: expected a value, found nothing; add `{location[-1]} = ...` to [{key}]."
    expected = _expected(detail)
    found = detail["ctx"]["found"] if kind == "cosolve_file" else repr(detail["input"])
    cure = _what_to_do(origin)
    if kind == "string_type" and origin == "command line":
        cure = f"quote a text that reads like another value twice: --set '{dotted}=\"{detail['input']}\"'"
    return f"{origin}: {dotted}: expected {expected}, found {found}; {cure}."


def _origin_of(dotted: str, origins: Mapping[str, str]) -> str | None:
    """Return the origin of a key, or of the nearest key above or below it."""
    if dotted in origins:
        return origins[dotted]
    below = [origin for other, origin in origins.items() if other.startswith(f"{dotted}.")]
    if below:
        return below[0]
    parent, dot, _ = dotted.rpartition(".")
    return _origin_of(parent, origins) if dot and "." in parent else None


def _what_to_do(origin: str) -> str:
    if origin.startswith("environment"):
        return f"change or unset {origin.removeprefix('environment ')}"
    if origin == "command line":
        return "change that option"
    return "change it there, or override it with --set"


def _names_at(model: type[BaseModel], location: Sequence[str]) -> list[str]:
    """Return the known keys of a nested table, empty where its model cannot be told."""
    current: Any = model
    for name in location:
        fields = getattr(current, "model_fields", {})
        if name not in fields:
            return []
        current = fields[name].annotation
    return known_keys(current) if isinstance(current, type) and issubclass(current, BaseModel) else []


_EXPECTED: Mapping[str, str] = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "string": "a text in quotes",
    "list": "a list",
    "tuple": "a list",
    "dict": "a table",
    "model": "a table",
    "path": "a path",
    "finite": "a finite number",
}


def _expected(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "cosolve_file":
        return "a file that exists"
    if kind in ("literal_error", "enum"):
        return f"one of {context['expected']}"
    bounds = {
        "greater_than": ("gt", "a number greater than"),
        "greater_than_equal": ("ge", "a number of at least"),
        "less_than": ("lt", "a number less than"),
        "less_than_equal": ("le", "a number of at most"),
    }
    if kind in bounds:
        name, words = bounds[kind]
        return f"{words} {context[name]:g}"
    if kind == "value_error":
        return str(context.get("error", detail["msg"]))
    return _EXPECTED.get(kind.split("_")[0], detail["msg"][:1].lower() + detail["msg"][1:])
