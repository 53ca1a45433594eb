"""The hooks: discovery, registration and observation. The numeric work is plain method calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy
from cosolve.core.entries import Entry

if TYPE_CHECKING:
    from cosolve.core.events import RunEvent, StepEvent

hookspec = pluggy.HookspecMarker("cosolve")
hookimpl = pluggy.HookimplMarker("cosolve")
"""Marks an implementation in a plugin: `from cosolve import hookimpl`."""


class RegistrationSpecs:
    """One hook for each role. Each returns frozen entries and imports nothing heavy."""

    @hookspec
    def cosolve_surrogates(self) -> Iterable[Entry]:  # type: ignore[empty-body]  # a hook spec has no body
        """Return the surrogates (and classical proposers, flagged `baseline`) that the plugin offers."""

    @hookspec
    def cosolve_solvers(self) -> Iterable[Entry]:  # type: ignore[empty-body]  # a hook spec has no body
        """Return the solvers that the plugin offers."""

    @hookspec
    def cosolve_verifiers(self) -> Iterable[Entry]:  # type: ignore[empty-body]  # a hook spec has no body
        """Return the verifiers that the plugin offers."""

    @hookspec
    def cosolve_couplings(self) -> Iterable[Entry]:  # type: ignore[empty-body]  # a hook spec has no body
        """Return the couplings that the plugin offers."""

    @hookspec
    def cosolve_problems(self) -> Iterable[Entry]:  # type: ignore[empty-body]  # a hook spec has no body
        """Return the problems (case `[problem] name = ...`) that the plugin offers."""

    @hookspec
    def cosolve_benches(self) -> Iterable[Entry]:  # type: ignore[empty-body]  # a hook spec has no body
        """Return the benches (`cosolve bench NAME`) that the plugin offers."""


class LifecycleSpecs:
    """Observation, at most once for each coupling step. Observers never communicate; what they raise is recorded."""

    @hookspec
    def cosolve_run_started(self, event: RunEvent) -> None:
        """A run starts: ledger and output folder exist, nothing was solved."""

    @hookspec
    def cosolve_proposed(self, event: StepEvent) -> None:
        """Proposals of one transaction are there on every rank."""

    @hookspec
    def cosolve_judged(self, event: StepEvent) -> None:
        """The verdict of one transaction fell, the same on every rank."""

    @hookspec
    def cosolve_committed(self, event: StepEvent) -> None:
        """A transaction was committed."""

    @hookspec
    def cosolve_fell_back(self, event: StepEvent) -> None:
        """A transaction took a rung of the fallback ladder."""

    @hookspec
    def cosolve_run_finished(self, event: RunEvent) -> None:
        """A run ended, whatever its status; the ledger is complete."""
