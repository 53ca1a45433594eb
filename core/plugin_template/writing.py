"""Writes the distribution of a new plugin from the templates in this folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from cosolve.core.entries import API_VERSION, Role
from cosolve.core.errors import BadInputError, OutputError
from cosolve.core.registry import Registry
from cosolve.core.wording import counted

TEMPLATE_ROLES: Final[tuple[Role, ...]] = ("surrogate", "solver", "verifier", "coupling", "problem")
"""Roles that there is a template for."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")
_BASELINES: Final = ("surrogate", "solver", "coupling")
_CAPABILITIES: Final[Mapping[Role, tuple[str, ...]]] = {"solver": ("serial",), "verifier": ("certified",)}


def write_plugin(name: str, role: Role, folder: Path, registry: Registry, *, baseline: bool = False) -> list[Path]:
    """Write a distribution that installs, registers and passes its own conformance test.

    Args:
        name: Name of the plugin and of what it offers.
        role: What it offers.
        folder: Where; must not exist, or be empty.
        registry: What is installed: no name may be taken.
        baseline: Whether what it offers is a classical rival.

    Returns:
        The files.

    Raises:
        BadInputError: The name is not usable or taken, the folder is there already, or the role has no baselines.
        OutputError: The files cannot be written.
    """
    _check_name(name, role, registry)
    if baseline and role not in _BASELINES:
        raise BadInputError(
            f"--baseline: only a {', a '.join(_BASELINES[:-1])} or a {_BASELINES[-1]} can be a rival, not a {role}; "
            "leave --baseline out."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "a folder with files in it" if folder.is_dir() else "a file"
        raise BadInputError(f"{folder} is {what} already; choose another name or give --output FOLDER.")
    values = {
        "name": name,
        "role": role,
        "baseline": baseline,
        "package": f"cosolve_{name}",
        "distribution": f"cosolve-{name.replace('_', '-')}",
        "class_name": "".join(word.capitalize() for word in name.split("_")),
        "kit": f"{role.capitalize()}Contract",
        "capabilities": _CAPABILITIES.get(role, ()),
        "api_version": API_VERSION,
        "version": metadata.version("cosolve"),
    }
    package = folder / f"cosolve_{name}"
    files = {
        folder / "pyproject.toml": "pyproject.toml.jinja",
        folder / "README.md": "README.md.jinja",
        package / "__init__.py": "registration.py.jinja",
        package / f"{role}.py": f"{role}.py.jinja",
        folder / "tests" / f"test_{name}.py": "test_plugin.py.jinja",
    }
    # Imported here: the name is checked first, and that needs no templates.
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cosolve.core.plugin_template", "."),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    try:
        for path, template in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(environment.get_template(template).render(values), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}; give another folder by --output.") from error
    return list(files)


def _check_name(name: str, role: Role, registry: Registry) -> None:
    if not _NAME.fullmatch(name):
        proposal = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_").lstrip("0123456789_")[:48]
        cure = f"write {proposal!r}" if proposal else "choose another"
        raise BadInputError(
            f"new-plugin {name!r}: expected a name of small letters, digits and underscores that starts with a letter "
            f"(at most {counted(48, 'character')}); {cure}."
        )
    for plugin in registry.plugins:
        if plugin.name == name:
            raise BadInputError(
                f"new-plugin {name!r}: the plugin {name!r} is installed already, from {plugin.source.distribution}; "
                "choose another name."
            )
    for offer in registry.offers(role):
        if offer.entry.name == name:
            raise BadInputError(
                f"new-plugin {name!r}: plugin {offer.plugin!r} of {offer.distribution} offers a {role} of that name "
                "already; choose another name."
            )
