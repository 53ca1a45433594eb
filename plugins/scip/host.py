"""What a guide may do to a model, and what the user's own plugins forbid: SCIP's side of the coupling `branching`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cosolve.core.errors import BadInputError
from cosolve.plugins.scip.decision import Decision, RuleCounts
from cosolve.plugins.scip.guide import MIPGuide
from cosolve.plugins.scip.handshake import why_not_native
from cosolve.plugins.scip.instance_features import measure
from cosolve.plugins.scip.library import UnboundError, version
from cosolve.plugins.scip.node_selection import NodeScorer, ScoredNodes
from cosolve.plugins.scip.plain_rule import PythonRule, Scorer
from cosolve.plugins.scip.settings import RULE_PRIORITY, Settings, defaults
from cosolve.plugins.scip.starts import add_start, propose_start
from pyscipopt import SCIP_STAGE, Model

PRIORITY: Final = 2_000_000
"""Of the guide's rule: above SCIP's own and above what settings choose."""


class Rule(Protocol):
    """A branching rule in a model: native, or in Python."""

    def counts(self) -> RuleCounts:
        """Return what it has done so far."""

    def decisions(self) -> list[Decision]:
        """Return the traced decisions."""

    def detach(self, model: Model) -> None:
        """Leave every further node to SCIP's own rule."""


@dataclass(frozen=True, slots=True)
class UserPlugins:
    """What the user brought into a model.

    Attributes:
        pricers: Names of pricers.
        constraints: Names of constraint handlers.
        separators: Names of separators.
        rules: Own branching rules by name, with their priorities.
        raised: SCIP's rules whose priority the user changed, with it.
        selectors: Node selectors that the user brought, or whose priority the user changed.
    """

    pricers: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    separators: tuple[str, ...] = ()
    rules: Mapping[str, int] = field(default_factory=dict)
    raised: Mapping[str, int] = field(default_factory=dict)
    selectors: tuple[str, ...] = ()


class ScipHost:
    """One model as a host of guidance.

    Args:
        model: In stage PROBLEM, that is before `optimize()`.

    Raises:
        BadInputError: It is no model, or is in another stage; says what to do.
    """

    def __init__(self, model: Model) -> None:
        if not isinstance(model, Model):
            raise BadInputError(f"guide needs a pyscipopt.Model, found {type(model).__name__}")
        stage = model.getStage()
        if stage == SCIP_STAGE.INIT:
            raise BadInputError("the model is empty: add variables or read a problem before cosolve.guide")
        if stage != SCIP_STAGE.PROBLEM:
            raise BadInputError(
                f"the model is in SCIP's stage {model.getStageName()}: call cosolve.guide before optimize(), or "
                "model.freeTransform() first"
            )
        self.model = model

    def unfit(self) -> str:
        """Return why there is nothing to guide; empty when there is."""
        if self.model.getNVars(transformed=False) == 0:
            return "the model has no variables"
        if self.model.getNBinVars() + self.model.getNIntVars() == 0:
            return "the model has no integer variables, so there is nothing to branch on"
        if "exact/enable" in defaults() and self.model.getParam("exact/enable"):
            return "SCIP solves exactly, and in that mode asks only rules that are marked for it"
        return ""

    def user_plugins(self) -> UserPlugins:
        """Return what the user brought, as SCIP's own list of parameters shows it."""
        now, before = self.model.getParams(), defaults()
        found: dict[str, list[str]] = {"pricers": [], "constraints": [], "separating": []}
        rules: dict[str, int] = {}
        raised: dict[str, int] = {}
        selectors: list[str] = []
        for name, value in now.items():
            parts = name.split("/")
            if len(parts) != 3:
                continue
            group, plugin, what = parts
            if group == "branching" and what == "priority" and plugin not in ("cosolve", "cosolve_python"):
                if name not in before:
                    rules[plugin] = int(value)
                elif value not in (before[name], RULE_PRIORITY):  # the latter: settings chose, not the user
                    raised[plugin] = int(value)
            if group == "nodeselection" and what == "stdpriority" and value != before.get(name):
                selectors.append(plugin)
            if name in before:
                continue
            if group in found and what in ("priority", "sepafreq") and plugin not in found[group]:
                found[group].append(plugin)
        return UserPlugins(
            tuple(found["pricers"]),
            tuple(found["constraints"]),
            tuple(found["separating"]),
            rules,
            raised,
            tuple(selectors),
        )

    def measure(self) -> dict[str, float]:
        """Return the instance's features.

        Raises:
            UnboundError: This SCIP lacks a function that they need.
        """
        return measure(self.model)

    def scip_version(self) -> str:
        """Return major and minor version as text."""
        major, minor = version()
        return f"{major}.{minor}"

    def apply(self, settings: Settings) -> tuple[str, ...]:
        """Apply root settings and return the parameters that were left as the user had set them."""
        return settings.apply(self.model)

    def attach_branching(self, guide: MIPGuide | Scorer, *, priority: int, audit: bool, trace: int) -> tuple[Rule, str]:
        """Put a branching rule into the model; return it, and why it is not the native one (empty when it is).

        Args:
            guide: A guide with a network, or a function that scores plain inputs.
            priority: Of the rule.
            audit: Whether the governor compares with SCIP's own rule.
            trace: Decisions that are kept for `cosolve explain`.

        Raises:
            BadInputError: The guide has no network that can be used here.
        """
        if not isinstance(guide, MIPGuide):
            python = PythonRule(guide, trace=trace)
            python.include(self.model, priority)
            return python, "the guide is a Python function"
        if guide.network is None and guide.plain is None:
            raise BadInputError("the guide has no network: its training left the branching out")
        why = "the guide has no network for native features"
        if guide.network is not None:
            why = why_not_native()
            if not why:
                # Imported here: it loads numba.
                from cosolve.plugins.scip.native_rule import NativeRule

                try:
                    rule = NativeRule(
                        self.model,
                        guide.network,
                        priority=priority,
                        probes=guide.probes,
                        probe_depth=guide.probe_depth,
                        probe_iterations=guide.probe_iterations,
                        audit=audit,
                        trace=trace,
                    )
                    return rule, ""
                except UnboundError as error:
                    why = str(error)
        if guide.plain is None:
            raise BadInputError(f"the guide has no network for plain PySCIPOpt features, and {why}")
        python = PythonRule(guide.plain.scores, trace=trace)
        python.include(self.model, priority)
        return python, why

    def attach_nodes(self, score: NodeScorer) -> ScoredNodes:
        """Let a function choose among open nodes."""
        selector = ScoredNodes(score)
        selector.include(self.model)
        return selector

    def add_start(self, values: Mapping[str, float]) -> tuple[bool, str]:
        """Give SCIP a start, values by name of some or all variables; see `cosolve.plugins.scip.starts`."""
        return add_start(self.model, values)

    def propose_start(self, guide: MIPGuide) -> tuple[bool, str]:
        """Search for a start as the guide was trained to, and give it to SCIP, which checks it."""
        return propose_start(self.model, guide.start_steps)

    def state(self) -> dict[str, Any]:
        """Return where the search stands: plain values for the ledger."""
        model = self.model
        solved = model.getStage() not in (SCIP_STAGE.PROBLEM, SCIP_STAGE.INIT)
        known = solved and model.getNSols() > 0
        return {
            "status": model.getStatus(),
            "objective": model.getObjVal() if known else None,
            "dual_bound": model.getDualbound() if solved else None,
            "nodes": model.getNTotalNodes() if solved else 0,
            "lp_iterations": model.getNLPIterations() if solved else 0,
            "strong_branching_iterations": model.getNStrongbranchLPIterations() if solved else 0,
            "scip_seconds": model.getSolvingTime() if solved else 0.0,
        }

    def clock(self) -> float:
        """Return CPU seconds of this process."""
        return time.process_time()
