"""The curing process: its constants, its cyclic heat load and the drawing of runs. Plain numpy, no mesh.

On the unit square, temperature theta(x, t) and degree of cure alpha = 1 - exp(-phi), period 1:

    theta_t = div(k0 (1 + alpha/2)(1 + 0.3 theta) grad theta) - h theta + Q exp(-|x - c(t)|^2 / (2 s^2)), zero flux,
    phi_t   = A exp(E (theta - 1)),

c(t) runs once a period round a circle of radius R about (cx, 1/2). The load (Q, R, cx) changes from block to block.
All quantities are dimensionless; time is counted in periods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Constants:
    """Constants of the process.

    Attributes:
        conductivity: k0, of the uncured material at theta = 0.
        cure_gain: Relative rise of the conductivity from alpha = 0 to 1.
        heat_gain: Relative rise of the conductivity for each unit of theta.
        loss: h, rate of the heat loss (1 / period).
        width: s, standard deviation of the heat spot.
        rate: A, rate of cure at theta = 1 (1 / period).
        activation: E, sensitivity of the log-rate of cure to theta.
        centre_y: Second coordinate of the circle's centre.
    """

    conductivity: float = 0.005
    cure_gain: float = 0.5
    heat_gain: float = 0.3
    loss: float = 0.2
    width: float = 0.05
    rate: float = 0.003
    activation: float = 6.0
    centre_y: float = 0.5


CONSTANTS = Constants()


@dataclass(frozen=True, slots=True)
class Load:
    """The heat load of one block.

    Attributes:
        power: Q, peak of the heat source.
        radius: R of the spot's circle.
        centre_x: First coordinate of the circle's centre.
    """

    power: float
    radius: float
    centre_x: float

    def as_array(self) -> FloatArray:
        """Return `(power, radius, centre_x)`, shape `(3,)`."""
        return np.array([self.power, self.radius, self.centre_x])

    def source_on_axes(
        self, x: FloatArray, y: FloatArray, times: FloatArray, constants: Constants = CONSTANTS
    ) -> tuple[FloatArray, FloatArray]:
        """Return the factors of the source, a product of functions of x and of y, at `times` (in periods).

        Args:
            x: First coordinates, shape `(nx,)`.
            y: Second coordinates, shape `(ny,)`.
            times: Shape `(nt,)`.
            constants: Constants of the process.

        Returns:
            Shapes `(nt, nx)`, the power included, and `(nt, ny)`.
        """
        angle = 2.0 * np.pi * times[:, None]
        dx = (x - (self.centre_x + self.radius * np.cos(angle))) / constants.width
        dy = (y - (constants.centre_y + self.radius * np.sin(angle))) / constants.width
        return self.power * np.exp(-0.5 * dx**2), np.exp(-0.5 * dy**2)

    def source(self, x: FloatArray, t: float, constants: Constants = CONSTANTS) -> FloatArray:
        """Return the heat source at time `t` (in periods) at points `x` of shape `(n, 2)`; shape `(n,)`."""
        angle = 2.0 * np.pi * t
        dx = x[:, 0] - (self.centre_x + self.radius * np.cos(angle))
        dy = x[:, 1] - (constants.centre_y + self.radius * np.sin(angle))
        dx *= dx
        dy *= dy
        dx += dy
        dx *= -0.5 / constants.width**2
        source: FloatArray = np.exp(dx, out=dx)
        source *= self.power
        return source


@dataclass(frozen=True, slots=True)
class Bump:
    """The initial phi: a Gaussian bump (a part that was cured in part before).

    Attributes:
        height: Peak of phi.
        x: First coordinate of the centre.
        y: Second coordinate of the centre.
        width: Standard deviation.
    """

    height: float
    x: float
    y: float
    width: float = 0.15

    def values(self, points: FloatArray) -> FloatArray:
        """Return phi at `points` of shape `(n, 2)`; shape `(n,)`."""
        squared = (points[:, 0] - self.x) ** 2 + (points[:, 1] - self.y) ** 2
        values: FloatArray = self.height * np.exp(-0.5 * squared / self.width**2)
        return values


@dataclass(frozen=True, slots=True)
class Block:
    """A number of periods under one load.

    Attributes:
        load: The load.
        periods: Number of periods, at least 1.
    """

    load: Load
    periods: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """A whole run: the initial bump, then the blocks. The part is cold (theta = 0) at the start.

    Attributes:
        bump: Initial phi.
        blocks: The blocks in order.
    """

    bump: Bump
    blocks: tuple[Block, ...]

    @property
    def periods(self) -> int:
        """Number of periods of the run."""
        return sum(block.periods for block in self.blocks)


@dataclass(frozen=True, slots=True)
class Ranges:
    """Where runs are drawn from, and the envelope within which the shipped model was trained.

    Attributes:
        power: Lowest and highest Q.
        radius: Lowest and highest R.
        centre_x: Lowest and highest cx.
        height: Lowest and highest height of the bump.
        bump_centre: Lowest and highest coordinate of the bump's centre.
    """

    power: tuple[float, float] = (7.0, 10.0)
    radius: tuple[float, float] = (0.15, 0.3)
    centre_x: tuple[float, float] = (0.4, 0.6)
    height: tuple[float, float] = (0.0, 0.6)
    bump_centre: tuple[float, float] = (0.2, 0.8)

    def draw_load(self, rng: np.random.Generator) -> Load:
        """Draw a load, uniformly."""
        return Load(
            power=float(rng.uniform(*self.power)),
            radius=float(rng.uniform(*self.radius)),
            centre_x=float(rng.uniform(*self.centre_x)),
        )

    def draw_bump(self, rng: np.random.Generator) -> Bump:
        """Draw an initial bump, uniformly."""
        x, y = (float(value) for value in rng.uniform(*self.bump_centre, size=2))
        return Bump(height=float(rng.uniform(*self.height)), x=x, y=y)

    def draw(self, rng: np.random.Generator, periods: Sequence[int] = (100, 100, 100, 100)) -> Schedule:
        """Draw a run with one block for each entry of `periods`, uniformly."""
        bump = self.draw_bump(rng)
        return Schedule(bump, tuple(Block(self.draw_load(rng), count) for count in periods))


RANGES = Ranges()
