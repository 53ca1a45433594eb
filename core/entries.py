"""What a plugin registers: frozen entries that name a lazy factory and import nothing heavy."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any, Literal

from cosolve.core.errors import PluginError, nearest

API_VERSION = 1
"""Version of the hook specs. A plugin declares the one it was written for as `COSOLVE_API_VERSION`."""

Role = Literal["surrogate", "solver", "verifier", "coupling", "problem", "bench"]


@dataclass(frozen=True, slots=True)
class SurrogateTraits:
    """What `cosolve plugins --role surrogate` says of a surrogate; each claim is one that a test keeps.

    Attributes:
        inputs: What it sees: `state`, `parameters`, `history`, `features`.
        spaces: Where the values may live: `grid 1-3D`, `grid 2D`, `points`, `any`.
        boundaries: Boundary conditions that its answers keep exactly; empty where the coupling imposes them.
        resolution: `invariant` where the answers converge as the grid is refined (measured by the resolution test),
            `fixed` where they belong to the grid of training, `by base` where an option decides.
        cost: Order of the work of an answer, with n points.
        certified: Properties that every answer has by construction (`translations`, `linear constraints`).
    """

    inputs: str = "state"
    spaces: str = "any"
    boundaries: str = ""
    resolution: str = "fixed"
    cost: str = ""
    certified: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that a plugin offers.

    Attributes:
        name: Unique within its role; what cases and the command line say.
        summary: One line for `cosolve plugins`.
        factory: `"module:attribute"` of a class or function; imported when it is used, never at registration.
        options: `"module:Model"` of a pydantic model of its options; the module must import nothing heavy, so that a
            case can be checked with no solver installed. Empty when it takes no options. A bench with a model takes
            `--key value` on the command line and is called with `options=`.
        solver_options: Of a problem: the same for the `[solver]` table; empty for the common `rtol`, `atol` and
            `max_iterations`.
        requires: Import names that the factory needs (`("dolfinx", "petsc4py")`), named when they are missing.
        baseline: True for a classical rival.
        capabilities: Free words that couplings and reports ask for (`"certified"`, `"jvp"`, `"mesh-transferable"`);
            `"serial"` says that it works on one rank only.
        traits: Of a surrogate: what it sees, where its values live, and what it keeps; None where nothing is said.
        contract: `"module:Class"` of a kit of `cosolve.testing` that makes the object; what `cosolve check-plugin` and
            the plugin's own tests run. Needed where the factory cannot be called without arguments.
    """

    name: str
    summary: str
    factory: str
    options: str = ""
    solver_options: str = ""
    requires: tuple[str, ...] = ()
    baseline: bool = False
    capabilities: tuple[str, ...] = field(default=())
    contract: str = ""
    traits: SurrogateTraits | None = None

    def load(self) -> Any:
        """Import and return the factory.

        Raises:
            PluginError: The module or the attribute cannot be imported; keeps the original error as its cause.
        """
        return _load(self.factory, self.name)

    def load_options(self) -> Any:
        """Import and return the pydantic model of the options, or None."""
        return _load(self.options, self.name) if self.options else None

    def load_contract(self) -> Any:
        """Import and return the conformance kit that the entry names, or None."""
        return _load(self.contract, self.name) if self.contract else None

    def load_solver_options(self) -> Any:
        """Import and return the pydantic model of a problem's `[solver]` table, or None for the common one."""
        return _load(self.solver_options, self.name) if self.solver_options else None


def _load(path: str, name: str) -> Any:
    module_name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(module_name)
        try:
            return getattr(module, attribute)
        except AttributeError as error:
            guess = nearest(attribute, vars(module))
            meant = f"; did you mean {guess!r}?" if guess else "."
            raise PluginError(
                f"{name!r} could not be loaded from {path!r}: module {module_name!r} has no {attribute!r}{meant} "
                f"Correct the text {path!r} in the plugin's Entry."
            ) from error
    except PluginError:
        raise
    except Exception as error:  # whatever a plugin's import raises is a fault of that plugin, reported by name
        missing = isinstance(error, ImportError)
        cure = "Run `cosolve doctor` to see which library is missing." if missing else "Correct that module."
        raise PluginError(
            f"{name!r} could not be loaded from {path!r}: {type(error).__name__}: {error}. {cure}"
        ) from error
