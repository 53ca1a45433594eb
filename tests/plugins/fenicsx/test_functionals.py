from __future__ import annotations

import numpy as np
import pytest
import ufl
from cosolve.core.errors import BadInputError
from form_problems import heat, march


def test_mass_is_conserved_and_measured() -> None:
    with heat(8) as solver:
        before = solver.invariants(solver.initial_state())["mass"]
        after = solver.invariants(march(solver, 20, 0.01))["mass"]
        assert before == pytest.approx(1.0, abs=1e-12)
        assert after == pytest.approx(before, abs=1e-9)


def test_the_norm_is_that_of_the_domain() -> None:
    with heat(16) as solver:
        assert solver.norm(np.full(solver.n_owned, 3.0)) == pytest.approx(3.0)
        x = solver.coordinates()[:, 0]
        assert solver.norm(x) == pytest.approx(np.sqrt(1.0 / 3.0))


def test_only_scalar_forms_are_functionals() -> None:
    with pytest.raises(BadInputError, match="the invariant 'mass' must be a scalar form"):
        heat(2, invariants={"mass": _linear_form()})


def _linear_form() -> object:
    from cosolve.plugins.fenicsx import compat
    from mpi4py import MPI

    space = compat.function_space(compat.create_unit_square(MPI.COMM_SELF, 2, 2), ("Lagrange", 1))
    return ufl.TestFunction(space) * ufl.dx
