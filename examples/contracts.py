"""What `cosolve check-plugin` needs to know of the problems of the examples: sizes that are checked in seconds."""

from __future__ import annotations

from typing import Any, ClassVar

from cosolve.core.problem import Problem
from cosolve.core.testing import ProblemContract


class _SmallProblemContract(ProblemContract):
    """A problem with small options."""

    options: ClassVar[dict[str, Any]] = {}
    rank_rtol = 1e-5  # its solver is iterative: ten times its tolerance
    calls = 60

    def problem(self) -> Problem:
        """Return the problem with these options."""
        assert self.entry is not None
        problem: Problem = self.entry.load()(self.entry.load_options()(**self.options))
        return problem


class HeatContract(_SmallProblemContract):
    """Nonlinear heat conduction on 12 x 12 squares."""

    options: ClassVar[dict[str, Any]] = {"cells": 12}


class EmbeddedContract(_SmallProblemContract):
    """Dosed reaction-diffusion on 16 x 16 cells."""

    options: ClassVar[dict[str, Any]] = {"cells": 16}


class CahnHilliardContract(_SmallProblemContract):
    """Phase separation on a small square."""

    options: ClassVar[dict[str, Any]] = {"cells": 12}


class BrusselatorContract(_SmallProblemContract):
    """A user's own TS on 12 x 12 points."""

    options: ClassVar[dict[str, Any]] = {"cells": 12}
    rank_rtol = 1e-3  # ten times its tolerance


class CylinderContract(_SmallProblemContract):
    """The flow on a coarse mesh."""

    options: ClassVar[dict[str, Any]] = {"side": 4, "dt": 0.005}


class CantileverContract(_SmallProblemContract):
    """A short row of cells under a small load."""

    options: ClassVar[dict[str, Any]] = {"nx": 10, "ny": 2, "load": 0.3}
    restored_rtol = 1e-5  # the Jacobian of the last solve is used again


class LensContract(_SmallProblemContract):
    """Some hundred unknowns."""

    options: ClassVar[dict[str, Any]] = {"points": 8, "wavenumber": 5.0}
