"""Guidance of branch and bound: a trained guide proposes, SCIP's own bounds and checks decide.

A proposal here has no verdict of its own. A branching variable, root settings or a start change the order of the
search, never a bound, so the optimum stays SCIP's, certified by SCIP. What a bad proposal costs is time, and three
gates keep that small: the guide is used only on instances like those of its training; it takes second place to the
user's own rules, parameters and pricers; and within a run a sample of the nodes goes to SCIP's rule, which takes over
when it branches better.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from cosolve.core.coupling import Coupling, CouplingContext, VerdictFalls
from cosolve.core.errors import BadInputError
from cosolve.core.ledger import Ledger
from cosolve.core.query import Transaction
from cosolve.core.registry import Registry
from cosolve.core.result import Result, Status
from cosolve.core.session import Session
from cosolve.couplings.guidance import Guidance, Points
from cosolve.couplings.options import BranchingOptions

_guides: dict[tuple[str, int, int], Any] = {}


def load_guide(path: str | Path) -> Any:
    """Return the guide of a model file; one that was read before is not read again.

    Raises:
        BadInputError: The file is missing, damaged, or no guide.
    """
    path = Path(path)
    try:
        stat = path.stat()
        key = (str(path.resolve()), stat.st_mtime_ns, stat.st_size)
    except OSError:
        key = (str(path), 0, 0)
    if key not in _guides:
        # Imported here: a Python function as a guide needs no safetensors.
        from cosolve.core.model_file import load_surrogate

        found = load_surrogate(path, Registry.discover())
        if not hasattr(found, "root_settings"):
            raise BadInputError(
                f"{path} holds the surrogate {found.name!r}, which does not guide SCIP; "
                "train a guide: `cosolve train branching`"
            )
        _guides.clear()
        _guides[key] = found
    return _guides[key]


_hosts: list[Any] = []


def _make_solver(model: Any) -> Any:
    """Return the registered solver `scip` around the user's model."""
    if not _hosts:
        _hosts.append(Registry.discover().load("solver", "scip", where="cosolve.guide"))
    return _hosts[0](model)


def guide(
    model: Any,
    guide: str | Path | Any,
    *,
    branching: bool = True,
    settings: bool = True,
    start: bool | Mapping[str, float] = True,
    nodes: Callable[[Any], Any] | None = None,
    insist: bool = False,
    audit: bool = True,
    ledger: str | Path | Ledger | None = None,
) -> Guidance:
    """Attach a trained guide to a SCIP model, in one line of a user's script (not collective).

    Example::

        model = pyscipopt.Model()
        model.readProblem("tomorrow.mps.gz")
        cosolve.guide(model, "fleet.safetensors")
        model.optimize()                       # the same optimum, certified by SCIP

    The guide never raises within SCIP, and changes no bound. Where it is not used, `Guidance.declined` says why.

    Args:
        model: A `pyscipopt.Model` before `optimize()`; the user's own plugins, parameters, priorities and seeds stay.
        guide: File of a trained guide, a guide, or a function that takes a node's inputs of shape (n, 20) and returns a
            score for each candidate (see `cosolve.plugins.scip.plain_features`).
        branching: Whether the guide proposes branching variables.
        settings: Whether it proposes root settings.
        start: A primal start, values by name of some or all variables, which SCIP completes and checks; True for one
            that the guide proposes, if it was trained to; False for none.
        nodes: A function that scores open nodes (see `cosolve.plugins.scip.node_selection`); None leaves them to SCIP.
        insist: Use the guide on instances unlike those of its training, too.
        audit: Whether a sample of the nodes of large trees goes to SCIP's own rule, which takes over when it branches
            better.
        ledger: Folder for the ledger; None writes nothing.

    Returns:
        The guidance. It need not be kept: what SCIP calls lives as long as the model. With a `ledger` keep it, and call
        its `optimize()`, or its `finish()` after the model's own, which writes what the guide did.

    Raises:
        BadInputError: The model is empty or solved already, or the guide cannot be used.
        PluginError: PySCIPOpt is not installed.
        OutputError: The ledger cannot be written.
    """
    solver = _make_solver(model)
    chosen = load_guide(guide) if isinstance(guide, str | Path) else guide
    if not (callable(chosen) or hasattr(chosen, "root_settings")):
        raise BadInputError(
            f"a guide is a model file, a guide that was read from one, or a function; found {type(chosen).__name__}"
        )
    given = ledger if isinstance(ledger, Ledger) or ledger is None else Ledger(ledger)
    session = Session(solver, None, mode="off", ledger=given)
    points = Points(branching, settings, start is not False, nodes is not None)
    values = start if isinstance(start, Mapping) else None
    guidance = Guidance(session, solver.host, chosen, points, start=values, nodes=nodes, insist=insist, audit=audit)
    if isinstance(given, Ledger) and given is not ledger:
        weakref.finalize(guidance, given.close)
    guidance.attach()
    return guidance


class Branching(Coupling):
    """Solves the case's mixed-integer program once, guided.

    Args:
        context: Session, solver (of SCIP), and the guides as proposers.
    """

    name: ClassVar[str] = "branching"
    transaction: ClassVar[Transaction] = "solve"
    verdict_falls: ClassVar[VerdictFalls] = "host"

    def __init__(self, context: CouplingContext) -> None:
        super().__init__(context)
        if not hasattr(context.solver, "host"):
            raise BadInputError(
                f"the coupling branching needs a solver with a branch and bound, found {context.solver.name!r}; "
                "use the problem `mip`"
            )
        if len(context.proposers) > 1:
            raise BadInputError(f"the coupling branching takes one guide, found {len(context.proposers)}")
        self.options = context.settings if isinstance(context.settings, BranchingOptions) else BranchingOptions()

    def run(self) -> Result:
        """Solve (not collective: SCIP runs on one rank)."""
        context, options = self.context, self.options
        solver: Any = context.solver
        guidance: Guidance | None = None
        if context.proposers and context.session.mode != "off":
            points = Points(options.branching, options.settings, options.start)
            guidance = Guidance(
                context.session,
                solver.host,
                context.proposers[0],
                points,
                insist=options.insist,
                audit=options.audit,
            ).attach()
            guidance.optimize()
        else:
            solver.host.model.optimize()
            if context.session.ledger is not None:
                context.session.ledger.write("guided", **solver.host.state())
        return _result(solver, guidance)


def _result(solver: Any, guidance: Guidance | None) -> Result:
    state = solver.host.state()
    ended = solver.ended()
    stats: dict[str, Any] = {"steps": 1, **{key: value for key, value in state.items() if value is not None}}
    if guidance is not None:
        stats |= {
            "decisions": guidance.decisions,
            "fallbacks": guidance.fallbacks,
            "inference_seconds": guidance.inference_seconds,
            "setup_seconds": guidance.setup_seconds,
        }
    stats["reached"] = ended
    status = Status.SUCCESS if solver.succeeded() else Status.NOT_CONVERGED
    message = "" if status is Status.SUCCESS else ended
    return Result(solver.solution(), status, stats=stats, message=message, t=math.nan)
