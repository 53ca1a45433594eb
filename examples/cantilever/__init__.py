"""A neo-Hookean cantilever of random stiffness under random loads: the example where a start replaces load stepping."""

from __future__ import annotations
