"""Options of the surrogates of this plugin; checked with no torch installed."""

from __future__ import annotations

from typing import Any, Literal

from cosolve.core.options import Options
from pydantic import Field

Device = Literal["cpu", "cuda", "auto"]
Base = Literal["mean", "projected", "previous", "linear", "quadratic"]
"""What a basis surrogate adds its correction to.

The mean of training, the projection of the state onto the basis (which drops what the basis cannot hold, instead of
carrying it along), or an extrapolation of accepted states.
"""


class ModuleOptions(Options):
    """`[[surrogate]] name = "torch_module"`: a module of the user, named in the case.

    Attributes:
        module: `"package.module:Class"` or `"folder/file.py:Class"`; this code is the user's own and is run.
        arguments: Keyword arguments of the class.
        weights: Its trained weights, `.pt` or `.safetensors`; empty for a module that loads its own.
        residual: Whether the module answers the change of the state, not the state.
        device: Where it runs: `cpu`, `cuda` (the rank's own device on its node) or `auto`.
        inference: Who runs it: `per_rank`, or `node_leader`, one rank of each node for all its ranks.
    """

    module: str = Field(pattern=r"^.+:[A-Za-z_][A-Za-z0-9_]*$")
    arguments: dict[str, Any] = Field(default_factory=dict)
    weights: str = ""
    residual: bool = False
    device: Device = "cpu"
    inference: Literal["per_rank", "node_leader"] = "per_rank"


class BasisOptions(Options):
    """How a basis surrogate is built and trained.

    Attributes:
        modes: Number of basis functions of the answer.
        state_modes: Number of coefficients of the current state that the network sees; 0 for none, and then the
            proposal needs no communication.
        history_modes: Number of coefficients of the last change of the state that the network sees.
        base: What the correction is added to.
        time: Whether the network sees the time at the end of the step.
        decays: Rates r of further features exp(-r t).
        frequencies: Names of parameters f that give features sin(2 pi f t) and cos(2 pi f t).
        modulated: Names of parameters that are features times each of these sines and cosines, too.
        quadratic_modes: Number of leading coefficients of the state whose products with each other are features.
        shared: Whether state and answer share their modes: a smaller file and a faster proposal.
        basis: `pod`, or `trunk`: networks of the point, fitted to the POD and known at any point.
        trunk_width: Width of the two hidden layers of the trunk.
        width: Width of the hidden layers.
        depth: Number of hidden layers.
        ensemble: Number of networks whose mean is the answer; their spread is the uncertainty.
        weight_power: Weight of a mode in the loss: its standard deviation to the power of twice this number; 1 for
            the L2 error of the state, 0 for equal weights (which serves residuals better).
        epochs: Most epochs of the fit.
        learning_rate: Halved where the validation error stands still; Lion wants a third to a tenth of AdamW's.
        optimiser: `adamw`, `lion`, or `lbfgs`, which takes all steps at once.
        clip: Largest norm of the gradient.
        schedule: `halve` as just said, or `cosine`: falling to zero over all epochs, which suits a short fit.
        tangent_weight: Weight of the derivatives in the loss, where the training has them.
        single: Whether the networks are fitted in single precision: faster, and enough for most.
        batch: Steps in a batch.
        ridge: Regularisation of the linear part, relative to the variance of the features.
        polish: Rounds of L-BFGS after Adam.
    """

    modes: int = Field(default=20, ge=1)
    state_modes: int = Field(default=10, ge=0)
    history_modes: int = Field(default=0, ge=0)
    base: Base = "previous"
    time: bool = True
    decays: tuple[float, ...] = ()
    frequencies: tuple[str, ...] = ()
    modulated: tuple[str, ...] = ()
    quadratic_modes: int = Field(default=0, ge=0)
    shared: bool = False
    basis: Literal["pod", "trunk"] = "pod"
    trunk_width: int = Field(default=64, ge=1)
    width: int = Field(default=64, ge=1)
    depth: int = Field(default=2, ge=1)
    ensemble: int = Field(default=1, ge=1)
    weight_power: float = Field(default=0.5, ge=0.0, le=1.0)
    epochs: int = Field(default=2000, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0.0)
    optimiser: Literal["adamw", "lion", "lbfgs"] = "adamw"
    clip: float = Field(default=10.0, gt=0.0)
    schedule: Literal["halve", "cosine"] = "halve"
    tangent_weight: float = Field(default=0.5, ge=0.0)
    single: bool = False
    batch: int = Field(default=256, ge=1)
    ridge: float = Field(default=1e-8, ge=0.0)
    polish: int = Field(default=0, ge=0)
