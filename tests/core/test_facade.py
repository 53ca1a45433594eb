"""The facade: every public name resolves, is typed, and costs nothing until it is used."""

from __future__ import annotations

import ast
from pathlib import Path

import cosolve
import pytest
from cosolve.core.errors import CosolveError


@pytest.mark.parametrize("name", sorted(set(cosolve.__all__)))
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(cosolve, name) is not None
    assert name in dir(cosolve)


def test_a_misspelt_name_says_the_nearest() -> None:
    with pytest.raises(AttributeError, match="unknown name of cosolve 'Sesion'; did you mean 'Session'"):
        cosolve.Sesion  # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(str(cosolve.__file__)).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        (alias.asname, f"{node.module}")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    lazy = {(name, f"cosolve.{module}") for name, module in cosolve._HOME.items()}
    assert typed == lazy | {("errors", "cosolve.core")}


def test_errors_are_a_module_of_the_facade() -> None:
    assert cosolve.errors.CosolveError is CosolveError
