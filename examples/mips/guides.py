"""The guides that come with families, and models prepared by one: what benches and races share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from cosolve.core.errors import BadInputError
from pyscipopt import Model

GUIDES: Final = Path(__file__).parent


def shipped_guide(family: str) -> Path:
    """Return the path of the guide that comes with a family.

    Raises:
        BadInputError: None was trained.
    """
    path = GUIDES / f"{family.replace('-', '_')}.safetensors"
    if not path.is_file():
        known = ", ".join(sorted(one.stem.replace("_", "-") for one in GUIDES.glob("*.safetensors")))
        raise BadInputError(
            f"no guide for {family!r} comes with cosolve (there are: {known or 'none'}); train one with "
            "`cosolve train branching` and name it with --guide."
        )
    return path


def guided(path: Path, **switches: bool) -> Callable[[Model], Any]:
    """Return what guides a model by the guide at `path`, with some of its points switched off."""
    return partial(_guide, path, switches)


def _guide(path: Path, switches: Mapping[str, Any], model: Model) -> Any:
    import cosolve

    return cosolve.guide(model, path, **switches)


def first_use_seconds(path: Path, make: Callable[[], Model]) -> float:
    """Use a guide on a few nodes, and return the CPU seconds: compiling and checking itself, once on a machine.

    Args:
        path: The guide.
        make: Makes a model of the kind that it knows.
    """
    start = time.process_time()
    model = make()
    model.setParam("limits/totalnodes", 5)
    kept = guided(path)(model)
    model.optimize()
    del kept
    return time.process_time() - start
