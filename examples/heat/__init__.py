"""Nonlinear heat conduction under a pulsed source: the example of the time loop where proposals are certified."""

from __future__ import annotations
