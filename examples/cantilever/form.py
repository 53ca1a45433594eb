"""Plane strain of a compressible neo-Hookean solid: W = mu/2 (I1 - 2 - 2 ln J) + lambda/2 (ln J)^2, dead loads."""

from __future__ import annotations

from typing import Any

import ufl

POISSON = 0.3


def stored_energy(u: Any, modulus: Any) -> Any:
    """Return the stored energy per area of the undeformed solid, a UFL expression.

    Args:
        u: Displacement.
        modulus: Young's modulus, a constant or a function.
    """
    mu, lame = modulus / (2.0 * (1.0 + POISSON)), modulus * POISSON / ((1.0 + POISSON) * (1.0 - 2.0 * POISSON))
    deformation = ufl.Identity(2) + ufl.grad(u)
    log_volume = ufl.ln(ufl.det(deformation))
    return mu / 2.0 * (ufl.inner(deformation, deformation) - 2.0 - 2.0 * log_volume) + lame / 2.0 * log_volume**2


def residual(u: Any, v: Any, modulus: Any, degree: int = 2) -> Any:
    """Return the virtual work of the stress, a UFL form; the work of the loads is to be taken off.

    Args:
        u: Displacement.
        v: Test function.
        modulus: Young's modulus.
        degree: Degree of the quadrature.
    """
    return ufl.derivative(stored_energy(u, modulus) * ufl.dx(metadata={"quadrature_degree": degree}), u, v)
