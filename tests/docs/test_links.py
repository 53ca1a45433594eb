"""Links resolve, the README's commands exist, and Sphinx builds all pages without a warning."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from snippets import DOCS, ROOT, pages

MARKDOWN = [*pages(), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "core" / "README.md"]


def anchors(text):
    """Return the anchors of a page's headings, as MyST and GitHub make them."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_repository_resolve(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://|mailto:", target):
            continue
        name, _, anchor = target.partition("#")
        path = page if not name else (page.parent / name)
        assert path.exists(), f"{page}: {target}"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path.read_text()), f"{page}: {target}"


def test_every_page_can_be_reached():
    listed = set()
    for page in pages():
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), flags=re.DOTALL):
            for line in tree.splitlines():
                if line.strip() == "*":
                    listed |= set(page.parent.glob("*.md"))
                elif line.strip() and not line.startswith(":"):
                    listed.add(page.parent / f"{line.strip()}.md")
    assert {page for page in pages() if page != DOCS / "index.md"} <= listed


def test_commands_of_the_pages_exist():
    makefile = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    from cosolve.core.cli.main import COMMANDS

    found = 0
    for page in MARKDOWN:
        text = page.read_text()
        for target in re.findall(r"`make ([a-z0-9-]+)|^\$? ?make ([a-z0-9-]+)", text, flags=re.MULTILINE):
            found += 1
            assert (target[0] or target[1]) in makefile, f"{page}: make {target}"
        for command in re.findall(r"(?:\$ |`)(?:\.venv/bin/)?cosolve ([a-z][a-z-]*)", text):
            assert command in COMMANDS, f"{page}: cosolve {command}"
    assert found >= 2


def test_the_readme_is_one_page_with_its_two_commands():
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text
    assert "make test" in text
    assert "TORCH=cpu" in text
    assert "cosolve demo --embedded" in text
    assert len(text.splitlines()) <= 110


def test_sphinx_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(tmp_path / "tree"), "-b", "html"]
    done = subprocess.run(
        [*command, str(DOCS), str(tmp_path / "html")], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "cosolve_committed" in (tmp_path / "html/reference/hooks.html").read_text()
