"""Cahn-Hilliard on the unit square with zero fluxes, mixed linear elements for concentration and potential.

    c_t = div grad mu,    mu = c^3 - c - eps^2 div grad c

Each step replaces c^3 - c by the difference quotient of W(c) = (c^2 - 1)^2 / 4 between the old and the new value and
takes the gradient at the middle (Q. Du and R. A. Nicolaides, SIAM J. Numer. Anal. 28 (1991) 1310,
doi:10.1137/0728069): second order, mass is kept, and the energy, the integral of W(c) + eps^2 |grad c|^2 / 2, falls in
every step of any length. The potential belongs to the middle of the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import ufl
from cosolve.core.communicator import Communicator
from cosolve.core.problem import Problem
from cosolve.examples.cahn_hilliard.options import CahnHilliardOptions
from cosolve.plugins.fenicsx import FieldWriter, FormSolver, compat
from dolfinx import fem

RTOL = 1e-6
WAVES = 10
"""Cosines in each direction of which the initial state is made."""


class CahnHilliardProblem(Problem):
    """The problem of this module for one drawing of its initial state.

    Args:
        options: Mesh, times, interface width and seed.
    """

    name: ClassVar[str] = "cahn_hilliard"

    def __init__(self, options: CahnHilliardOptions | None = None) -> None:
        self.options = options or CahnHilliardOptions()
        self.parameters: Mapping[str, Any] = {"epsilon": self.options.epsilon}

    @property
    def time_span(self) -> tuple[float, float, float]:
        """Start, end and (first) step."""
        return 0.0, self.options.end_time, self.options.dt

    def initial_concentration(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return a random mixture at points of shape `(3, n)`: the same on every mesh and partition."""
        generator = np.random.default_rng([self.options.seed, 0xC4])
        value = np.zeros(x.shape[1])
        for i in range(WAVES):
            for j in range(WAVES):
                amplitude = generator.normal() if i + j > 0 else 0.0
                value += amplitude * np.cos(np.pi * i * x[0]) * np.cos(np.pi * j * x[1])
        return 0.1 * value / WAVES

    def make_solver(self, comm: Communicator, settings: Mapping[str, Any]) -> FormSolver:
        """Build the solver on `comm` (collective); `settings` are arguments of `FormSolver`."""
        options = self.options
        mesh = compat.create_unit_square(comm, options.cells, options.cells)
        linear = compat.element(mesh, "Lagrange", 1)
        space = compat.function_space(mesh, compat.mixed_element([linear, linear]))
        state, previous = fem.Function(space, name="state"), fem.Function(space)
        previous.sub(0).interpolate(self.initial_concentration)
        previous.x.scatter_forward()
        dt = fem.Constant(mesh, options.dt)
        c, mu = ufl.split(state)
        c_n, _ = ufl.split(previous)
        q, v = ufl.TestFunctions(space)
        quotient = (c**3 + c**2 * c_n + c * c_n**2 + c_n**3) / 4.0 - (c + c_n) / 2.0
        quartic = ufl.dx(metadata={"quadrature_degree": 4})
        form = (
            (c - c_n) / dt * q * ufl.dx
            + ufl.inner(ufl.grad(mu), ufl.grad(q)) * ufl.dx
            + mu * v * ufl.dx
            - quotient * v * quartic
            - options.epsilon**2 / 2.0 * ufl.inner(ufl.grad(c + c_n), ufl.grad(v)) * ufl.dx
        )
        energy = (c**2 - 1.0) ** 2 / 4.0 * quartic + options.epsilon**2 / 2.0 * ufl.inner(
            ufl.grad(c), ufl.grad(c)
        ) * ufl.dx
        chosen: dict[str, Any] = {
            "rtol": RTOL,
            "prefix": "cahn_hilliard_",
            "predictor": "quadratic",
            "reuse_jacobian": True,
            "block_names": ["concentration", "potential"],
        } | dict(settings)
        return FormSolver(
            form,
            state,
            previous=previous,
            dt=dt,
            invariants={"mass": c * ufl.dx, "energy": energy},
            **chosen,
        )

    def describe(self) -> Mapping[str, Any]:
        """Return what a model must match."""
        return {"problem": self.name, "fields": ["concentration", "potential"], "cells": self.options.cells}

    def open_fields(self, solver: Any, directory: Path) -> FieldWriter:
        """Open a time series of the state for ParaView (collective)."""
        return FieldWriter(directory / "fields", solver.u.function_space, ["c"])
