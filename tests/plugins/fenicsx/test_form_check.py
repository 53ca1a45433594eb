"""What a user forgets or mixes up is a sentence, never a run with other physics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import ufl
from cosolve.core.errors import BadInputError
from cosolve.core.query import Query
from cosolve.couplings.time_loop import time_loop
from cosolve.plugins.fenicsx import FormSolver, compat
from cosolve.testing import SolverContract
from dolfinx import fem
from form_problems import heat
from mpi4py import MPI
from petsc4py import PETSc

LEFT_OUT: Any = object()


class Heat:
    """A user's form, with all that belongs to it."""

    def __init__(self) -> None:
        self.domain = compat.create_unit_square(MPI.COMM_SELF, 4, 4)
        self.space = compat.function_space(self.domain, ("Lagrange", 1))
        self.u, self.u_n, v = fem.Function(self.space), fem.Function(self.space), ufl.TestFunction(self.space)
        self.dt = fem.Constant(self.domain, 0.01)
        self.form = (self.u - self.u_n) / self.dt * v * ufl.dx + ufl.inner(ufl.grad(self.u), ufl.grad(v)) * ufl.dx
        self.form -= v * ufl.dx

    def solver(self, **changed: Any) -> FormSolver:
        settings = {"previous": self.u_n, "dt": self.dt, "rtol": 1e-10} | changed
        return FormSolver(self.form, self.u, **{key: value for key, value in settings.items() if value is not LEFT_OUT})


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda case: {"previous": case.u}, "previous is the unknown u itself"),
        (lambda case: {"previous": fem.Function(case.space)}, "previous is not in the residual form"),
        (lambda case: {"previous": [case.u_n, case.u_n]}, r"previous\[1\] is the same function as one before it"),
        (lambda case: {"previous": 0.0}, "previous must be the dolfinx.fem.Function .* found float"),
        (lambda case: {"dt": fem.Constant(case.domain, 0.01)}, "dt is a Constant that is not in the residual form"),
        (lambda case: {"dt": 0.01}, r"dt must be a dolfinx.fem.Constant .* write dt = fem.Constant\(mesh, 0.01\)"),
        (lambda case: {"t": fem.Constant(case.domain, 0.0)}, "t is a Constant that is not in the residual form"),
        (lambda case: {"parameters": {"k": 2.0}}, r"parameters\['k'\] must be a dolfinx.fem.Constant"),
        (lambda case: {"rtol": "1e-3"}, "rtol must be a number .* found '1e-3', a text; write the number without"),
        (lambda case: {"rtol": float("nan")}, "rtol must be a number of at least 0 and below 1, found nan"),
        (lambda case: {"rtol": 0.0}, "rtol = 0 with atol = 0: rounding keeps .* Give rtol, e.g. 1e-8, or an"),
        (lambda case: {"rtol": 1e-17}, "rtol = 1e-17 with atol = 0"),
        (lambda case: {"atol": "0"}, "atol must be a number of at least 0, found '0', a text"),
        (lambda case: {"max_iterations": None}, "max_iterations must be a number of at least 0, found None"),
        (lambda case: {"prefix": "-heat"}, "prefix must be a word such as 'heat_'"),
    ],
)
def test_what_the_form_does_not_have_is_refused(wrong: Any, sentence: str) -> None:
    case = Heat()
    with pytest.raises(BadInputError, match=sentence):
        case.solver(**wrong(case))


@pytest.mark.parametrize(
    ("left_out", "sentence"),
    [
        ({"previous": LEFT_OUT}, "FormSolver was not given previous="),
        ({"dt": LEFT_OUT}, "FormSolver was not given dt="),
        ({"previous": LEFT_OUT, "dt": LEFT_OUT}, "FormSolver was not given previous=.* and dt="),
    ],
)
def test_a_steady_solver_solves_and_refuses_a_time_loop(left_out: dict[str, Any], sentence: str) -> None:
    with Heat().solver(**left_out) as solver:
        assert solver.solve().converged
        with pytest.raises(BadInputError, match=sentence):
            time_loop(solver, t_end=0.1, dt=0.02)
        with pytest.raises(BadInputError, match=sentence):
            solver.step(Query(solver.initial_state(), dt=0.02))
        with pytest.raises(BadInputError, match=sentence):
            solver.measure(Query(solver.initial_state(), dt=0.02), solver.initial_state())


def test_a_quasi_static_form_is_stepped_when_it_says_so() -> None:
    case = Heat()
    load, v = fem.Constant(case.domain, 0.0), ufl.TestFunction(case.space)
    form = (case.u - load) * v * ufl.dx
    with FormSolver(form, case.u, previous=(), t=load) as solver:
        result = time_loop(solver, t_end=1.0, dt=0.25)
        assert np.allclose(result.value, 1.0)


def test_the_step_of_the_loop_is_the_step_of_the_form() -> None:
    # u' = 1 without flux: the answer tells which dt was used in the form.
    with Heat().solver() as solver:
        assert np.allclose(time_loop(solver, t_end=0.2, dt=0.04).value, 0.2)


def test_a_closed_solver_is_one_sentence() -> None:
    solver = Heat().solver()
    solver.close()
    for use in (
        lambda: time_loop(solver, t_end=0.1, dt=0.02),
        lambda: solver.step(Query(np.zeros(25), dt=0.02)),
        lambda: solver.norm(np.zeros(25)),
    ):
        with pytest.raises(BadInputError, match=r"solver 'cosolve\d*_' was closed; make a new one"):
            use()


@pytest.mark.parametrize(
    ("options", "found"), [({"ksp_type": "cgg"}, "KSP type cgg"), ({"pc_type": "luu"}, "PC type luu")]
)
def test_a_misspelt_type_is_said_in_petscs_own_words(options: dict[str, str], found: str) -> None:
    with pytest.raises(BadInputError, match=f"PETSc refuses an option .*Unable to find requested {found}"):
        Heat().solver(prefix="misspelt_", petsc_options=options)
    assert not [name for name in PETSc.Options().getAll() if name.startswith("misspelt_")]
    Heat().solver(prefix="misspelt_").close()


def test_each_living_solver_has_a_prefix_of_its_own() -> None:
    with Heat().solver() as first, Heat().solver(petsc_options={"ksp_type": "cg"}) as second:
        assert first.prefix != second.prefix
        assert first.newton.snes.getKSP().getType() == "preonly"
        assert second.newton.snes.getKSP().getType() == "cg"
        prefix = second.prefix
    with Heat().solver(prefix="own_") as first:
        with pytest.raises(BadInputError, match=r"not closed has the prefix 'own_' .*give this one another prefix"):
            Heat().solver(prefix="own_", petsc_options={"ksp_type": "cg"})
        with Heat().solver(prefix="own_") as alike:
            assert alike.prefix == first.prefix
    with Heat().solver() as again, Heat().solver() as both:
        assert prefix in (again.prefix, both.prefix), "a closed solver gives its prefix back"


class TestFormSolverContract(SolverContract):
    def make(self) -> FormSolver:
        return heat(6, source=1.0, prefix="contract_")

    def query(self, solver: Any) -> Query:
        return Query(solver.initial_state(), 0.0, 0.01)
