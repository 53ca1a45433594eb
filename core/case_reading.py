"""Reads a case: a TOML file, the environment and the command line, checked before anything is solved.

Checking needs no solver: entries name options models in modules that import nothing heavy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosolve.core.case import Case, CaseTable, CouplingTable, GovernorTable, OutputTable, Part, WatchdogTable
from cosolve.core.entries import Entry, Role
from cosolve.core.errors import BadInputError, PluginError
from cosolve.core.option_layers import CODE, COMMAND_LINE, Layer, flatten, from_environment, from_file, merge
from cosolve.core.options import Options, SolverOptions, base_folder, check, known_keys
from cosolve.core.petsc_options import pairs_of, tokens_of
from cosolve.core.registry import Registry
from pydantic import BaseModel


def load_case(
    source: Path | str | Mapping[str, Any],
    registry: Registry,
    *,
    overrides: Mapping[str, Any] | Layer | None = None,
    defaults: Mapping[str, Any] | None = None,
    petsc_options: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
    leave_out: Sequence[str] = (),
) -> Case:
    """Read and check a case; solves nothing and needs no solver (not collective).

    Args:
        source: Path of a TOML file, or its tables as nested values.
        registry: What is known of plugins.
        overrides: Values by dotted key that beat everything: the command line's, or a script's.
        defaults: Values by dotted key that everything beats: a script's own defaults.
        petsc_options: PETSc's words from the command line.
        environment: Where `COSOLVE_TABLE__KEY` variables are read.
        leave_out: Tables that are not read; training leaves out `surrogate`, whose model file it is about to make.

    Raises:
        BadInputError: One sentence for each thing that is wrong: source, key, expected, found, what to do (exit 2).
        PluginError: A plugin that the case needs is broken (exit 4).
    """
    if isinstance(source, Mapping):
        file, path = Layer("the case of the script", flatten(source)), None
    else:
        path = Path(source)
        file = from_file(path)
    top = overrides if isinstance(overrides, Layer) else Layer(COMMAND_LINE, dict(overrides or {}))
    merged = merge([top, from_environment(environment), file, Layer(CODE, dict(defaults or {}))])
    tables = {key: table for key, table in merged.tables.items() if key not in leave_out}
    reader = _Reader(tables, merged.origins, file.origin, path.parent if path else Path(), registry)
    petsc = reader.tables.get("petsc", {})
    origins = dict(merged.origins)
    origins.update({f"petsc.{name}": COMMAND_LINE for name in pairs_of(petsc_options)})
    general = reader.check(CaseTable, "case")
    registry.require(general.plugins, where=f"{file.origin}: case.plugins")
    session, coupling = reader.coupling()
    problem = reader.part("problem", "problem", reader.table("problem"), None)
    return Case(
        source=file.origin,
        folder=reader.folder,
        name=general.name or (path.stem if path else problem.name),
        origins=origins,
        problem=problem,
        solver=reader.check(problem.entry.load_solver_options() or SolverOptions, "solver"),
        coupling=coupling,
        session=session,
        surrogates=reader.surrogates(problem.name),
        verifier=reader.part("verifier", "verifier", reader.table("verifier"), "residual"),
        governor=reader.governor(),
        output=reader.check(OutputTable, "output"),
        watchdog=reader.check(WatchdogTable, "watchdog"),
        training=reader.tables.get("training", {}),
        petsc_options=(*tokens_of(flatten(petsc)), *petsc_options),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the tables of one case."""

    tables: Mapping[str, Any]
    origins: Mapping[str, str]
    source: str
    folder: Path
    registry: Registry

    def table(self, key: str) -> dict[str, Any]:
        found = self.tables.get(key, {})
        if not isinstance(found, dict):
            raise BadInputError(f"{self.source}: {key}: expected a table `[{key}]`, found {found!r}; change it there.")
        return dict(found)

    def check(
        self, model: type[Any], key: str, values: Mapping[str, Any] | None = None, known: Sequence[str] = ()
    ) -> Any:
        return check(
            model,
            self.table(key) if values is None else values,
            key=key,
            origins=self.origins,
            source=self.source,
            folder=self.folder,
            also_known=known,
        )

    def origin(self, key: str) -> str:
        return self.origins.get(key, self.source)

    def part(self, role: Role, key: str, values: dict[str, Any], default: str | None) -> Part:
        """Read a table with a `name` and the options of the entry of that name."""
        name = values.pop("name", default)
        if name is None:
            names = ", ".join(entry.name for entry in self.registry.entries(role)) or "none installed"
            raise BadInputError(
                f"{self.source}: {key}.name: expected the name of a {role} ({names}), found nothing; "
                f'add `name = "..."` to [{key}].'
            )
        if not isinstance(name, str):
            raise BadInputError(
                f"{self.origin(f'{key}.name')}: {key}.name: expected a text, found {name!r}; change it."
            )
        where = f"{self.origin(f'{key}.name')}: {key}.name"
        entry = self.registry.get(role, name, where=where)
        return Part(role, name, entry, self.options(entry, key, values, ["name"]), where=where)

    def options(self, entry: Entry, key: str, values: dict[str, Any], known: Sequence[str]) -> BaseModel | None:
        """Check the options of an entry; where it has no model, any option is unknown."""
        model = entry.load_options()
        if model is not None and not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise PluginError(
                f"{entry.name!r} names {entry.options!r} as its options, expected a pydantic model, found {model!r}; "
                "correct the entry of that plugin."
            )
        checked: BaseModel = self.check(model or Options, key, values, known)
        return checked if model is not None else None

    def coupling(self) -> tuple[CouplingTable, Part]:
        """Split `[coupling]` into what every coupling understands and the options of the coupling itself."""
        values = self.table("coupling")
        common = known_keys(CouplingTable)
        shared = {key: value for key, value in values.items() if key in common}
        session: CouplingTable = self.check(CouplingTable, "coupling", shared)
        where = f"{self.origin('coupling.name')}: coupling.name"
        entry = self.registry.get("coupling", session.name, where=where)
        model = entry.load_options()
        own = known_keys(model) if model is not None else []
        rest = {key: value for key, value in values.items() if key not in common or key in own}
        options = self.options(entry, "coupling", rest, common)
        return session, Part("coupling", session.name, entry, options, where=where)

    def surrogates(self, problem: str) -> tuple[Part, ...]:
        listed = self.tables.get("surrogate", [])
        if isinstance(listed, dict):
            raise BadInputError(
                f"{self.source}: surrogate: expected tables `[[surrogate]]`, numbered from 0; found {listed!r}."
            )
        return tuple(self.surrogate(f"surrogate.{index}", dict(table), problem) for index, table in enumerate(listed))

    def surrogate(self, key: str, values: dict[str, Any], problem: str) -> Part:
        """Read one `[[surrogate]]`: a model file, or a registered name with options."""
        model = values.pop("model", None)
        if model is None:
            part = self.part("surrogate", key, values, None)
            if "stored" in part.entry.capabilities:
                raise BadInputError(
                    f"{self.origin(f'{key}.name')}: {key}: {part.name!r} is built from a trained model: give "
                    '`model = "FILE.safetensors"`, or train one: `cosolve train`.'
                )
            return part
        # Imported here: a case without a trained model needs neither numpy nor safetensors to be checked.
        from cosolve.core.model_file import check_matches, load_card

        where = f"{self.origin(f'{key}.model')}: {key}.model"
        path = base_folder(f"{key}.model", self.origins, self.source, self.folder) / str(model)
        try:
            card = load_card(path)
            named = card.model_copy(update={"spaces": {}, "units": {}, "parameters": ()})
            check_matches(named, {"problem": problem}, model=f"the model file {path}")
        except BadInputError as error:
            raise type(error)(f"{where}: {error}") from None
        wanted = values.pop("name", card.surrogate)
        if wanted != card.surrogate:
            raise BadInputError(
                f"{self.origin(f'{key}.name')}: {key}.name: expected {card.surrogate!r}, which the model file {path} "
                f"holds, found {wanted!r}; remove the name or give another model."
            )
        entry = self.registry.get("surrogate", card.surrogate, where=where)
        self.check(Options, key, values, ["name", "model"])
        return Part("surrogate", card.surrogate, entry, model=path, where=where)

    def governor(self) -> GovernorTable:
        table: GovernorTable = self.check(GovernorTable, "governor")
        if table.mode == "replay" and table.replay is None:
            raise BadInputError(
                f"{self.origin('governor.mode')}: governor.replay: expected the folder of the run to repeat, "
                'found nothing; add `replay = "runs/..."` to [governor].'
            )
        return table
