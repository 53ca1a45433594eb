"""Newton's method for one implicit step of u_t = div(k(u) grad u) + r u (1 - u) + s, k(u) = d (1 + beta u^2).

With Kirchhoff's transform w = K(u), K' = k, the flux is grad w, and the discrete residual of a step is

    R(u) = u - tau (lap_h K(u) + r u (1 - u)) - b,        tau = theta dt.

Its Jacobian (1 - tau f'(u)) - tau lap_h k(u) is not symmetric, but in the unknown k(u) du it is: the diagonal field
(1 - tau f') / k(u) minus tau lap_h, positive definite while tau f' < 1. So conjugate gradients with multigrid solve it,
and their residual is Newton's own. Forcing terms: S. C. Eisenstat and H. F. Walker, SIAM J. Sci. Comput. 17 (1996) 16,
doi:10.1137/0917003.
"""

from __future__ import annotations

import numpy as np
from cosolve.plugins.numba_kernels.compiled import compiled
from cosolve.plugins.numba_kernels.multigrid import Counts, Plane, coarsen_field, conjugate_gradients

CONVERGED, TOO_MANY, STAGNATED, INDEFINITE, NOT_FINITE = 0, 1, 2, 3, 4
REASONS = {
    CONVERGED: "residual below the tolerance",
    TOO_MANY: "the most Newton iterations were used",
    STAGNATED: "no step along Newton's direction lowers the residual",
    INDEFINITE: "the Jacobian is not positive definite: reaction times step is too large",
    NOT_FINITE: "the residual is not finite",
}

_MOST_LINEAR = 60
_HALVINGS = 8
_FORCING_FIRST, _FORCING_LAST = 0.1, 1e-4
_NEAR = 100.0


@compiled
def evaluate(u: Plane, d: float, beta: float, r: float, s: float, out: Plane, w: Plane) -> None:
    """Compute out = h^2 s (lap_h K(u)) + reaction, with s = 1 / h^2; `w` receives K(u)."""
    n = u.shape[0]
    for i in range(n):
        for j in range(n):
            value = u[i, j]
            w[i, j] = d * (value + beta * value * value * value / 3.0)
    for i in range(n):
        up = max(i - 1, 0)
        down = min(i + 1, n - 1)
        for j in range(n):
            left = max(j - 1, 0)
            right = min(j + 1, n - 1)
            lap = w[up, j] + w[down, j] + w[i, left] + w[i, right] - 4.0 * w[i, j]
            out[i, j] = s * lap + r * u[i, j] * (1.0 - u[i, j])


@compiled
def residual(u: Plane, b: Plane, d: float, beta: float, r: float, tau: float, s: float, out: Plane, w: Plane) -> float:
    """Compute out = R(u) and return its Euclidean norm."""
    evaluate(u, d, beta, r, s, out, w)
    n = u.shape[0]
    total = 0.0
    for i in range(n):
        for j in range(n):
            value = u[i, j] - tau * out[i, j] - b[i, j]
            out[i, j] = value
            total += value * value
    norm: float = np.sqrt(total)
    return norm


@compiled
def newton(
    u: Plane,
    b: Plane,
    d: float,
    beta: float,
    r: float,
    tau: float,
    s: float,
    tolerance: float,
    most: int,
    levels: Plane,
    work: Plane,
    planes: Plane,
    sizes: Counts,
    offsets: Counts,
) -> tuple[int, int, int, float]:
    """Solve R(u) = 0 from the values in `u`, which receives the solution.

    Args:
        u: Start and solution, shape `(n, n)`.
        b: Right-hand side of the step, shape `(n, n)`.
        d: Diffusivity at u = 0.
        beta: Growth of the diffusivity with u^2.
        r: Rate of the reaction.
        tau: Theta times dt.
        s: 1 / h^2.
        tolerance: Euclidean residual norm to reach.
        most: Most Newton iterations.
        levels: Work space for the diagonal field on all levels.
        work: Work space of the conjugate gradients.
        planes: Work space, shape `(5, n, n)`.
        sizes: Sizes of the levels.
        offsets: Their offsets.

    Returns:
        Status, Newton iterations, linear iterations, residual norm.
    """
    n = u.shape[0]
    now, w, a, trial, step = planes[0], planes[1], planes[2], planes[3], planes[4]
    norm = residual(u, b, d, beta, r, tau, s, now, w)
    before = norm
    linear = 0
    forcing = _FORCING_FIRST
    for iteration in range(most + 1):
        if not np.isfinite(norm):
            return NOT_FINITE, iteration, linear, norm
        if norm <= tolerance:
            return CONVERGED, iteration, linear, norm
        if iteration == most:
            break
        if iteration > 0:
            ratio = norm / before
            forcing = min(_FORCING_FIRST, max(0.9 * ratio * ratio, _FORCING_LAST))
        for i in range(n):
            for j in range(n):
                value = u[i, j]
                k = d * (1.0 + beta * value * value)
                a[i, j] = (1.0 - tau * r * (1.0 - 2.0 * value)) / k
                now[i, j] = -now[i, j]
        coarsen_field(a, sizes, offsets, levels)
        # Below a third of the tolerance the linear residual no longer decides whether Newton is done. A start that is
        # near goes there at once: Newton's own error is quadratic, and one iteration may be all that it needs.
        target = 0.3 * tolerance if norm <= _NEAR * tolerance else max(forcing * norm, 0.3 * tolerance)
        count, reached = conjugate_gradients(
            levels, tau * s, now.ravel(), step.ravel(), target, _MOST_LINEAR, work, sizes, offsets
        )
        linear += count
        if not np.isfinite(reached):
            return INDEFINITE, iteration, linear, norm
        for i in range(n):
            for j in range(n):
                value = u[i, j]
                step[i, j] /= d * (1.0 + beta * value * value)
        length = 1.0
        after = np.inf
        for _ in range(_HALVINGS):
            for i in range(n):
                for j in range(n):
                    trial[i, j] = u[i, j] + length * step[i, j]
            after = residual(trial, b, d, beta, r, tau, s, now, w)
            if after < (1.0 - 1e-4 * length) * norm:
                break
            length *= 0.5
        if not after < norm:
            return STAGNATED, iteration, linear, norm
        u[:, :] = trial
        before = norm
        norm = after
    return TOO_MANY, most, linear, norm
