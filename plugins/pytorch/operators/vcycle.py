"""One V-cycle with learned stencils as a preconditioner: linear in the residual, so that scale plays no part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from cosolve.core.arrays import Array
from cosolve.core.errors import BadInputError
from cosolve.core.prediction import Prediction
from cosolve.core.query import Query
from cosolve.plugins.pytorch.features import FeatureMap
from cosolve.plugins.pytorch.grid_surrogate import GridSurrogate
from cosolve.plugins.pytorch.operators.grid_operator import Boundary, GridOperator
from cosolve.plugins.pytorch.operators.mgno import VCycle
from torch import Tensor, nn

_WEIGHTING = ((1.0, 2.0, 1.0), (2.0, 4.0, 2.0), (1.0, 2.0, 1.0))
_LAPLACE = ((0.0, -1.0, 0.0), (-1.0, 4.0, -1.0), (0.0, -1.0, 0.0))


class VCycleOperator(GridOperator):
    """A V-cycle of MgNO between one channel and one channel, with `width` channels inside and no bias anywhere.

    Args:
        c_in: Channels in.
        c_out: Channels out.
        width: Channels inside; with 1 it can be the textbook's V-cycle.
        levels: Grids.
        before: Smoothing steps on the way down.
        behind: Smoothing steps on the way up.
        boundary: How fields go on beyond the grid.
        dtype: float32 or float64.
    """

    boundaries: ClassVar[tuple[str, ...]] = ("zeros", "circular", "reflect")

    def __init__(
        self,
        c_in: int,
        c_out: int,
        width: int = 1,
        levels: int = 5,
        *,
        before: int = 1,
        behind: int = 1,
        boundary: Boundary = "zeros",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.width, self.levels, self.before, self.behind, self.boundary = width, levels, before, behind, boundary
        self.cycle = VCycle(c_in, width, levels, before, behind, boundary, dtype)
        self.project = nn.Parameter(torch.eye(c_out, width, dtype=dtype)[:, :, None, None])

    def settings(self) -> Mapping[str, Any]:
        """Return what builds the operator again."""
        return {
            "width": self.width,
            "levels": self.levels,
            "before": self.before,
            "behind": self.behind,
            "boundary": self.boundary,
        }

    def forward(self, values: Tensor) -> Tensor:
        """Return `(batch, c_out, n, m)` from `(batch, c_in, n, m)`."""
        result: Tensor = nn.functional.conv2d(self.cycle(values), self.project)
        return result

    def set_textbook(self, weight: float = 0.8, shift: float = 0.0) -> None:
        """Set the stencils to Jacobi, full weighting and bilinear interpolation, for `4 u - neighbours - shift u`.

        Args:
            weight: Of Jacobi's smoother.
            shift: Of the finest grid; four times as much on each coarser one, as for a Helmholtz equation.
        """
        laplace = torch.tensor(_LAPLACE, dtype=torch.float64)
        middle = torch.zeros(3, 3, dtype=torch.float64)
        middle[1, 1] = 1.0
        # Full weighting of a residual scaled by h^2 needs a factor of 4 on the grid of 2 h.
        shifts = [shift * 4.0**level for level in range(self.levels)]
        weighting = torch.tensor(_WEIGHTING, dtype=torch.float64)
        self.cycle.set_stencils(
            torch.stack([laplace - own * middle for own in shifts]),
            torch.stack([weight / 4.0 * middle for _ in shifts]),
            weighting / 4.0,
            weighting / 4.0,
        )


class VCycleSurrogate(GridSurrogate):
    """Proposes corrections for residuals on a regular grid by one V-cycle, for the coupling `preconditioner`.

    With `scale_by`, residual and correction are divided by the root of a positive field that the query brings, the
    operator's diagonal: one V-cycle then serves coefficients that vary smoothly.

    Args:
        model: See `GridSurrogate`; made by `build` or `make`.
        features: None are used.
        low: Lowest coordinates of the grid.
        high: Highest coordinates.
        residual: Must be False: a correction is no change of the residual.
        device: `cpu`, `cuda` or `auto`.

    Attributes:
        scale_by: Name of the parameter with the field, owned values; empty for none.
    """

    name: ClassVar[str] = "vcycle"
    operator_type = VCycleOperator
    scale_by: str = ""

    @classmethod
    def make(
        cls, low: Sequence[float], high: Sequence[float], *, scale_by: str = "", double: bool = False, **settings: Any
    ) -> Self:
        """Return a surrogate with the stencils of the textbook.

        Args:
            low: Lowest coordinates of the grid, shape `(2,)`.
            high: Highest coordinates.
            scale_by: See the class.
            double: Double precision.
            **settings: Of `VCycleOperator`.
        """
        surrogate = cls.build(
            FeatureMap((), time=False),
            np.asarray(low, dtype=np.float64),
            np.asarray(high, dtype=np.float64),
            dtype=torch.float64 if double else torch.float32,
            residual=False,
            **settings,
        )
        surrogate.scale_by = scale_by
        surrogate.operator.set_textbook()
        return surrogate

    @property
    def operator(self) -> VCycleOperator:
        """The V-cycle."""
        operator = self.model.operator
        assert isinstance(operator, VCycleOperator)
        return operator

    def settings(self) -> Mapping[str, Any]:
        """Return what builds the surrogate again beside the arrays."""
        return {**super().settings(), "scale_by": self.scale_by}

    @classmethod
    def from_file(cls, tensors: Mapping[str, Array], settings: Mapping[str, Any]) -> Self:
        """Build the surrogate again; see `GridSurrogate.from_file`."""
        surrogate = super().from_file(tensors, settings)
        surrogate.scale_by = str(settings["scale_by"])
        return surrogate

    def _predict(self, query: Query) -> Prediction:
        if not self.scale_by:
            return Prediction(self._corrected(query.state).astype(query.state.dtype, copy=False))
        root = np.sqrt(query.parameters[self.scale_by])
        return Prediction((self._corrected(query.state / root) / root).astype(query.state.dtype, copy=False))

    def _corrected(self, residual: Array) -> Array:
        field = torch.from_numpy(self._whole(residual)).to(dtype=self.dtype, device=self.device)
        with torch.inference_mode():
            answer = self.operator(field[None, None])
        values: Array = answer.cpu().numpy().reshape(-1)[self._mine].astype(np.float64)
        return values

    def learn(
        self,
        residuals: Array,
        errors: Array,
        *,
        epochs: int = 20,
        batch: int = 8,
        rate: float = 3e-3,
        seed: int = 0,
    ) -> Mapping[str, float]:
        """Train the stencils on pairs of residuals and errors, by the relative error that a correction leaves.

        Args:
            residuals: Scaled as in `scale_by`, shape `(count, n, m)`.
            errors: What they belong to, of the same shape.
            epochs: Passes.
            batch: Pairs in a step of Adam.
            rate: Its learning rate at the start of a cosine.
            seed: Of the batches.

        Returns:
            Mean relative error before and after, on the pairs of training.

        Raises:
            BadInputError: The shapes differ.
        """
        if residuals.shape != errors.shape or residuals.ndim != 3:
            raise BadInputError(f"expected pairs of shape (count, n, m), got {residuals.shape} and {errors.shape}")
        given, wanted = (torch.as_tensor(part, dtype=self.dtype)[:, None] for part in (residuals, errors))
        sizes = wanted.flatten(1).norm(dim=1)[:, None, None, None]
        given, wanted = given / sizes, wanted / sizes
        operator = self.operator
        optimizer = torch.optim.Adam(operator.parameters(), lr=rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        random = torch.Generator().manual_seed(seed)

        def left(chosen: Tensor) -> Tensor:
            left_over: Tensor = wanted[chosen] - operator(given[chosen])
            mean: Tensor = left_over.flatten(1).norm(dim=1).mean()
            return mean

        everything = torch.arange(len(wanted))
        with torch.no_grad():
            before = float(left(everything))
        for _ in range(epochs):
            order = torch.randperm(len(wanted), generator=random)
            for chosen in torch.tensor_split(order, list(range(batch, len(order), batch))):
                optimizer.zero_grad()
                loss = left(chosen)
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
                optimizer.step()
            schedule.step()
        with torch.no_grad():
            return {"before": before, "after": float(left(everything))}
