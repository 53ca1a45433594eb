"""Cahn-Hilliard: the control where a network cannot pay, and must cost nothing."""

from __future__ import annotations
