"""Third-party plugins: five good ones, and others with one planted fault each."""

from __future__ import annotations

from dataclasses import dataclass

HEAD = """
import numpy as np
from cosolve import Decision, Grade, Loop, Prediction, Query, ResidualMeasure, SolveResult, Surrogate, Verdict, Verifier
from cosolve import Coupling, Domain, Solver
from cosolve.core.communicator import world


def total(comm, value):
    result = np.zeros(())
    comm.Allreduce(np.array(float(value)), result)
    return float(result)


class Relax(Surrogate):
    name = "relax"

    def _predict(self, query):
        return Prediction(query.state / (1 + query.dt * query.state**2))

    def jvp(self, query, tangent):
        u, dt = query.state, query.dt
        return tangent * (1 - dt * u**2) / (1 + dt * u**2) ** 2

    def vjp(self, query, cotangent):
        return self.jvp(query, cotangent)


class Decay(Solver):
    name = "decay"

    def __init__(self, n=60):
        self.comm = world().Dup()
        parts = np.array_split(np.arange(n), self.comm.Get_size())
        self.mine = parts[self.comm.Get_rank()]
        self.closed = False

    @property
    def n_owned(self):
        return self.mine.size

    def initial_state(self):
        return 1.0 + 0.5 * np.sin(self.mine)

    def coordinates(self):
        return self.mine[:, None].astype(float)

    def measure(self, query, candidate):
        residual = (1 + query.dt) * candidate - query.state
        norm = total(self.comm, residual @ residual) ** 0.5
        return ResidualMeasure({"residual": norm}, {"residual": 1e-10})

    def _step(self, query, x0):
        return SolveResult(query.state / (1 + query.dt), converged=True, reason="direct", iterations=1)

    def close(self):
        if not self.closed:
            self.comm.Free()
        self.closed = True


class Bounded(Verifier):
    name = "bounded"
    grade = Grade.CERTIFIED
    guarantees = "the residual is below a tenth of the solver's tolerance and no value leaves [-9, 9]"
    does_not_guarantee = "a small error"

    def beyond(self, solver, value):
        return total(solver.comm, np.count_nonzero(np.abs(value) > 9.0))

    def _judge(self, solver, query, prediction):
        beyond = self.beyond(solver, prediction.value)
        if beyond:
            return Verdict(Decision.REJECT, self.grade, beyond, 0.0, f"{beyond:g} values leave [-9, 9]")
        ratio = solver.measure(query, prediction.value).ratio
        decision = Decision.ACCEPT if ratio <= 0.1 else Decision.REJECT
        return Verdict(decision, self.grade, ratio, 0.1, f"the residual is {ratio:.3g} of the tolerance")


class March(Coupling):
    name = "march"

    def run(self):
        context = self.context
        t, t_end, dt = context.problem.time_span
        return Loop(context.session, tuple(context.proposers), t=t, t_end=t_end, dt=dt).run()
"""


@dataclass(frozen=True)
class Plant:
    """One plugin.

    Attributes:
        name: Name of plugin, module and entry.
        role: Its role.
        code: The class `Planted`.
        group: The group of checks that must find it; empty for a good one.
        capabilities: Of its entry.
        registration: Code of the registration module beside the hook.
    """

    name: str
    role: str
    code: str
    group: str = ""
    capabilities: tuple[str, ...] = ()
    registration: str = ""

    def modules(self) -> dict[str, str]:
        """Return the text of both modules."""
        entry = f'Entry("{self.name}", "planted", "{self.name}_objects:Planted", capabilities={self.capabilities!r})'
        hook = (
            f"from cosolve import Entry, hookimpl\n{self.registration}\nCOSOLVE_API_VERSION = 1\n\n\n"
            f"@hookimpl\ndef cosolve_{self.role}s():\n    return [{entry}]\n"
        )
        return {self.name: hook, f"{self.name}_objects": HEAD + "\n\n" + self.code}


GOOD = [
    Plant("good_pointwise", "surrogate", "Planted = Relax", capabilities=("jvp", "vjp")),
    Plant(
        "good_history",
        "surrogate",
        """
class Planted(Surrogate):
    name = "history"
    domain = Domain(low=-50.0, high=50.0, history=1)

    def _predict(self, query):
        if not query.history:
            return Prediction(query.state.copy())
        return Prediction(2 * query.state - query.history[0].state)
""",
    ),
    Plant("good_solver", "solver", "Planted = Decay"),
    Plant("good_verifier", "verifier", "Planted = Bounded"),
    Plant("good_coupling", "coupling", "Planted = March"),
]

BAD = [
    Plant(
        "bad_precision",
        "surrogate",
        """
class Planted(Surrogate):
    name = "precision"

    def _predict(self, query):
        return Prediction(query.state * np.linspace(0.9, 0.9, query.state.size))
""",
        "precision",
    ),
    Plant(
        "bad_in_place",
        "surrogate",
        """
class Planted(Surrogate):
    name = "in_place"

    def _predict(self, query):
        query.state *= 0.9
        return Prediction(query.state.copy())
""",
        "contract",
    ),
    Plant(
        "bad_dice",
        "surrogate",
        """
class Planted(Surrogate):
    name = "dice"

    def _predict(self, query):
        noise = 1e-9 * np.random.default_rng().standard_normal(query.state.size)
        return Prediction((query.state + noise).astype(query.state.dtype))
""",
        "determinism",
    ),
    Plant(
        "bad_gradient",
        "surrogate",
        """
class Planted(Relax):
    name = "gradient"

    def jvp(self, query, tangent):
        return tangent / (1 + query.dt * query.state**2)
""",
        "gradients",
    ),
    Plant(
        "bad_hoarder",
        "surrogate",
        """
class Planted(Relax):
    name = "hoarder"
    seen = []

    def observe(self, query, value):
        self.seen.append(value.copy())
""",
        "memory",
    ),
    Plant(
        "bad_local_mean",
        "surrogate",
        """
class Planted(Surrogate):
    name = "local_mean"

    def _predict(self, query):
        mean = query.state.mean() if query.state.size else 0.0
        return Prediction((query.state + query.dt * (mean - query.state)).astype(query.state.dtype))
""",
        "ranks",
    ),
    Plant(
        "bad_empty_rank",
        "surrogate",
        """
class Planted(Surrogate):
    name = "empty_rank"

    def _predict(self, query):
        largest = np.abs(query.state).max()
        return Prediction(np.clip(0.9 * query.state, -largest, largest).astype(query.state.dtype))
""",
        "ranks",
    ),
    Plant("bad_heavy", "surrogate", "Planted = Relax", "contract", registration="import scipy"),
    Plant(
        "bad_local_verdict",
        "verifier",
        """
class Planted(Bounded):
    name = "local_verdict"

    def beyond(self, solver, value):
        return int(np.count_nonzero(np.abs(value) > 9.0))
""",
        "ranks",
    ),
    Plant(
        "bad_blind_verifier",
        "verifier",
        """
class Planted(Bounded):
    name = "blind_verifier"

    def _judge(self, solver, query, prediction):
        size = total(solver.comm, np.abs(prediction.value).max(initial=0.0))
        decision = Decision.ACCEPT if size < 90.0 else Decision.REJECT
        return Verdict(decision, self.grade, size, 90.0, f"the largest value is {size:.3g}")
""",
        "contract",
    ),
    Plant(
        "bad_secret_memory",
        "solver",
        """
class Planted(Decay):
    name = "secret_memory"
    steps = 0

    def _step(self, query, x0):
        self.steps += 1
        return SolveResult(query.state / (1 + query.dt) + 6e-12 * self.steps, converged=True, iterations=1)
""",
        "determinism",
    ),
    Plant(
        "bad_measure",
        "solver",
        """
class Planted(Decay):
    name = "measure"

    def measure(self, query, candidate):
        norm = float(np.linalg.norm((1 + query.dt) * candidate - query.state))
        return ResidualMeasure({"residual": norm}, {"residual": 1e-10 * (1 + float(np.linalg.norm(candidate)))})
""",
        "contract",
    ),
    Plant(
        "bad_trusting_coupling",
        "coupling",
        """
class Planted(March):
    name = "trusting_coupling"

    def run(self):
        from dataclasses import replace

        result = super().run()
        for proposer in self.context.proposers:
            try:
                value = proposer.predict(Query(result.value, result.t, 0.1)).value
            except RuntimeError:
                continue
            if value.shape == result.value.shape and np.isfinite(value).all():
                result = replace(result, value=value.astype(float))
        return result
""",
        "faults",
    ),
]

HANGING = Plant(
    "bad_hang",
    "surrogate",
    """
class Planted(Surrogate):
    name = "hang"

    def _predict(self, query):
        comm = world()
        if comm.Get_size() > 1 and comm.Get_rank() == 0:
            comm.Barrier()
        return Prediction(0.9 * query.state)
""",
    "ranks",
)
