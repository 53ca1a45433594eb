"""`python -m cosolve.core.cli` is `cosolve`, where the script is not in the path."""

from __future__ import annotations

from cosolve.core.cli.main import main

main()
