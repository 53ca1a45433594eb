"""Doctests of `cosolve.*`, from here: `--doctest-modules` would import each file a second time under another name."""

import doctest
import importlib
import pkgutil
import sys

import cosolve
import pytest


def module_names():
    names = []
    for package in ("core", "plugins", "couplings", "examples"):
        root = importlib.import_module(f"cosolve.{package}")
        names += [info.name for info in pkgutil.walk_packages(root.__path__, f"cosolve.{package}.")]
    return sorted(name for name in names if not name.endswith("__main__"))


def test_doctests():
    attempted, broken = 0, {}
    for name in module_names():
        try:
            module = importlib.import_module(name)
        except Exception as error:  # a library that is not installed here; told below
            broken[name] = error
            continue
        result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
        assert result.failed == 0, name
        attempted += result.attempted
    assert attempted >= 20
    missing = {error.name.partition(".")[0] for error in broken.values() if isinstance(error, ModuleNotFoundError)}
    unexplained = {
        name: error
        for name, error in broken.items()
        if not isinstance(error, ModuleNotFoundError) or str(error.name).startswith("cosolve")
    }
    assert not unexplained
    assert missing <= {"dolfinx", "petsc4py", "mpi4py", "torch", "pyscipopt", "ufl", "basix"}


def test_modules_are_imported_once():
    doubles = [name for name in sys.modules if name.startswith(("core.", "plugins.", "couplings."))]
    assert not doubles
    assert cosolve.__name__ == "cosolve"


@pytest.mark.parametrize("name", ["cosolve.core.errors", "cosolve.core.option_layers"])
def test_examples_of_docstrings_are_found(name):
    finder = doctest.DocTestFinder()
    assert any(test.examples for test in finder.find(importlib.import_module(name)))
