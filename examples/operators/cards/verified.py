"""Cards of what verifies: residual DMD (arXiv:2407.06312) and the delta refinement of HyPINO (arXiv:2509.05117)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from cosolve.core.arrays import Array
from cosolve.core.query import Query
from cosolve.couplings.defect_correction import refine
from cosolve.examples.operators.cards.card import Part
from cosolve.plugins.reduced.residual_dmd import KoopmanData


def residual_dmd(seed: int, quick: bool) -> list[Part]:
    """Card 1.18: eigenvalues of a rotation, the residual against its definition, and nothing certified of chaos."""
    random = np.random.default_rng(seed)
    theta, k = random.uniform(0.5, 2.5), np.arange(-5, 6)
    at = 2.0 * np.pi * np.arange(400) / 400

    def dictionary(points: Array) -> npt.NDArray[np.complex128]:
        spoiler = np.exp(np.cos(points)) * np.sign(np.sin(3 * points))
        return np.column_stack([np.exp(1j * np.outer(points, k)), spoiler])

    x, y = dictionary(at), dictionary(at + theta)
    data = KoopmanData(x, y)
    pairs = data.eigenpairs()
    certified = pairs.certified(1e-6)
    missed = max(float(np.abs(certified.values - value).min(initial=9.0)) for value in np.exp(1j * theta * k))
    direct = [
        np.linalg.norm(y @ vector - value * (x @ vector)) / np.linalg.norm(x @ vector)
        for value, vector in zip(pairs.values, pairs.vectors.T, strict=True)
    ]
    middle = (np.arange(2000) + 0.5) / 2000
    waves = np.arange(-12, 13)
    chaos = KoopmanData(np.exp(2j * np.pi * np.outer(middle, waves)), np.exp(4j * np.pi * np.outer(middle, waves)))
    found = chaos.eigenpairs().certified(0.1).values
    wrong = int(np.count_nonzero(np.abs(found - 1.0) > 1e-8))
    return [
        Part("rotation: largest error of its eigenvalues among the certified ones", missed, 1e-8),
        Part("rotation: residual of the spurious eigenvalue", float(pairs.residuals[-1]), 0.1, True),
        Part("residuals against their definition", float(np.abs(pairs.residuals - direct).max()), 1e-10),
        Part("chaotic map: eigenvalues other than 1 that are certified", wrong, 0.0),
    ]


def delta_refinement(seed: int, quick: bool) -> list[Part]:
    """Card 1.15 (c): the loop with a coarse solver in the place of the network converges, on Darcy's equations."""
    # Imported here: needs PETSc.
    from cosolve.examples.operators.darcy import DarcyEquations, coefficients

    cells = 32
    sample = coefficients(1, cells, np.random.default_rng([seed, 15]))[0]
    fine = DarcyEquations(cells)
    fine.choose(sample)
    matrix = _matrix(fine)
    half = cells // 2
    # Bilinear interpolation between centres of cells, odd at the boundary, where the solution is zero.
    line = np.zeros((cells, half))
    for i in range(cells):
        near, far = i // 2, i // 2 + (1 if i % 2 else -1)
        line[i, near] += 0.75
        line[i, min(max(far, 0), half - 1)] += 0.25 if 0 <= far < half else -0.25
    prolong = sp.kron(line, line).tocsr()
    coarse_matrix = spla.splu((prolong.T @ matrix @ prolong).tocsc())
    diagonal = matrix.diagonal()

    def correction(query: Query, residual: Array) -> Array:
        change: Array = 0.7 * residual / diagonal
        change += prolong @ coarse_matrix.solve(prolong.T @ (residual - matrix @ change))
        change += 0.7 * (residual - matrix @ change) / diagonal
        return change

    query = Query(fine.start(), transaction="solve")
    found = refine(fine.solver, query, fine.start(), correction, rounds=60, directions=8)
    measure = fine.solver.measure(query, found.value).ratio
    steps = np.diff(found.residuals)
    fine.close()
    return [
        Part("coarse solver in the loop: residual over the solver's tolerance", measure, 1.0),
        Part("mean factor of a step", found.factor, 0.8),
        Part("steps in which the residual grew", int(np.count_nonzero(steps >= 0.0)), 0.0),
    ]


def _matrix(equations: Any) -> Any:
    starts, columns, values = equations.grid.matrix.getValuesCSR()
    return sp.csr_matrix((values, columns, starts))
