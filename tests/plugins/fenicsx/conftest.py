from __future__ import annotations

import sys
from pathlib import Path

import pytest

# The problems that these tests share lie beside them, and importlib mode adds no folder to the path.
sys.path.insert(0, str(Path(__file__).parent))

for name in ("dolfinx", "petsc4py"):
    pytest.importorskip(name, reason="FEniCSx is not installed here")
