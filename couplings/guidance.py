"""What a guide does to one model: attaching point by point, declining with reasons, counting and recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from cosolve.core.attachment import Attachment
from cosolve.core.coupling import VerdictFalls
from cosolve.core.errors import BadInputError
from cosolve.core.query import Transaction
from cosolve.core.session import Session

POINTS = ("branching", "settings", "start", "nodes")
"""Where a guide may propose."""

TRACE = 2000
"""Decisions of a run that are kept for `cosolve explain` where there is a ledger."""


@dataclass(slots=True)
class Points:
    """Which proposals are wanted.

    Attributes:
        branching: Branching variables.
        settings: Root settings.
        start: A primal start.
        nodes: Which open node comes next; only with a function of the user.
    """

    branching: bool = True
    settings: bool = True
    start: bool = True
    nodes: bool = False


@dataclass(slots=True)
class Declined:
    """A point at which the guide proposes nothing.

    Attributes:
        point: `"branching"`, `"settings"` or `"start"`.
        reason: Why, in a sentence.
    """

    point: str
    reason: str


class Guidance(Attachment):
    """A guide that is attached to a model; the model's own `optimize()` runs it.

    Args:
        session: Of the model's solver; holds the ledger.
        host: The model, as the solver's plugin shows it.
        guide: The guide, or a function that scores the candidates of a node by their plain inputs.
        points: Which proposals are wanted.
        start: Values by name of variable for a primal start; None for one that the guide proposes, if it does.
        nodes: Scores open nodes; None leaves them to SCIP.
        insist: Use the guide on instances unlike those of its training, too.
        audit: Whether a sample of the nodes goes to SCIP's own rule.

    Attributes:
        setup_seconds: CPU seconds of attaching.
        declined: Points at which nothing is proposed, with the reasons.
        kept: Parameters that were left as the user had set them.
        features: Measured features of the instance.
        selector: The node selector with its counts (see `cosolve.plugins.scip.node_selection`); None without one.
    """

    name: ClassVar[str] = "branching"
    transaction: ClassVar[Transaction] = "solve"
    verdict_falls: ClassVar[VerdictFalls] = "host"

    def __init__(
        self,
        session: Session,
        host: Any,
        guide: Any,
        points: Points,
        *,
        start: Mapping[str, float] | None = None,
        nodes: Any = None,
        insist: bool = False,
        audit: bool = True,
    ) -> None:
        super().__init__(session)
        self.host = host
        self.guide = guide
        self.points = points
        self.setup_seconds = 0.0
        self.declined: list[Declined] = []
        self.kept: tuple[str, ...] = ()
        self.features: dict[str, float] = {}
        self._start = start
        self._nodes = nodes
        self.selector: Any = None
        self._insist = insist
        self._audit = audit
        self._rule: Any = None
        self._native = False
        self._applied = ""
        self._told = ""
        self._written = 0

    # Attaching
    def _attach(self) -> None:
        began = self.host.clock()
        stored = hasattr(self.guide, "outside")
        plugins = self.host.user_plugins()
        why = self._unlike(stored)
        if not why and plugins.pricers:
            why = (
                f"the pricer {plugins.pricers[0]!r} adds columns, and the guide cannot judge whether a branching keeps "
                "its subproblem solvable"
            )
        first, rule_first = _priority(plugins)
        started = self.points.start and self._attach_start(why if stored else "")
        if self.points.settings:
            self._attach_settings(why, plugins, stored, started)
        if self.points.branching:
            self._attach_branching(why or rule_first, first)
        if self.points.nodes:
            self._attach_nodes(plugins)
        self.setup_seconds = self.host.clock() - began
        self._record_guidance()

    def _unlike(self, stored: bool) -> str:
        """Return why the guide should not be used on this instance at all."""
        why: str = self.host.unfit()
        if why or not stored:
            return why
        found = self.host.scip_version()
        if self.guide.scip and self.guide.scip != found:
            return f"the guide was trained with SCIP {self.guide.scip}, and this is SCIP {found}: train it again"
        if self._insist or not self.guide.envelope:
            return ""
        try:
            self.features = self.host.measure()
        except Exception as error:  # an instance that cannot be measured is one that the guide does not know
            return f"the instance could not be measured: {error}"
        outside = self.guide.outside(self.features)
        return f"the instance is unlike those of the guide's training: {outside}" if outside else ""

    def _attach_settings(self, why: str, plugins: Any, stored: bool, started: bool) -> None:
        settings = self.guide.root_settings if stored else None
        if settings is None:
            return
        if why:
            self.declined.append(Declined("settings", why))
            return
        own = (*plugins.constraints, *plugins.separators)
        if own:
            cut = {name: value for name, value in settings.params.items() if not name.startswith("separating/")}
            if len(cut) < len(settings.params):
                reason = f"separation is left as it is, because {own[0]!r} of the user may separate"
                self.declined.append(Declined("settings", reason))
                settings = type(settings)(settings.name, cut)
        if self.guide.start_steps and not started:
            # They were found for searches that begin with a good solution, which no heuristic has to look for.
            left = {name: value for name, value in settings.params.items() if not name.startswith("heuristics/")}
            settings = type(settings)(settings.name, left)
        self.kept = self.host.apply(settings)
        self._applied = settings.name

    def _attach_branching(self, why: str, priority: int) -> None:
        if why:
            self.declined.append(Declined("branching", why))
            return
        trace = TRACE if self.session.ledger is not None else 0
        try:
            self._rule, plain = self.host.attach_branching(
                self.guide, priority=priority, audit=self._audit, trace=trace
            )
        except BadInputError as error:
            self.declined.append(Declined("branching", str(error)))
            return
        self._native = not plain
        self._told = plain

    def _attach_start(self, why: str) -> bool:
        """Give the user's start, or the guide's; return whether SCIP took one in."""
        if self._start is not None:
            taken, told = self.host.add_start(self._start)
        elif not getattr(self.guide, "start_steps", 0):
            return False
        elif why:
            taken, told = False, why
        else:
            taken, told = self.host.propose_start(self.guide)
        if not taken:
            self.declined.append(Declined("start", told))
        return bool(taken)

    def _attach_nodes(self, plugins: Any) -> None:
        if plugins.selectors:
            reason = f"the user chose the node selector {plugins.selectors[0]!r}"
            self.declined.append(Declined("nodes", reason))
        elif self._nodes is not None:
            self.selector = self.host.attach_nodes(self._nodes)

    def _detach(self) -> None:
        self.finish()
        if self._rule is not None:
            self._rule.detach(self.host.model)

    # Running
    def optimize(self) -> str:
        """Solve the model, write the ledger's records, and return SCIP's status.

        `model.optimize()` does the same but for the records, which `finish` writes then.
        """
        self.solve("SCIP", self.host.model.optimize)
        self.finish()
        return str(self.host.model.getStatus())

    def finish(self) -> None:
        """Write what the guide did to the ledger; again after a further solve. Idempotent."""
        ledger = self.session.ledger
        if ledger is None:
            return
        decisions = self._rule.decisions() if self._rule is not None else []
        counts = self.counts()
        if counts is None and self._written:
            return
        for one in decisions[self._written :]:
            ledger.write("branching", **one.as_record())
        self._written = max(len(decisions), 1)
        ledger.write("guided", **(self._counted() | self.host.state()))

    # What it did
    def counts(self) -> Any:
        """Return the rule's counts (see `cosolve.plugins.scip.decision.RuleCounts`); None without a rule."""
        return None if self._rule is None else self._rule.counts()

    @property
    def inference_seconds(self) -> float:
        """CPU seconds in features and network so far."""
        counts = self.counts()
        return 0.0 if counts is None else float(counts.seconds)

    @property
    def decisions(self) -> int:
        """Nodes at which the guide chose."""
        counts = self.counts()
        return 0 if counts is None else int(counts.decided)

    @property
    def fallbacks(self) -> int:
        """Nodes that were left to SCIP's own rule because of a fault or a limit."""
        counts = self.counts()
        return 0 if counts is None else sum(counts.declined.values())

    @property
    def governed(self) -> bool:
        """Whether the governor has handed the branching back to SCIP."""
        counts = self.counts()
        return False if counts is None else bool(counts.handed_back)

    @property
    def native(self) -> bool:
        """Whether the branching rule is native code."""
        return self._native

    def _record_guidance(self) -> None:
        if self.session.ledger is None:
            return
        self.session.ledger.write(
            "guidance",
            points=[name for name in POINTS if getattr(self.points, name)],
            declined=[{"point": one.point, "reason": one.reason} for one in self.declined],
            settings=self._applied,
            kept=list(self.kept),
            native=self._native,
            why_not_native=self._told,
            features=self.features,
            setup_seconds=self.setup_seconds,
        )

    def _counted(self) -> dict[str, Any]:
        counts = self.counts()
        if counts is None:
            return {}
        return {
            "calls": counts.calls,
            "decided": counts.decided,
            "agreed": counts.agreed,
            "audited": counts.audited,
            "probed": counts.probed,
            "declined": dict(counts.declined),
            "verdict": counts.verdict,
            "handed_back": counts.handed_back,
            "inference_seconds": counts.seconds,
        }


_SCIP_FIRST = 10_000
_ABOVE = 2_000_000


def _priority(plugins: Any) -> tuple[int, str]:
    """Return the priority of the guide's rule, below the user's own rules, and why it would never be asked."""
    for name, priority in plugins.raised.items():
        if priority > _SCIP_FIRST:
            return 0, f"the user chose SCIP's rule {name!r} (priority {priority})"
    own = [priority for priority in plugins.rules.values() if priority > _SCIP_FIRST]
    if not own:
        return _ABOVE, ""
    priority = min(_ABOVE, min(own) - 1)
    if priority <= _SCIP_FIRST:
        return 0, "the user's own branching rule leaves no priority above SCIP's rules for the guide"
    return priority, ""
