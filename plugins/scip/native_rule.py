"""Puts the native branching rule into a model, keeps alive what it works with, and reads its counts."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from cosolve.core.arrays import Array
from cosolve.plugins.scip import rule_state as at
from cosolve.plugins.scip.decision import Decision, RuleCounts
from cosolve.plugins.scip.feature_names import NATIVE
from cosolve.plugins.scip.library import UnboundError, address_of, bind, handle
from cosolve.plugins.scip.network import Network
from pyscipopt import Model

NAME: Final = "cosolve"
WORK_LIMIT: Final = 5_000_000
"""Matrix entries of a node's candidates above which reading them would cost more than a good choice saves."""

AUDIT_EVERY: Final = 16
AUDIT_FROM: Final = 128
AUDIT_LIMIT: Final = 48

_alive: dict[int, NativeRule] = {}
_off = np.zeros(at.SIZE, np.int64)
"""What a detached rule works with: it leaves every node to SCIP."""


class NativeRule:
    """The native branching rule of one model.

    Args:
        model: In stage PROBLEM; the rule stays in it as long as it lives.
        network: Scores candidates; 66 inputs.
        priority: SCIP asks rules in the order of their priorities.
        probes: Length of the short list that strong branching judges at shallow nodes; 0 for none.
        probe_depth: Deepest node at which it does.
        probe_iterations: Iterations of the linear program for each side.
        audit: Whether a sample of the nodes goes to SCIP's own rule, see `cosolve.plugins.scip.audit`.
        trace: Decisions that are kept for `cosolve explain`.

    Raises:
        UnboundError: The native functions are not available, or SCIP refused the rule.
    """

    def __init__(
        self,
        model: Model,
        network: Network,
        *,
        priority: int,
        probes: int = 0,
        probe_depth: int = 0,
        probe_iterations: int = 0,
        audit: bool = True,
        trace: int = 0,
    ) -> None:
        bind()
        # Imported here: compiling it needs the functions that `bind` makes known.
        from cosolve.plugins.scip.rule import branch

        self._network = network
        self._callback = branch
        self._weights = network.flat()
        self._state = np.zeros(at.SIZE, np.int64)
        state = self._state
        state[at.WEIGHTS], state[at.WEIGHT_COUNT] = self._weights.ctypes.data, len(self._weights)
        state[at.UNITS], state[at.ON], state[at.WORK_LIMIT] = network.units, 1, WORK_LIMIT
        state[at.PROBES], state[at.PROBE_DEPTH], state[at.PROBE_ITERATIONS] = probes, probe_depth, probe_iterations
        self._numbers = np.zeros(at.AUDIT_SLOTS if audit else 0, np.int64)
        self._reals = np.zeros((at.AUDIT_SLOTS if audit else 0, 3))
        if audit:
            state[at.AUDIT_EVERY], state[at.AUDIT_FROM], state[at.AUDIT_LIMIT] = AUDIT_EVERY, AUDIT_FROM, AUDIT_LIMIT
            state[at.AUDIT_NEXT] = AUDIT_FROM + 256
            state[at.AUDIT_NODES], state[at.AUDIT_REALS] = self._numbers.ctypes.data, self._reals.ctypes.data
        self._longs = np.zeros((trace, at.LONGS), np.int64)
        self._kept = np.zeros((trace, at.REALS))
        self._inputs = np.zeros((trace, 2, len(NATIVE)), np.float32)
        self._names = np.zeros((trace, 2, at.NAME), np.uint8)
        state[at.TRACE_LIMIT] = trace
        state[at.TRACE_LONGS], state[at.TRACE_REALS] = self._longs.ctypes.data, self._kept.ctypes.data
        state[at.TRACE_INPUTS], state[at.TRACE_NAMES] = self._inputs.ctypes.data, self._names.ctypes.data
        self._address = address_of(model)
        self._include(priority)
        key = id(self)
        _alive[key] = self
        weakref.finalize(model, _alive.pop, key, None)

    def _include(self, priority: int) -> None:
        library = handle()
        find = _function(library, "SCIPfindBranchrule", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
        data = ctypes.c_void_p(self._state.ctypes.data)
        found = find(self._address, NAME.encode())
        if found:
            set_data = _function(library, "SCIPbranchruleSetData", None, ctypes.c_void_p, ctypes.c_void_p)
            set_data(found, data)
            set_priority = _function(
                library, "SCIPsetBranchrulePriority", ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int
            )
            _check(set_priority(self._address, found, priority), "change the priority of")
            return
        include = _function(
            library,
            "SCIPincludeBranchruleBasic",
            ctypes.c_int,
            *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p),
            *(ctypes.c_int, ctypes.c_int, ctypes.c_double, ctypes.c_void_p),
        )
        rule = ctypes.c_void_p()
        told = b"branches as a trained guide proposes"
        code = include(self._address, ctypes.byref(rule), NAME.encode(), told, priority, -1, 1.0, data)
        _check(code, "include")
        set_exec = _function(
            library, "SCIPsetBranchruleExecLp", ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
        )
        _check(set_exec(self._address, rule, ctypes.c_void_p(self._callback.address)), "activate")

    def detach(self, model: Model) -> None:
        """Leave every further node to SCIP's own rule. Idempotent."""
        self._state[at.ON] = 0

    def counts(self) -> RuleCounts:
        """Return what the rule has done so far."""
        state = self._state
        verdicts = {0: "", 1: "the guide branches no worse than SCIP's rule", 2: "SCIP's rule branches better"}
        return RuleCounts(
            calls=int(state[at.CALLS]),
            decided=int(state[at.DECIDED]),
            audited=int(state[at.AUDITED]),
            agreed=int(state[at.AGREED]),
            probed=int(state[at.PROBED]),
            seconds=1e-6 * float(state[at.MICROSECONDS]),
            declined={
                name: int(state[index])
                for name, index in (
                    ("a single candidate", at.TOO_FEW),
                    ("a matrix too large to read", at.TOO_DEAR),
                    ("a score that is not finite", at.NOT_FINITE),
                    ("a failed call of SCIP", at.FAILED),
                )
                if state[index]
            },
            verdict=verdicts[int(state[at.AUDIT_VERDICT])],
            handed_back=int(state[at.AUDIT_VERDICT]) == 2,
        )

    def decisions(self) -> list[Decision]:
        """Return the decisions that were traced, in order."""
        found = []
        for k in range(int(self._state[at.TRACED])):
            longs, reals = self._longs[k], self._kept[k]
            reasons = self._network.reasons(self._inputs[k, 0], self._inputs[k, 1])
            found.append(
                Decision(
                    node=int(longs[0]),
                    depth=int(longs[1]),
                    candidates=int(longs[2]),
                    variable=_text(self._names[k, 0]),
                    replaced=_text(self._names[k, 1]),
                    score=float(reals[0]),
                    second=float(reals[1]),
                    replaced_score=float(reals[2]),
                    bound=float(reals[3]),
                    probed=bool(longs[4]),
                    reasons=_largest(reasons, self._inputs[k]),
                )
            )
        return found


def _largest(reasons: Array, inputs: Array, count: int = 3) -> dict[str, tuple[float, float, float]]:
    """Return the inputs that spoke most for the choice: contribution, value there, value at the replaced choice."""
    order = np.argsort(-reasons)[:count]
    return {NATIVE[j]: (float(reasons[j]), float(inputs[0, j]), float(inputs[1, j])) for j in order if reasons[j] > 0.0}


def _text(letters: npt.NDArray[np.uint8]) -> str:
    name = bytes(letters).split(b"\0", 1)[0].decode("utf-8", "replace")
    return name.removeprefix("t_")


def _function(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    try:
        function = getattr(library, name)
    except AttributeError:
        raise UnboundError(f"this SCIP lacks {name}") from None
    function.restype, function.argtypes = result, list(arguments)
    return function


def _check(code: int, what: str) -> None:
    if code != 1:
        raise UnboundError(f"SCIP refused to {what} the branching rule (return code {code})")
