"""Registers the couplings exactly as a third-party plugin does."""

from __future__ import annotations

from cosolve.core.entries import Entry
from cosolve.core.hookspecs import hookimpl

COSOLVE_API_VERSION = 1


@hookimpl
def cosolve_couplings() -> list[Entry]:
    """Register the couplings."""
    return [
        Entry(
            name="time_loop",
            summary="each step proposed, judged by the residual of that very step, corrected or solved",
            factory="cosolve.couplings.time_loop:TimeLoop",
            options="cosolve.couplings.options:TimeLoopOptions",
            capabilities=("certified", "mpi"),
        ),
        Entry(
            name="initial_guess",
            summary="each solve started from the proposal of least residual; the solver's own test ends it",
            factory="cosolve.couplings.initial_guess:InitialGuess",
            contract="cosolve.couplings.contract:InitialGuessContract",
            options="cosolve.couplings.options:InitialGuessOptions",
            capabilities=("certified", "mpi"),
        ),
        Entry(
            name="preconditioner",
            summary="a surrogate betters the preconditioner of each linear solve; the true residual ends it",
            factory="cosolve.couplings.preconditioner:Preconditioner",
            contract="cosolve.plugins.petsc.contract:PreconditionerContract",
            requires=("petsc4py", "mpi4py"),
            options="cosolve.couplings.options:PreconditionerOptions",
            capabilities=("certified", "mpi"),
        ),
        Entry(
            name="cycle_jump",
            summary="blocks of many cycles: a slow evolution proposed, corrected by true cycles, audited",
            factory="cosolve.couplings.cycle_jump:CycleJump",
            contract="cosolve.couplings.contract:CycleJumpContract",
            capabilities=("estimated", "mpi"),
        ),
        Entry(
            name="classical_cycle_jump",
            summary="the rival without a network: log-rates extrapolated over many cycles, with elliptic Newton",
            factory="cosolve.couplings.cycle_rivals:ClassicalJump",
            contract="cosolve.couplings.contract:CycleJumpContract",
            baseline=True,
            capabilities=("estimated", "mpi"),
        ),
        Entry(
            name="full_stepping",
            summary="every cycle is run with a fixed number of steps",
            factory="cosolve.couplings.cycle_rivals:FullStepping",
            contract="cosolve.couplings.contract:CycleJumpContract",
            baseline=True,
            capabilities=("mpi",),
        ),
        Entry(
            name="controlled_full_stepping",
            summary="every cycle is run, with as many steps as an error estimate asks for",
            factory="cosolve.couplings.cycle_rivals:ControlledFullStepping",
            contract="cosolve.couplings.contract:CycleJumpContract",
            baseline=True,
            capabilities=("estimated", "mpi"),
        ),
        Entry(
            name="branching",
            summary="a mixed-integer program, guided in its branch and bound; SCIP's bounds certify the optimum",
            factory="cosolve.couplings.branching:Branching",
            contract="cosolve.plugins.scip.contract:BranchingContract",
            requires=("pyscipopt",),
            options="cosolve.couplings.options:BranchingOptions",
            capabilities=("certified", "serial"),
        ),
    ]


@hookimpl
def cosolve_verifiers() -> list[Entry]:
    """Register the verifiers that belong to one coupling."""
    return [
        Entry(
            name="branch",
            summary="a converged solution by its branch: energy, negative eigenvalues, audits by continuation",
            factory="cosolve.couplings.branch_check:BranchCheck",
            contract="cosolve.couplings.contract:BranchCheckContract",
            options="cosolve.couplings.options:BranchOptions",
            capabilities=("estimated", "mpi"),
        ),
        Entry(
            name="cycle_sweeps",
            summary="true cycles at checkpoints until the slow evolution stands still, with an audit (estimated)",
            factory="cosolve.couplings.cycle_jump_verifier:from_options",
            contract="cosolve.couplings.contract:CycleSweepsContract",
            options="cosolve.couplings.options:CycleSweepsOptions",
            capabilities=("estimated", "mpi"),
        ),
    ]
