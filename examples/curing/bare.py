"""Full stepping of the curing process in plain dolfinx and PETSc, without cosolve: the rival that a hand would write.

Crank-Nicolson / Adams-Bashforth with one factor for all steps, the diffusion as products with matrices that are
assembled once, sources computed once for each load. Serial or parallel:

    python examples/curing/bare.py --cells 64 --steps 24 --periods 10
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import dolfinx
import dolfinx.fem.petsc
import dolfinx.mesh
import numpy as np
import ufl
from mpi4py import MPI
from petsc4py import PETSc

K0, LOSS, RATE, ACTIVATION, WIDTH = 0.005, 0.2, 0.003, 6.0, 0.05
K_REF = 2.6 * K0


class BareStepping:
    """Mesh, matrices, factor and buffers; `run` advances under a row of loads."""

    def __init__(self, cells: int, steps: int, comm: Any = MPI.COMM_WORLD) -> None:
        """Assemble and factor for `steps` steps a period on `cells` x `cells` squares (collective)."""
        mesh = dolfinx.mesh.create_unit_square(comm, cells, cells)
        make = getattr(dolfinx.fem, "functionspace", None) or dolfinx.fem.FunctionSpace
        space, flat = make(mesh, ("Lagrange", 1)), make(mesh, ("DG", 0))
        u, v, w = ufl.TrialFunction(space), ufl.TestFunction(space), ufl.TestFunction(flat)

        def matrix(form: Any) -> Any:
            assembled = dolfinx.fem.petsc.assemble_matrix(dolfinx.fem.form(form))
            assembled.assemble()
            return assembled

        self.steps, self.dt = steps, 1.0 / steps
        self.mass = matrix(u * v * ufl.dx)
        stiffness = matrix(ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx)
        self.gx, self.gy = matrix(u.dx(0) * w * ufl.dx), matrix(u.dx(1) * w * ufl.dx)
        self.mean = matrix(u * w * ufl.dx)
        one, area = self.mean.createVecRight(), self.mean.createVecLeft()
        one.set(1.0)
        self.mean.mult(one, area)
        self.base = area.duplicate()
        self.base.array[:] = K_REF / area.array
        area.array[:] = -1.0 / area.array**2
        self.mean.diagonalScale(L=area)
        self.operator = self.mass.copy()
        self.operator.scale(-LOSS)
        self.operator.axpy(-K_REF, stiffness)
        system = self.mass.copy()
        system.scale(steps + 0.5 * LOSS)
        system.axpy(0.5 * K_REF, stiffness)
        self.ksp = PETSc.KSP().create(comm)
        self.ksp.setOperators(system)
        self.ksp.setType("preonly")
        pc = self.ksp.getPC()
        pc.setType("cholesky")
        if comm.size == 1:
            pc.setFactorOrdering("nd")
        else:
            pc.setFactorSolverType("mumps")
        self.ksp.setUp()
        self.factor = pc.getFactorMatrix()
        self.x = space.tabulate_dof_coordinates()[: one.getLocalSize(), :2].copy()
        self.theta, self.node, self.right, self.delta, self.slope = (one.duplicate() for _ in range(5))
        self.fx, self.fy, self.weight = (area.duplicate() for _ in range(3))
        self.sources = [one.duplicate() for _ in range(steps)]

    def run(self, phi: Any, loads: Sequence[tuple[float, float, float]], periods: int) -> list[Any]:
        """Run from cold with phi (owned values); return alpha after `periods` periods of each load (collective)."""
        theta, node, right = self.theta.array, self.node.array, self.right.array
        slope, delta = self.slope.array, self.delta.array
        fx, fy, weight = self.fx.array, self.fy.array, self.weight.array
        theta[:] = 0.0
        phi = phi.copy()
        gain = 0.5 * self.dt * RATE * np.exp(-ACTIVATION)
        heat, newer, buffer = np.ones_like(phi), np.empty_like(phi), np.empty_like(phi)
        previous = np.zeros_like(phi)
        ends = []
        for load in loads:
            self.set_load(load)
            for _ in range(periods):
                for source in self.sources:
                    np.negative(phi, out=buffer)
                    np.exp(buffer, out=buffer)
                    buffer *= -0.5 * K0
                    buffer += 1.5 * K0
                    np.multiply(theta, 0.3, out=node)
                    node += 1.0
                    node *= buffer
                    self.mean.multAdd(self.node, self.base, self.weight)
                    self.gx.mult(self.theta, self.fx)
                    self.gy.mult(self.theta, self.fy)
                    fx *= weight
                    fy *= weight
                    self.gx.multTranspose(self.fx, self.slope)
                    self.gy.multTransposeAdd(self.fy, self.slope, self.slope)
                    self.operator.multAdd(self.theta, source, self.right)
                    np.multiply(slope, 1.5, out=buffer)
                    right += buffer
                    previous *= 0.5
                    right -= previous
                    previous[:] = slope
                    self.factor.solve(self.right, self.delta)
                    theta += delta
                    np.multiply(theta, ACTIVATION, out=newer)
                    np.exp(newer, out=newer)
                    heat += newer
                    heat *= gain
                    phi += heat
                    heat, newer = newer, heat
            ends.append(-np.expm1(-phi))
        return ends

    def set_load(self, load: tuple[float, float, float]) -> None:
        """Compute M times the mean source of each step, by two Gauss points."""
        power, radius, centre = load
        for index, source in enumerate(self.sources):
            self.node.array[:] = 0.0
            for shift in (0.5 - 0.5 / np.sqrt(3.0), 0.5 + 0.5 / np.sqrt(3.0)):
                angle = 2.0 * np.pi * (index + shift) * self.dt
                dx = self.x[:, 0] - centre - radius * np.cos(angle)
                dy = self.x[:, 1] - 0.5 - radius * np.sin(angle)
                self.node.array[:] += 0.5 * power * np.exp(-(dx**2 + dy**2) / (2.0 * WIDTH**2))
            self.mass.mult(self.node, source)


def main() -> None:
    """Run one load and print the time of a step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cells", type=int, default=64)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--periods", type=int, default=10)
    arguments = parser.parse_args()
    stepping = BareStepping(arguments.cells, arguments.steps)
    start = time.process_time()
    (alpha,) = stepping.run(np.zeros(len(stepping.x)), [(8.5, 0.2, 0.5)], arguments.periods)
    seconds = time.process_time() - start
    if MPI.COMM_WORLD.rank == 0:
        count = arguments.steps * arguments.periods
        print(f"{count} steps, {1e3 * seconds / count:.3f} ms CPU a step, largest alpha {alpha.max(initial=0.0):.4f}")


if __name__ == "__main__":
    main()
