"""Sphinx configuration. `make docs` builds with `-W`: a warning is an error."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "cosolve"
author = "the cosolve developers"
copyright = "the cosolve developers, BSD-3-Clause"
release = "0.1.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "generated"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "_ext"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "cosolve"
html_static_path = ["_static"]
html_copy_source = False
html_show_sphinx = False

# The classical and neural libraries are not needed to read a docstring.
autodoc_mock_imports = ["dolfinx", "petsc4py", "mpi4py", "ufl", "basix", "torch", "pyscipopt", "numba"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
