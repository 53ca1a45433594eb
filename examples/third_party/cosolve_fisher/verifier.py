"""A judge that knows the equation: a solution that starts in [0, 1] stays there."""

import numpy as np
from cosolve import Decision, Grade, Verdict, Verifier


class BoundedResidual(Verifier):
    """Rejects what leaves [0, 1] by more than rounding; else the residual decides.

    Args:
        accept_fraction: Fraction of the solver's tolerance below which a proposal is accepted.
        slack: How far a value may lie outside.
    """

    name = "bounded_residual"
    grade = Grade.CERTIFIED
    guarantees = "the residual is below a fraction of the solver's tolerance, and all values lie in [0, 1]"
    does_not_guarantee = "a small error"

    def __init__(self, accept_fraction=0.5, slack=1e-6):
        self.accept_fraction, self.slack = accept_fraction, slack

    def _judge(self, solver, query, prediction):
        value = prediction.value
        outside = np.array(float(np.count_nonzero((value < -self.slack) | (value > 1.0 + self.slack))))
        everywhere = np.zeros(())
        solver.comm.Allreduce(outside, everywhere)  # a sum: the same verdict on every rank
        if everywhere > 0:
            reason = f"{int(everywhere)} values lie outside of [0, 1]"
            return Verdict(Decision.REJECT, self.grade, float(everywhere), 0.0, reason)
        ratio = solver.measure(query, value).ratio
        if ratio <= self.accept_fraction:
            decision = Decision.ACCEPT
        else:
            decision = Decision.CORRECT if ratio <= 100.0 else Decision.REJECT
        reason = f"the residual is {ratio:.3g} of the tolerance, accepted up to {self.accept_fraction:g}"
        return Verdict(decision, self.grade, ratio, self.accept_fraction, reason)
