"""Flow past a cylinder in a channel (DFG 2D-3): the example where a surrogate cannot pay and must be left alone."""

from __future__ import annotations
