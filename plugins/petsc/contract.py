"""What `cosolve check-plugin` needs to know to make these objects: a chain of values for KSP, SNES and TS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from cosolve.core.arrays import Array
from cosolve.core.coupling import Coupling, CouplingContext
from cosolve.core.governor import Governor
from cosolve.core.problem import Problem
from cosolve.core.query import Query
from cosolve.core.registry import Registry
from cosolve.core.session import Session
from cosolve.core.solver import Solver
from cosolve.core.surrogate import Surrogate
from cosolve.core.testing import CouplingContract, SolverContract, SurrogateContract
from cosolve.core.testing.mean_field import RatioVerifier
from cosolve.plugins.petsc.adaptive_start import AdaptiveStart
from cosolve.plugins.petsc.base import PetscSolver
from cosolve.plugins.petsc.coarse_space import CoarseSpace
from cosolve.plugins.petsc.energy_projection import EnergyProjection
from cosolve.plugins.petsc.ksp import KspSolver
from cosolve.plugins.petsc.options import PetscTsOptions
from cosolve.plugins.petsc.snes import SnesSolver
from cosolve.plugins.petsc.ts import TsSolver
from cosolve.plugins.petsc.ts_coupling import PetscTs
from mpi4py import MPI
from petsc4py import PETSc

_SIZE, _RTOL, _DT = 24, 1e-10, 0.1


class Chain:
    """`A` of -u'' + u on a chain of values, and `A x + x^3`; a rank may own nothing.

    Args:
        comm: Communicator of MPI.
        empty_rank: A rank that owns nothing; None for none.
    """

    def __init__(self, comm: Any, empty_rank: int | None) -> None:
        ranks = comm.Get_size()
        owners = [rank for rank in range(ranks) if rank != empty_rank or ranks == 1]
        shares = dict(zip(owners, np.array_split(np.arange(_SIZE), len(owners)), strict=True))
        self.mine = shares.get(comm.Get_rank(), np.arange(0))
        n = (len(self.mine), _SIZE)
        self.matrix = PETSc.Mat().createAIJ((n, n), nnz=(3, 2), comm=comm)
        self.jacobian = PETSc.Mat().createAIJ((n, n), nnz=(3, 2), comm=comm)
        for row in self.mine:
            for column in range(max(row - 1, 0), min(row + 2, _SIZE)):
                self.matrix.setValue(row, column, 3.0 if row == column else -1.0)
        self.matrix.assemble()
        self.x, self.f, self.b = (self.matrix.createVecRight() for _ in range(3))
        self.x.array[:] = np.cos(0.4 * self.mine)
        self.b.array[:] = 1.0 + np.sin(0.7 * self.mine)

    @property
    def coordinates(self) -> Array:
        """Return the number of each value as its place."""
        places: Array = self.mine[:, None].astype(np.float64)
        return places

    def function(self, x: Any, f: Any) -> None:
        """Compute `A x + x^3 - b`."""
        self.matrix.mult(x, f)
        f.array[:] += x.array_r**3 - self.b.array_r

    def derivative(self, x: Any, shift: float, matrix: Any) -> None:
        """Assemble `A + 3 x^2 + shift`."""
        for row, value in zip(self.mine, x.array_r, strict=True):
            for column in range(max(row - 1, 0), min(row + 2, _SIZE)):
                matrix.setValue(row, column, 3.0 + shift + 3.0 * value**2 if row == column else -1.0)
        matrix.assemble()

    def ksp(self) -> Any:
        """Return a KSP of `A`."""
        ksp = PETSc.KSP().create(comm=self.matrix.getComm())
        ksp.setOptionsPrefix("check_ksp_")
        ksp.setOperators(self.matrix)
        ksp.setType("cg")
        ksp.getPC().setType("jacobi")
        return ksp

    def snes(self) -> Any:
        """Return a SNES of `A x + x^3 = b`."""
        snes = PETSc.SNES().create(comm=self.matrix.getComm())
        snes.setOptionsPrefix("check_snes_")
        snes.setFunction(lambda snes, x, f: self.function(x, f), self.f)
        snes.setJacobian(lambda snes, x, matrix, _: self.derivative(x, 0.0, matrix), self.jacobian)
        _tight(snes.getKSP())
        return snes

    def ts(self) -> Any:
        """Return a TS of `x_t + A x + x^3 = b` by implicit Euler steps."""

        def function(ts: Any, t: float, x: Any, rate: Any, f: Any) -> None:
            self.function(x, f)
            f.array[:] += rate.array_r

        ts = PETSc.TS().create(comm=self.matrix.getComm())
        ts.setOptionsPrefix("check_ts_")
        ts.setIFunction(function, self.f)
        ts.setIJacobian(
            lambda ts, t, x, rate, shift, matrix, _: self.derivative(x, shift, matrix), self.jacobian, self.jacobian
        )
        ts.setType("beuler")
        ts.setSolution(self.x)
        _tight(ts.getSNES().getKSP())
        return ts


def _tight(ksp: Any) -> None:
    ksp.setType("gmres")
    ksp.getPC().setType("jacobi")
    ksp.setTolerances(rtol=1e-8)


class _ChainContract(SolverContract):
    """On any number of ranks, of which the last may own nothing."""

    rank_rtol = 1e-7

    def on_chain(self, chain: Chain) -> PetscSolver:
        """Return the solver of the user's own object."""
        raise NotImplementedError

    def make(self) -> Solver:
        """Return the solver; the objects of PETSc live as long as it does."""
        return self.on_chain(Chain(_communicator(self.only_this_rank), self.without_values))

    def make_with_an_empty_rank(self) -> Solver:
        """Return one of which the last of several ranks owns nothing."""
        comm = _communicator(self.only_this_rank)
        return self.on_chain(Chain(comm, comm.Get_size() - 1))


class KspContract(_ChainContract):
    """A linear system whose right-hand side moves with the step."""

    def on_chain(self, chain: Chain) -> PetscSolver:
        """Return the solver of a KSP."""

        def update(query: Query) -> None:
            chain.b.array[:] = 1.0 + np.sin(0.7 * chain.mine + query.t)

        return KspSolver(chain.ksp(), chain.b, update=update, rtol=_RTOL, coordinates=chain.coordinates)


class SnesContract(_ChainContract):
    """A steady nonlinear system."""

    def on_chain(self, chain: Chain) -> PetscSolver:
        """Return the solver of a SNES."""
        return SnesSolver(chain.snes(), chain.x, rtol=_RTOL, coordinates=chain.coordinates)


class TsContract(_ChainContract):
    """The same system in time."""

    def on_chain(self, chain: Chain) -> PetscSolver:
        """Return the solver of a TS."""
        return TsSolver(chain.ts(), chain.x, rtol=_RTOL, coordinates=chain.coordinates)


class EnergyProjectionContract(SurrogateContract):
    """Starts of the linear system."""

    rank_rtol = 1e-7
    any_size = False

    def make(self) -> EnergyProjection:
        """Return one."""
        return EnergyProjection()

    def solver(self) -> Solver:
        """Return the linear system."""
        kit = KspContract()
        kit.empty_rank, kit.only_this_rank = self.empty_rank, self.only_this_rank
        return kit.make()


class AdaptiveStartContract(EnergyProjectionContract):
    """Starts of the linear system, chosen by given prices: clocks differ from run to run."""

    def make(self) -> AdaptiveStart:  # type: ignore[override]  # both are what the kit calls a surrogate
        """Return one."""
        return AdaptiveStart(prices={"iteration": 1.0, "space": 0.1})


class CoarseSpaceContract(EnergyProjectionContract):
    """Corrections of residuals of the linear system, from modes that it trains itself."""

    def make(self) -> Surrogate:  # type: ignore[override]  # the same system, another surrogate
        """Return one."""
        return CoarseSpace(8, trains=True)


class _ChainProblem(Problem):
    """Five steps of the system in time."""

    name = "chain"

    def __init__(self, options: Any = None) -> None:
        self.parameters: Mapping[str, Any] = {}

    @property
    def time_span(self) -> tuple[float, float, float]:
        """Return start, end and step."""
        return 0.0, 5 * _DT, _DT

    def make_solver(self, comm: Any, settings: Any) -> Solver:
        """Return the solver of the chain (collective)."""
        raise NotImplementedError


class PetscTsContract(CouplingContract):
    """`TS.solve` of the same system."""

    rank_rtol = 1e-7

    def make(self, surrogates: list[Surrogate]) -> PetscTs:
        """Return the coupling with these surrogates."""
        chain = Chain(_communicator(self.only_this_rank), self.without_values)
        solver = TsSolver(chain.ts(), chain.x, rtol=_RTOL, coordinates=chain.coordinates)
        verifier = RatioVerifier()
        session = Session(solver, verifier, governor=Governor("off"))
        context = CouplingContext(
            session, solver, surrogates, verifier, problem=_ChainProblem(), settings=PetscTsOptions()
        )
        return PetscTs(context)


class PreconditionerContract(CouplingContract):
    """Corrections that go wrong inside the user's own KSP; its true residual ends the solve."""

    rank_rtol = 1e-7

    def make(self, surrogates: list[Surrogate]) -> Coupling:
        """Return the coupling with these surrogates."""
        kit = KspContract()
        kit.empty_rank, kit.only_this_rank = self.empty_rank, self.only_this_rank
        solver = kit.make()
        session = Session(solver, RatioVerifier(), mode="correct" if surrogates else "off", governor=Governor("off"))
        kind = Registry.discover().load("coupling", "preconditioner", where="check-plugin")
        coupling: Coupling = kind(CouplingContext(session, solver, surrogates, None))
        return coupling


def _communicator(alone: bool) -> Any:
    return MPI.COMM_SELF if alone else MPI.COMM_WORLD
