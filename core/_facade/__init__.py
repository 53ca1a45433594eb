"""Couple neural surrogates with classical solvers so that the answer keeps the guarantee of the solver.

Names are imported when they are first used: `import cosolve` loads neither numpy nor any solver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cosolve.core import errors as errors
    from cosolve.core.attachment import Attachment as Attachment
    from cosolve.core.coupling import Coupling as Coupling
    from cosolve.core.coupling import CouplingContext as CouplingContext
    from cosolve.core.domain import Domain as Domain
    from cosolve.core.entries import Entry as Entry
    from cosolve.core.explain import explain as explain
    from cosolve.core.field import Field as Field
    from cosolve.core.governor import Governor as Governor
    from cosolve.core.hookspecs import hookimpl as hookimpl
    from cosolve.core.ledger import Ledger as Ledger
    from cosolve.core.loop import Loop as Loop
    from cosolve.core.model_file import ModelCard as ModelCard
    from cosolve.core.model_file import load_surrogate as load_surrogate
    from cosolve.core.model_file import save_surrogate as save_surrogate
    from cosolve.core.options import Options as Options
    from cosolve.core.prediction import Prediction as Prediction
    from cosolve.core.problem import Problem as Problem
    from cosolve.core.query import Query as Query
    from cosolve.core.registry import Registry as Registry
    from cosolve.core.result import Result as Result
    from cosolve.core.result import Status as Status
    from cosolve.core.run import run as run
    from cosolve.core.run import run_case as run_case
    from cosolve.core.session import Session as Session
    from cosolve.core.solver import ResidualMeasure as ResidualMeasure
    from cosolve.core.solver import Solver as Solver
    from cosolve.core.solver import SolveResult as SolveResult
    from cosolve.core.surrogate import StoredSurrogate as StoredSurrogate
    from cosolve.core.surrogate import Surrogate as Surrogate
    from cosolve.core.verdict import Decision as Decision
    from cosolve.core.verdict import Grade as Grade
    from cosolve.core.verdict import Verdict as Verdict
    from cosolve.core.verifier import Verifier as Verifier
    from cosolve.couplings.branching import guide as guide
    from cosolve.couplings.coarse_start import CoarseLevel as CoarseLevel
    from cosolve.couplings.initial_guess import initial_guess as initial_guess
    from cosolve.couplings.preconditioner import preconditioner as preconditioner
    from cosolve.couplings.time_loop import time_loop as time_loop

__version__: Final = "0.1.0"

_HOME: Final = {
    "Attachment": "core.attachment",
    "CoarseLevel": "couplings.coarse_start",
    "Coupling": "core.coupling",
    "CouplingContext": "core.coupling",
    "Decision": "core.verdict",
    "Domain": "core.domain",
    "Entry": "core.entries",
    "Field": "core.field",
    "Governor": "core.governor",
    "Grade": "core.verdict",
    "Ledger": "core.ledger",
    "Loop": "core.loop",
    "ModelCard": "core.model_file",
    "Options": "core.options",
    "Prediction": "core.prediction",
    "Problem": "core.problem",
    "Query": "core.query",
    "Registry": "core.registry",
    "ResidualMeasure": "core.solver",
    "Result": "core.result",
    "Session": "core.session",
    "SolveResult": "core.solver",
    "Solver": "core.solver",
    "Status": "core.result",
    "StoredSurrogate": "core.surrogate",
    "Surrogate": "core.surrogate",
    "Verdict": "core.verdict",
    "Verifier": "core.verifier",
    "explain": "core.explain",
    "guide": "couplings.branching",
    "hookimpl": "core.hookspecs",
    "initial_guess": "couplings.initial_guess",
    "load_surrogate": "core.model_file",
    "preconditioner": "couplings.preconditioner",
    "run": "core.run",
    "run_case": "core.run",
    "save_surrogate": "core.model_file",
    "time_loop": "couplings.time_loop",
}
"""Module of each public name, below `cosolve`."""

__all__ = ["__version__", "errors", *_HOME]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    # Imported here: one line of a script that only registers a plugin should not pay for it.
    import importlib

    if name == "errors":
        return importlib.import_module("cosolve.core.errors")
    if name not in _HOME:
        from cosolve.core.errors import unknown_name

        raise AttributeError(unknown_name("name of cosolve", name, __all__))
    value = getattr(importlib.import_module(f"cosolve.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
