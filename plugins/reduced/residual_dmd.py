"""Koopman eigenpairs with error bars: EDMD, the residual of each pair from the same data, and pseudospectra.

Colbrook and Townsend, Rigorous data-driven computation of spectral properties of Koopman operators for dynamical
systems, Comm. Pure Appl. Math. 77 (2024) 221, doi:10.1002/cpa.22125; limits: arXiv:2407.06312. Written
from the equations. With weights W and dictionary matrices X, Y of shape (M, N),

    G = X* W X,  A = X* W Y,  L = Y* W Y,  K = G^+ A,
    res(lambda, g)^2 = g* (L - lambda A* - conj(lambda) A + |lambda|^2 G) g / (g* G g),

which converges to the norm of (K - lambda) g as the samples become dense. A pair with a large residual is an artefact
of the dictionary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.linalg
from cosolve.core.errors import BadInputError

Complex: TypeAlias = npt.NDArray[np.complex128]
Real: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Eigenpairs:
    """Approximate eigenpairs of the Koopman operator.

    Attributes:
        values: Eigenvalues, shape `(n,)`.
        vectors: Coefficients in the dictionary, a column a pair, shape `(N, n)`, of unit norm in L2 of the weights.
        residuals: See the module, shape `(n,)`.
    """

    values: Complex
    vectors: Complex
    residuals: Real

    def certified(self, largest: float) -> Eigenpairs:
        """Return the pairs whose residual is at most `largest`."""
        keep = self.residuals <= largest
        return Eigenpairs(self.values[keep], self.vectors[:, keep], self.residuals[keep])


class KoopmanData:
    """A dictionary evaluated on snapshot pairs.

    Args:
        before: Dictionary at the first snapshots, shape `(M, N)`, real or complex.
        after: Dictionary at the snapshots one step later.
        weights: Quadrature weights of the samples, shape `(M,)`, positive; equal ones by default.
        rcond: Directions of the dictionary smaller than this share of the largest are left out.

    Raises:
        BadInputError: Shapes do not fit, a value is not finite, a weight is not positive, or there are fewer samples
            than functions.
    """

    def __init__(
        self,
        before: npt.ArrayLike,
        after: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
        *,
        rcond: float = 1e-12,
    ) -> None:
        x, y = np.asarray(before), np.asarray(after)
        if x.ndim != 2 or x.shape != y.shape:
            raise BadInputError(f"snapshot pairs need two arrays of one shape (M, N), found {x.shape} and {y.shape}")
        w = np.full(len(x), 1.0 / len(x)) if weights is None else np.asarray(weights, dtype=np.float64)
        if w.shape != (len(x),) or not np.all(w > 0.0):
            raise BadInputError(f"the weights need shape ({len(x)},) and positive values, found {w.shape}")
        if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
            raise BadInputError("a snapshot or a function of the dictionary is NaN or infinite")
        if x.shape[0] < x.shape[1]:
            raise BadInputError(f"{x.shape[0]} snapshot pairs are too few for a dictionary of {x.shape[1]} functions")
        root = np.sqrt(w)[:, None]
        self._x, self._y = root * x, root * y
        # An orthonormal basis of the dictionary: the residuals never see G, whose condition is that of X squared.
        q, s, vh = np.linalg.svd(self._x, full_matrices=False)
        rank = int(np.sum(s > rcond * s[0]))
        self._q = q[:, :rank]
        self._to_dictionary = vh[:rank].conj().T / s[:rank]
        self._y_in_basis = self._y @ self._to_dictionary
        self._k = self._q.conj().T @ self._y_in_basis
        self._l = self._y_in_basis.conj().T @ self._y_in_basis

    @property
    def rank(self) -> int:
        """Number of independent functions of the dictionary."""
        return int(self._q.shape[1])

    @property
    def matrix(self) -> Complex:
        """The Koopman matrix in an orthonormal basis of the dictionary, shape `(rank, rank)`."""
        matrix: Complex = self._k.astype(np.complex128)
        return matrix

    def eigenpairs(self) -> Eigenpairs:
        """Return all eigenpairs of EDMD with their residuals, smallest residual first."""
        values, inner = np.linalg.eig(self._k)
        residuals = np.array([self._residual(value, g) for value, g in zip(values, inner.T, strict=True)])
        order = np.argsort(residuals)
        vectors = (self._to_dictionary @ inner)[:, order]
        return Eigenpairs(values[order].astype(np.complex128), vectors.astype(np.complex128), residuals[order])

    def residual(self, value: complex, vector: npt.ArrayLike) -> float:
        """Return the residual of a candidate pair; `vector` in the dictionary, shape `(N,)`."""
        g = np.asarray(vector)
        along, moved = self._x @ g, self._y @ g
        size = float(np.linalg.norm(along))
        if size == 0.0:
            raise BadInputError("an eigenfunction that is zero on all samples has no residual")
        return float(np.linalg.norm(moved - value * along)) / size

    def pseudospectrum(self, points: npt.ArrayLike) -> Real:
        """Return, at each complex number z, the smallest residual that any function of the dictionary has with it.

        A point where this is below eps lies in the eps-pseudospectrum; where it stays large there is no spectrum.

        Args:
            points: Complex numbers of any shape.

        Returns:
            Residuals of the same shape.
        """
        z = np.asarray(points, dtype=np.complex128)
        identity = np.eye(self.rank)
        found = np.empty(z.size)
        for index, point in enumerate(z.ravel()):
            pencil = self._l - point * self._k.conj().T - np.conj(point) * self._k + abs(point) ** 2 * identity
            smallest = scipy.linalg.eigvalsh(pencil, subset_by_index=(0, 0))[0]
            found[index] = np.sqrt(max(float(smallest), 0.0))
        return found.reshape(z.shape)

    def _residual(self, value: complex, g: Complex) -> float:
        # By vectors rather than by the pencil: the difference of its large terms would lose half of the digits.
        difference = self._y_in_basis @ g - value * (self._q @ g)
        return float(np.linalg.norm(difference) / np.linalg.norm(g))
