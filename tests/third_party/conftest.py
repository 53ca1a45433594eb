"""One fresh environment for all tests of third parties: each installs a distribution of another name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from environment import Environment


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh virtual environment."""
    return Environment(tmp_path_factory.mktemp("fresh") / "environment")
