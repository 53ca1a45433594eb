"""The cost governor: a surrogate that loses time is switched off, and asked again at growing intervals.

Each proposer has an account. It compares the measured cost of a transaction from the moment in which the proposer is
asked (proposing, judging, correcting, and whatever followed when it was rejected) with the cost of the same rest of a
transaction without it: reference transactions at the start and now and then, and, for free, what followed each
rejection. A proposer pays while the mean of the first is below both mean and median of the second: one slow reference
must not make it look cheap, and neither must a solver whose steps are of two kinds. A reference below the cost with
the proposer is followed by others soon: the solver may have become cheaper.

What asking may cost is bounded by design: a switched-off proposer is probed again after 16, 32, 64, ...
transactions, and only while the net price of all that was asked so far is below `price_share` of the time spent. So
a useless surrogate costs at most that share, and the first trial, which a long run forgets.

All inputs are maxima over the ranks, so every rank decides the same without a message. Clocks differ from run to
run: `replay` takes the decisions from a ledger instead.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

from cosolve.core.errors import BadInputError

GovernorMode = Literal["measured", "replay", "off"]

_START_REFERENCES: Final = 2
_TRIALS: Final = 4
_PROBES: Final = 2
_FIRST_INTERVAL: Final = 16
_LONGEST_INTERVAL: Final = 4096
_FIRST_GAP: Final = 4
_LONGEST_GAP: Final = 64
_MARGIN: Final = 1.02
_HOPELESS: Final = 3.0
_DEAR: Final = 1e30
"""Seconds of asking that stand for a proposer that was given up."""


@dataclass(slots=True)
class Account:
    """What is known of one proposer; all times in seconds, maxima over the ranks."""

    on: bool = True
    references: deque[float] = field(default_factory=lambda: deque(maxlen=9))
    hybrid: deque[float] = field(default_factory=lambda: deque(maxlen=16))
    own: deque[float] = field(default_factory=lambda: deque(maxlen=2))
    reference_count: int = 0
    asked: int = 0
    asked_since_reference: int = 0
    transactions: int = 0
    gap: int = _FIRST_GAP
    interval: int = _FIRST_INTERVAL
    longest_interval: int = _LONGEST_INTERVAL
    next_probe: int = 0
    price: float = 0.0
    reference_price: float = 0.0
    total: float = 0.0
    why: str = "on"

    @property
    def solver_seconds(self) -> float:
        """Cost without the proposer, the smaller of median and mean; infinite while unknown."""
        if not self.references:
            return float("inf")
        return min(statistics.median(self.references), sum(self.references) / len(self.references))

    def wanted(self, price_share: float) -> bool:
        """Return whether the proposer is asked in the next transaction."""
        affordable = price_share * self.total
        if self.on:
            if self.reference_count < _START_REFERENCES:
                self.why = "reference"
                return False
            if self.asked_since_reference >= self.gap and self.reference_price <= affordable:
                self.why = "reference"
                return False
            self.why = "on"
            return True
        if self.transactions >= self.next_probe and self.price <= affordable:
            self.why = "probe"
            return True
        self.why = "off"
        return False

    def was_asked(self, seconds: float, own_seconds: float, followed: bool, given_up: bool = False) -> str:
        """Take in a transaction in which the proposer was asked; return the event, if any.

        Args:
            seconds: Cost from the moment in which it was asked to the end.
            own_seconds: The part that asking and judging it took.
            followed: Whether something else had to give the value, so that the rest measures doing without it.
            given_up: Whether the host gave it up on its way.
        """
        self.asked += 1
        self.asked_since_reference += 1
        reference = self.solver_seconds
        if followed:
            self.add_reference(seconds - own_seconds, 0.0)
        if self.asked == 1:
            if given_up:
                self.own.append(_DEAR)
            return ""  # the first call loads and compiles: its time says nothing of the next ones
        self.hybrid.append(seconds)
        self.own.append(_DEAR if given_up else own_seconds)
        if reference == float("inf"):
            return ""
        self.price = max(0.0, self.price + seconds - reference)
        mean = sum(self.hybrid) / len(self.hybrid)
        hopeless = own_seconds >= _HOPELESS * reference or (
            len(self.own) == self.own.maxlen and min(self.own) >= reference
        )
        losing = mean > _MARGIN * reference
        if self.on:
            if hopeless or (losing and len(self.hybrid) >= _TRIALS):
                self._switch_off(_FIRST_INTERVAL)
                return "switched off"
            return ""
        if hopeless or losing:
            if hopeless or len(self.hybrid) >= _PROBES:
                self._switch_off(min(2 * self.interval, self.longest_interval))
                return "probed, stays off"
        elif len(self.hybrid) >= _PROBES:
            self.on = True
            self.hybrid.clear()
            return "switched on"
        return ""

    def add_reference(self, seconds: float, extra: float) -> None:
        """Take in a measured cost without the proposer, and what measuring it cost beyond asking."""
        if self.reference_count == 1:
            self.references.clear()  # the first one, with its warm-up, served until there was another
        self.references.append(seconds)
        self.reference_count += 1
        if self.on and self.hybrid and seconds < sum(self.hybrid) / len(self.hybrid):
            self.gap = _FIRST_GAP
        elif self.asked_since_reference >= self.gap:
            self.gap = min(2 * self.gap, _LONGEST_GAP)
        self.asked_since_reference = 0
        self.reference_price = max(0.0, self.reference_price + extra)

    def memory(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: list(value) if isinstance(value, deque) else value for name, value in values.items()}

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Take back what `memory` returned; unknown names are left out.

        Raises:
            ValueError: A value is of another kind; TypeError likewise.
        """
        for item in fields(self):
            if item.name in memory:
                old, new = getattr(self, item.name), memory[item.name]
                kept = deque(map(float, new), maxlen=old.maxlen) if isinstance(old, deque) else type(old)(new)
                setattr(self, item.name, kept)

    def _switch_off(self, interval: int) -> None:
        self.on = False
        self.interval = interval
        self.next_probe = self.transactions + interval
        self.hybrid.clear()
        self.own.clear()


@dataclass(frozen=True, slots=True)
class Asked:
    """One position of the chain of proposers in a transaction.

    Attributes:
        name: The proposer.
        asked: Whether it was asked; False where the governor left it out.
        own_seconds: What asking and judging it took, 0 where it was left out.
        followed: Whether something after it in the chain, or the solver, had to give the value.
        given_up: Whether the host gave it up on its way; twice in a row is as bad as asking dearly.
    """

    name: str
    asked: bool
    own_seconds: float = 0.0
    followed: bool = False
    given_up: bool = False


class Governor:
    """Decides which proposers are asked.

    Args:
        mode: `measured` compares costs, `replay` repeats recorded decisions, `off` asks always.
        decisions: For `replay`: the names asked, by step; a list for each step, one set for each transaction that
            has that number. `decisions_of` reads them from the records of a ledger.
        price_share: Largest share of the time that useless asking, and measuring without it, may each cost.
        longest_interval: Most transactions for which a switched-off proposer waits until it is probed again; a small
            one suits runs whose regime changes, the share of above bounds the price all the same.

    Raises:
        BadInputError: `replay` without decisions, a share outside (0, 1), or an interval below the first, 16.
    """

    def __init__(
        self,
        mode: GovernorMode = "measured",
        decisions: Mapping[int, Sequence[Iterable[str]]] | None = None,
        *,
        price_share: float = 0.02,
        longest_interval: int = _LONGEST_INTERVAL,
    ) -> None:
        if mode not in ("measured", "replay", "off"):
            raise BadInputError(f"governor mode must be measured, replay or off, got {mode!r}")
        if mode == "replay" and decisions is None:
            raise BadInputError("governor mode 'replay' needs decisions; give the folder of the run to repeat")
        if not 0.0 < price_share < 1.0:
            raise BadInputError(f"governor price_share must be between 0 and 1, got {price_share!r}")
        if longest_interval < _FIRST_INTERVAL:
            raise BadInputError(
                f"governor longest_interval must be at least {_FIRST_INTERVAL}, got {longest_interval!r}"
            )
        self.mode: Final = mode
        self._price_share = price_share
        self._longest_interval = longest_interval
        self._accounts: dict[str, Account] = {}
        self._recorded = {step: [frozenset(names) for names in plans] for step, plans in (decisions or {}).items()}
        self._next_plan: dict[int, int] = {}

    def plan(self, step: int, names: Sequence[str]) -> tuple[str, ...]:
        """Return those of `names` that are asked in this transaction, in order (the same on every rank).

        Raises:
            BadInputError: The replayed ledger has no decision for this step.
        """
        if self.mode == "off" or not names:
            return tuple(names)
        if self.mode == "replay":
            plans = self._recorded.get(step, [])
            index = self._next_plan.get(step, 0)
            if index >= len(plans):
                last = max(self._recorded, default=-1)
                raise BadInputError(
                    f"the replayed ledger has no decision number {index + 1} for step {step}, its last step is {last}; "
                    "replay a run that is at least as long, or use governor mode 'measured' or 'off'"
                )
            self._next_plan[step] = index + 1
            return tuple(name for name in names if name in plans[index])
        return tuple(name for name in names if self._account(name).wanted(self._price_share))

    def why(self, name: str) -> str:
        """Return why a proposer was asked or not in the transaction planned last.

        `on`, `reference` (the cost without it is measured), `probe`, `off` (switched off), or the governor's mode where
        that decides.
        """
        return self._account(name).why if self.mode == "measured" else self.mode

    def record(self, chain: Sequence[Asked], total_seconds: float) -> list[dict[str, Any]]:
        """Take in the measured cost of a transaction; return what changed, for the ledger.

        Args:
            chain: The proposers in order, up to and with the one that gave the value.
            total_seconds: Cost of the transaction without the machinery, the same on every rank.
        """
        if self.mode != "measured":
            return []
        events = []
        rest = total_seconds
        for link in chain:
            account = self._account(link.name)
            account.transactions += 1
            account.total += total_seconds
            if link.asked:
                event = account.was_asked(rest, link.own_seconds, link.followed, link.given_up)
                if event:
                    events.append(self._event(link.name, account, event, rest))
                rest -= link.own_seconds
            else:
                hybrid = sum(account.hybrid) / len(account.hybrid) if account.hybrid and account.on else rest
                account.add_reference(rest, rest - hybrid)
        return events

    def account(self, name: str) -> Account:
        """Return what is known of a proposer, for reports and tests."""
        return self._account(name)

    def memory(self) -> dict[str, Any]:
        """Return all accounts as JSON values, for a checkpoint."""
        return {name: account.memory() for name, account in self._accounts.items()}

    def restore(self, memory: Mapping[str, Mapping[str, Any]]) -> None:
        """Take back what `memory` returned."""
        for name, values in memory.items():
            self._account(name).restore(values)

    def _account(self, name: str) -> Account:
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = Account(longest_interval=self._longest_interval)
        return account

    @staticmethod
    def _event(name: str, account: Account, event: str, seconds: float) -> dict[str, Any]:
        return {
            "proposer": name,
            "event": event,
            "hybrid_seconds": seconds,
            "solver_seconds": account.solver_seconds,
            "next_probe_in": max(0, account.next_probe - account.transactions) if not account.on else 0,
            "price_seconds": account.price,
        }


def decisions_of(records: Iterable[Mapping[str, Any]]) -> dict[int, list[frozenset[str]]]:
    """Return the decisions of a run from the records of its ledger, for `Governor("replay", ...)`.

    A run that was resumed from a checkpoint repeats steps: what lies after the checkpoint counts once, as repeated.
    """
    decisions: dict[int, list[frozenset[str]]] = {}
    for record in records:
        if record.get("kind") == "resumed":
            decisions = {step: plans for step, plans in decisions.items() if step < record["step"]}
        elif record.get("kind") == "step":
            # A solver that asks proposers itself (a preconditioned KSP) notes its plan.
            plan = record["plan"] or record.get("solver_notes", {}).get("plan", ())
            decisions.setdefault(int(record["step"]), []).append(frozenset(plan))
    return decisions
