"""PyTorch: a user's own module, basis x network, DeepONet and FNO as surrogates.

Names are imported when they are first used: discovery loads this package, and must not load torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from cosolve.core.entries import Entry, SurrogateTraits
from cosolve.core.hookspecs import hookimpl

if TYPE_CHECKING:
    from cosolve.plugins.pytorch.basis_surrogate import BasisSurrogate as BasisSurrogate
    from cosolve.plugins.pytorch.deeponet import DeepONet as DeepONet
    from cosolve.plugins.pytorch.module_surrogate import TorchSurrogate as TorchSurrogate
    from cosolve.plugins.pytorch.operators.fno import FourierNeuralOperator as FourierNeuralOperator
    from cosolve.plugins.pytorch.weights import load_weights as load_weights

COSOLVE_API_VERSION = 1

_HERE = "cosolve.plugins.pytorch"
_HOME: Final = {
    "BasisSurrogate": "basis_surrogate",
    "DeepONet": "deeponet",
    "FourierNeuralOperator": "operators.fno",
    "TorchSurrogate": "module_surrogate",
    "load_weights": "weights",
}
__all__ = ["COSOLVE_API_VERSION", "cosolve_surrogates", *_HOME]


@hookimpl
def cosolve_surrogates() -> Iterable[Entry]:
    """Return the surrogates that torch computes."""
    return (
        Entry(
            name="torch_module",
            summary="your own trained nn.Module; weights from .pt (weights_only) or .safetensors",
            factory=f"{_HERE}.module_surrogate:from_options",
            options=f"{_HERE}.options:ModuleOptions",
            contract=f"{_HERE}.contract:ModuleContract",
            requires=("torch",),
            capabilities=("jvp", "vjp"),
            traits=SurrogateTraits(inputs="state, parameters", cost="the module's"),
        ),
        Entry(
            name="pod_mlp",
            summary="basis (POD or trunk network) x coefficients of a small network; carries over between meshes",
            factory=f"{_HERE}.basis_surrogate:BasisSurrogate",
            contract=f"{_HERE}.contract:BasisContract",
            requires=("torch",),
            capabilities=("jvp", "vjp", "mesh-transferable", "stored"),
            traits=SurrogateTraits(
                inputs="state, parameters, history",
                spaces="points",
                boundaries="as its modes",
                resolution="invariant",
                cost="O(n modes)",
                certified="linear constraints of the data, with base mean or projected",
            ),
        ),
        Entry(
            name="deeponet",
            summary="DeepONet: values at sensors in, values at any points out; carries over between meshes",
            factory=f"{_HERE}.deeponet_surrogate:DeepONetSurrogate",
            contract=f"{_HERE}.contract:DeepONetContract",
            requires=("torch",),
            capabilities=("jvp", "vjp", "mesh-transferable", "stored"),
            traits=SurrogateTraits(
                inputs="state at sensors, features", spaces="points", resolution="invariant", cost="O(n terms)"
            ),
        ),
        Entry(
            name="multionet",
            summary="MultiONet: a DeepONet that joins branch and trunk in several layers",
            factory=f"{_HERE}.operators.multionet:MultiONetSurrogate",
            contract=f"{_HERE}.contract:MultiONetContract",
            requires=("torch",),
            capabilities=("jvp", "vjp", "mesh-transferable", "stored"),
            traits=SurrogateTraits(
                inputs="state at sensors, features",
                spaces="points",
                resolution="invariant",
                cost="O(n width)",
            ),
        ),
        Entry(
            name="fno",
            summary="Fourier neural operator on a regular grid, any resolution",
            factory=f"{_HERE}.operators.fno:FNOSurrogate",
            contract=f"{_HERE}.contract:FNOContract",
            requires=("torch",),
            capabilities=("jvp", "vjp", "stored"),
            traits=SurrogateTraits(
                inputs="state, features",
                spaces="grid 1-3D",
                boundaries="periodic",
                resolution="invariant",
                cost="O(n log n)",
                certified="translations of a periodic grid, without coordinates",
            ),
        ),
        Entry(
            name="unet",
            summary="U-Net; with `base`, kernels of fixed physical radius make it a neural operator",
            factory=f"{_HERE}.operators.unet:UNetSurrogate",
            contract=f"{_HERE}.contract:UNetContract",
            requires=("torch",),
            capabilities=("jvp", "vjp", "stored"),
            traits=SurrogateTraits(
                inputs="state, features",
                spaces="grid 1-3D",
                boundaries="by padding",
                resolution="invariant with base",
                cost="O(n)",
            ),
        ),
        Entry(
            name="local_operator",
            summary="spectral, integral and differential kernels side by side, any resolution",
            factory=f"{_HERE}.operators.local_operator:LocalOperatorSurrogate",
            contract=f"{_HERE}.contract:LocalOperatorContract",
            requires=("torch",),
            capabilities=("jvp", "vjp", "stored"),
            traits=SurrogateTraits(
                inputs="state, features",
                spaces="grid 1-3D",
                boundaries="by padding",
                resolution="invariant",
                cost="O(n log n)",
            ),
        ),
        Entry(
            name="mgno",
            summary="linear maps by multigrid V-cycles with learned stencils; boundary conditions by padding",
            factory=f"{_HERE}.operators.mgno:MgNOSurrogate",
            contract=f"{_HERE}.contract:MgNOContract",
            requires=("torch",),
            capabilities=("jvp", "vjp", "stored"),
            traits=SurrogateTraits(
                inputs="state, features",
                spaces="grid 2D",
                boundaries="by padding",
                resolution="invariant with base",
                cost="O(n)",
            ),
        ),
        Entry(
            name="vcycle",
            summary="one V-cycle with learned stencils: corrections of residuals, for the coupling preconditioner",
            factory=f"{_HERE}.operators.vcycle:VCycleSurrogate",
            contract=f"{_HERE}.contract:VCycleContract",
            requires=("torch",),
            capabilities=("stored", "mpi"),
        ),
        Entry(
            name="sinenet",
            summary="several small U-Nets one after the other; commutes with translations of periodic grids",
            factory=f"{_HERE}.operators.sinenet:SineNetSurrogate",
            contract=f"{_HERE}.contract:SineNetContract",
            requires=("torch",),
            capabilities=("jvp", "vjp", "stored"),
            traits=SurrogateTraits(
                inputs="state, features",
                spaces="grid 2D",
                boundaries="by padding",
                resolution="fixed",
                cost="O(n)",
                certified="translations of a periodic grid by 2^levels",
            ),
        ),
    )


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    # Imported here: registration must stay free of torch.
    import importlib

    from cosolve.core.errors import unknown_name

    if name not in _HOME:
        raise AttributeError(unknown_name("name of cosolve.plugins.pytorch", name, _HOME))
    return getattr(importlib.import_module(f"{_HERE}.{_HOME[name]}"), name)
