"""Code of the documentation, as it stands on the pages."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
_SCRIPT = re.compile(r"^<!-- script: (\S+) -->\n```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """Return all pages of the documentation."""
    return sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)


def blocks(page: Path) -> list[str]:
    """Return the Python blocks of a page in order; `{code-block}` directives are fragments, and left out."""
    return _FENCE.findall(page.read_text())


def script(page: Path, name: str) -> str:
    """Return the script that a page tells its reader to save as `name`."""
    return dict(_SCRIPT.findall(page.read_text()))[name]


def code_lines(text: str) -> int:
    """Return the number of lines that hold code."""
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in text.splitlines())


def as_the_page_says(code: str) -> str:
    """Return the code with the names that the pages tell users of dolfinx 0.8 and later to write."""
    if "FunctionSpace(" not in code or importlib.util.find_spec("dolfinx") is None:
        return code
    import dolfinx.fem

    if not hasattr(dolfinx.fem, "functionspace"):
        return code
    code = code.replace(
        'fem.VectorFunctionSpace(domain, ("Lagrange", 1))', 'fem.functionspace(domain, ("Lagrange", 1, (2,)))'
    )
    return code.replace("fem.FunctionSpace(", "fem.functionspace(")
