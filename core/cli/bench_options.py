"""Options that belong to one bench (`cosolve bench branching --family auctions`), checked against its options model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cosolve.core.entries import Entry
from cosolve.core.errors import BadInputError, unknown_name


def bench_options(entry: Entry, words: Sequence[str], data: Path | None = None) -> Any:
    """Return the bench's options as its model, or None for a bench that has none.

    Args:
        entry: The bench.
        words: What the command line has beside cosolve's own options: `--key value`, `--key=value`, or a lone `--key`,
            which says true.
        data: What `--data` said; becomes the option `data` of a bench that has one.

    Raises:
        BadInputError: An option is unknown or its value cannot be used; says the known ones.
    """
    # Imported here: --help needs none of it.
    from cosolve.core.options import check, known_keys

    model = entry.load_options()
    known = [f"--{key.replace('_', '-')}" for key in known_keys(model)] if model is not None else []
    values: dict[str, Any] = {"data": data} if data is not None and "--data" in known else {}
    rest = list(words)
    while rest:
        word, given, text = rest.pop(0).partition("=")
        if not word.startswith("--"):
            raise BadInputError(f"cosolve bench {entry.name}: expected an option, found {word!r}; remove it.")
        if word not in known:
            hint = "" if known else f"The bench {entry.name!r} takes no options of its own."
            raise BadInputError(f"cosolve bench {entry.name}: {unknown_name('option', word, known, hint=hint)}")
        if not given and rest and not rest[0].startswith("--"):
            given, text = "=", rest.pop(0)
        values[word[2:].replace("-", "_")] = text if given else True
    if model is None:
        return None
    key = f"bench.{entry.name}"
    return check(model, values, key=key, origins={key: "command line"}, source="command line")
