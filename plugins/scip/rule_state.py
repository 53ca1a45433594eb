"""What the native branching rule works with: one array of whole numbers that SCIP hands back to it at each call."""

from __future__ import annotations

from typing import Final

# What it is given.
WEIGHTS: Final = 0  # address of `Network.flat()`
WEIGHT_COUNT: Final = 1
UNITS: Final = 2
ON: Final = 3  # 1 while the guide decides, 0 once SCIP's own rule has taken over
WORK_LIMIT: Final = 4  # matrix entries that the features of one node may read
PROBES: Final = 5  # candidates of the short list that strong branching judges; below 2 for none
PROBE_DEPTH: Final = 6  # deepest node at which it does
PROBE_ITERATIONS: Final = 7  # iterations of the linear program that each side may take

# What it has done.
CALLS: Final = 8
DECIDED: Final = 9
AUDITED: Final = 10
TOO_FEW: Final = 11
TOO_DEAR: Final = 12
NOT_FINITE: Final = 13
FAILED: Final = 14
MICROSECONDS: Final = 15
AGREED: Final = 16  # decisions that the pseudo-cost rule would have made, too
PROBED: Final = 17

# The audit, see `cosolve.plugins.scip.audit`.
AUDIT_EVERY: Final = 18  # one node in so many goes to SCIP's own rule; 0 for no audit
AUDIT_FROM: Final = 19  # first call that may
AUDIT_LIMIT: Final = 20  # audited nodes after which the audit ends
AUDIT_NEXT: Final = 21  # call at which the next verdict falls
AUDIT_NODES: Final = 22  # address of the audited nodes' numbers
AUDIT_REALS: Final = 23  # address of their bounds, gaps and remaining gaps
AUDIT_VERDICT: Final = 24  # 0 none yet, 1 the guide is no worse, 2 SCIP's rule is better

# The trace, for `cosolve explain`.
TRACE_LIMIT: Final = 25
TRACED: Final = 26
TRACE_LONGS: Final = 27
TRACE_REALS: Final = 28
TRACE_INPUTS: Final = 29
TRACE_NAMES: Final = 30

SIZE: Final = 32

AUDIT_SLOTS: Final = 8192
"""Nodes that the audit remembers; a power of two."""

LONGS: Final = 5  # node, depth, candidates, whether the rules agree, whether strong branching was asked
REALS: Final = 4  # score of the choice, of the second, of the replaced rule's choice; bound of the node
NAME: Final = 48  # bytes of a variable's name
