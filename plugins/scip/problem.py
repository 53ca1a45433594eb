"""The problem `mip`: an instance file with SCIP's parameters, for `cosolve run mip.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from cosolve.core.arrays import Array
from cosolve.core.communicator import Communicator
from cosolve.core.errors import BadInputError, OutputError, unknown_name
from cosolve.core.problem import Problem
from cosolve.core.solver import Solver
from cosolve.plugins.scip.instance import read_instance, rehearse
from cosolve.plugins.scip.options import MipOptions
from cosolve.plugins.scip.settings import CPU_CLOCK, defaults
from cosolve.plugins.scip.solver import ScipSolver


class MipProblem(Problem):
    """One mixed-integer program.

    Args:
        options: The `[problem]` table.
    """

    name: ClassVar[str] = "mip"

    def __init__(self, options: MipOptions) -> None:
        self.options = options
        self.parameters: Mapping[str, Any] = {}

    @property
    def time_span(self) -> tuple[float, float, float]:
        """There is no time: the program is one transaction."""
        return 0.0, 1.0, 1.0

    def make_solver(self, comm: Communicator, settings: Mapping[str, Any]) -> Solver:
        """Read the instance and set the parameters (SCIP runs on one rank).

        Raises:
            BadInputError: There are several ranks, the instance cannot be read, or a parameter is unknown.
        """
        if comm.Get_size() > 1:
            raise BadInputError(f"SCIP runs on one rank, found {comm.Get_size()}; start the case without mpirun")
        rehearse(self.options.instance)
        model = read_instance(self.options.instance)
        if not settings.get("quiet", True):
            model.hideOutput(False)
        if settings.get("cpu_clock"):
            for name, value in CPU_CLOCK.items():
                model.setParam(name, value)
        if self.options.time_limit is not None:
            model.setParam("limits/time", self.options.time_limit)
        model.setParam("randomization/randomseedshift", self.options.seed)
        for name, value in self.options.params.items():
            _set(model, name, value)
        if self.options.start is not None:
            _read_start(model, self.options.start)
        return ScipSolver(model)

    def write_fields(self, solver: Solver, directory: Path, fields: Mapping[str, Array]) -> list[Path]:
        """Write the best solution in SCIP's own format."""
        if not isinstance(solver, ScipSolver) or solver.host.model.getNSols() == 0:
            return []
        path = directory / "solution.sol"
        try:
            solver.host.model.writeBestSol(str(path))
        except Exception as error:  # PySCIPOpt has a kind of exception for each of SCIP's codes
            raise OutputError(f"the solution {path} cannot be written: {error}") from error
        return [path]


def _set(model: Any, name: str, value: Any) -> None:
    if name not in defaults():
        raise BadInputError(f"problem.params: {unknown_name('SCIP parameter', name, defaults())}")
    try:
        model.setParam(name, value)
    except Exception as error:  # SCIP answers a refused value with a bare Exception
        raise BadInputError(f"problem.params: SCIP refused {name} = {value!r} ({error}); correct the value") from error


def _read_start(model: Any, path: Path) -> None:
    if not path.is_file():
        raise BadInputError(f"problem.start: the solution file {path} does not exist")
    try:
        solution = model.readSolFile(str(path))
        model.addSol(solution)
    except Exception as error:  # PySCIPOpt has a kind of exception for each of SCIP's codes
        raise BadInputError(f"problem.start: SCIP cannot read {path} as a solution ({error})") from error
