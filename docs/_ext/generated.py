"""Directives that write reference pages from the code itself: what the code has cannot be missing on the page.

Each directive takes its Markdown from a plain function in `reference_pages.py`, which tests call, too.
"""

from __future__ import annotations

from typing import Any

import reference_pages
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective


class Generated(SphinxDirective):
    """`{generated} NAME`: the Markdown of `reference_pages.PAGES[NAME]`."""

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        """Parse the generated Markdown in place."""
        name = self.arguments[0]
        text = reference_pages.PAGES[name]()
        container = nodes.container()
        container.document = self.state.document
        source = f"generated from the code: {name}"
        lines = StringList(text.splitlines(), source=source)
        self.state.nested_parse(lines, 0, container, match_titles=True)
        return list(container.children)


def setup(app: Any) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("generated", Generated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
