"""SCIP's settings as plain data: named, storable in a model card, and never over the user's own choices."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from cosolve.core.errors import BadInputError, unknown_name
from pyscipopt import SCIP_PARAMEMPHASIS, SCIP_PARAMSETTING, Model

Value: TypeAlias = bool | int | float | str

RULE_PRIORITY: Final = 1_000_000
"""Priority of the branching rule that settings choose: above SCIP's own, below a guide's."""

CPU_CLOCK: Final[Mapping[str, Value]] = {"timing/clocktype": 1}
"""SCIP's clock on CPU seconds: what a busy machine does to wall time does not count."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Parameters of SCIP under a name.

    Attributes:
        name: What tables say.
        params: Parameter to value; what is not named stays at SCIP's default.
    """

    name: str
    params: Mapping[str, Value] = field(default_factory=dict)

    def apply(self, model: Model, *, respect_user: bool = True) -> tuple[str, ...]:
        """Set the parameters on `model`.

        Args:
            model: Any stage in which SCIP allows parameters to be set.
            respect_user: Leave alone what is no longer at SCIP's default: the user chose it.

        Returns:
            The parameters that were left to the user.

        Raises:
            BadInputError: This SCIP does not know a parameter, or refuses a value; nothing was set then.
        """
        now = model.getParams()
        unknown = [name for name in self.params if name not in now]
        if unknown:
            hint = f"SCIP {model.version():.1f} runs here: train or race the settings again with it."
            raise BadInputError(f"settings {self.name!r}: {unknown_name('SCIP parameter', unknown[0], now, hint=hint)}")
        before = defaults()
        # A parameter that a plugin of the user brought has no default here: it is as the user made it.
        kept = [name for name in self.params if respect_user and now[name] != before.get(name, now[name])]
        wanted = {name: value for name, value in self.params.items() if name not in kept}
        for name, value in wanted.items():
            try:
                model.setParam(name, value)
            except Exception as error:  # SCIP answers a refused value with a bare Exception
                for done in wanted:
                    model.setParam(done, now[done])
                raise BadInputError(
                    f"settings {self.name!r}: SCIP refused {name} = {value!r} (found {now[name]!r} there): {error}. "
                    "Correct the value."
                ) from error
        return tuple(kept)

    def merged(self, other: Settings | Mapping[str, Value], name: str = "") -> Settings:
        """Return these settings with those of `other` over them."""
        params = other.params if isinstance(other, Settings) else other
        last = other.name if isinstance(other, Settings) else "changed"
        return Settings(name or f"{self.name}+{last}", {**self.params, **params})

    def with_rule(self, rule: str) -> Settings:
        """Return these settings with one of SCIP's branching rules above the others.

        Raises:
            BadInputError: SCIP has no such rule.
        """
        known = rules()
        if rule not in known:
            raise BadInputError(unknown_name("branching rule", rule, known))
        return Settings(f"{self.name}+{rule}", {**self.params, f"branching/{rule}/priority": RULE_PRIORITY})

    def as_json(self) -> dict[str, Any]:
        """Return `{"name", "params"}`."""
        return {"name": self.name, "params": dict(self.params)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Settings:
        """Return what `as_json` gave.

        Raises:
            BadInputError: It is something else.
        """
        name, params = content.get("name"), content.get("params")
        if not isinstance(name, str) or not isinstance(params, Mapping):
            raise BadInputError(
                f"settings: expected a table with a name and params, found {sorted(content)}; race them again."
            )
        return cls(name, dict(params))


@cache
def defaults() -> Mapping[str, Value]:
    """Return every parameter of this SCIP with its default."""
    return dict(Model().getParams())


@cache
def rules() -> tuple[str, ...]:
    """Return the names of SCIP's branching rules."""
    return tuple(name.split("/")[1] for name in defaults() if _is_priority(name, "branching"))


def _is_priority(parameter: str, group: str) -> bool:
    parts = parameter.split("/")
    return len(parts) == 3 and parts[0] == group and parts[2] == "priority"


def difference(name: str, change: Callable[[Model], None]) -> Settings:
    """Return what `change` does to a fresh model's parameters, as plain data.

    SCIP's emphases and its macros for heuristics, presolving and separation are functions; this makes tables of them.
    """
    model = Model()
    model.hideOutput()
    change(model)
    before = defaults()
    params = {key: value for key, value in model.getParams().items() if before.get(key) != value}
    params.pop("display/verblevel", None)
    return Settings(name, params)


def emphasis(name: str) -> Settings:
    """Return one of SCIP's emphases as a table.

    Args:
        name: Such as `"feasibility"`, `"optimality"`, `"easycip"`, `"hardlp"`, `"phaseproof"`.

    Raises:
        BadInputError: SCIP has none of this name.
    """
    known = {key.lower(): key for key in dir(SCIP_PARAMEMPHASIS) if key.isupper()}
    if name not in known:
        raise BadInputError(unknown_name("emphasis", name, known))
    return difference(name, lambda model: model.setEmphasis(getattr(SCIP_PARAMEMPHASIS, known[name]), True))


@cache
def fast_heuristics() -> Settings:
    """Return SCIP's macro that turns the dear primal heuristics off."""
    return difference("fast heuristics", lambda model: model.setHeuristics(SCIP_PARAMSETTING.FAST))


@cache
def portfolio() -> Mapping[str, Settings]:
    """Return the classical portfolio: default, emphases, and the tables of the learning-to-branch literature.

    `"gasse"` is what Gasse et al. (2019, arXiv 1906.01629) ran all rules with: cuts at the root only, no restarts.
    `"lean"` goes further: no cuts, no restarts, the cheap heuristics only; where node throughput decides, it wins.
    """
    gasse = Settings("gasse", {"separating/maxrounds": 0, "presolving/maxrestarts": 0})
    lean = gasse.merged({"separating/maxroundsroot": 0}).merged(fast_heuristics(), "lean")
    emphases = [emphasis(name) for name in ("easycip", "feasibility", "optimality", "hardlp", "phaseproof")]
    macros = [
        difference(f"{what} {how}", change)
        for what, how, change in (
            ("heuristics", "aggressive", lambda model: model.setHeuristics(SCIP_PARAMSETTING.AGGRESSIVE)),
            ("heuristics", "off", lambda model: model.setHeuristics(SCIP_PARAMSETTING.OFF)),
            ("presolve", "fast", lambda model: model.setPresolve(SCIP_PARAMSETTING.FAST)),
            ("cuts", "aggressive", lambda model: model.setSeparating(SCIP_PARAMSETTING.AGGRESSIVE)),
            ("cuts", "fast", lambda model: model.setSeparating(SCIP_PARAMSETTING.FAST)),
        )
    ]
    return {one.name: one for one in (Settings("default"), gasse, lean, fast_heuristics(), *emphases, *macros)}


def settings_from(text: str) -> Settings:
    """Return settings of the portfolio by name, or those of a JSON file where the text ends in `.json`.

    Raises:
        BadInputError: There are none of this name, or the file holds something else.
    """
    if not text.endswith(".json"):
        return settings_named(text)
    try:
        content = json.loads(Path(text).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(f"{text}: the settings cannot be read: {error.strerror}; correct the path") from error
    except ValueError as error:
        raise BadInputError(f"{text}: expected settings as JSON, found an error: {error}") from error
    return Settings.from_json(content if isinstance(content, Mapping) else {})


def settings_named(name: str) -> Settings:
    """Return settings of the portfolio, with a rule after a plus sign: `"lean+pscost"`.

    Raises:
        BadInputError: There are none of this name.
    """
    base, _, rule = name.partition("+")
    known = portfolio()
    if base not in known:
        raise BadInputError(unknown_name("settings", base, known))
    return known[base].with_rule(rule) if rule else known[base]


def random_changes(settings: Settings, choices: Mapping[str, Iterable[Value]], rng: Any, count: int) -> Settings:
    """Return settings with `count` parameters of `choices` drawn anew: a step of a search.

    Args:
        settings: Where to start.
        choices: Parameter to the values that are tried.
        rng: A numpy generator.
        count: How many parameters to draw.
    """
    names = sorted(choices)
    params = dict(settings.params)
    changed = []
    for index in rng.choice(len(names), size=min(count, len(names)), replace=False):
        name = names[int(index)]
        values = [value for value in choices[name] if value != params.get(name, defaults().get(name))]
        if values:
            params[name] = values[int(rng.integers(len(values)))]
            changed.append(f"{name}={params[name]}")
    return Settings(f"{settings.name} [{', '.join(changed)}]" if changed else settings.name, params)
