"""The classical rivals of `cycle_jump` as couplings of their own: nobody is asked, every block is run one way."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from cosolve.core.coupling import CouplingContext
from cosolve.couplings.cycle_jump import CycleJump
from cosolve.couplings.cycle_jump_classical import ClassicalCycleJump, ClassicalSettings
from cosolve.couplings.cycle_solver import Method


class _OneWay(CycleJump):
    """Runs every block by one method, whatever the case proposes."""

    method: ClassVar[Method]

    def __init__(self, context: CouplingContext) -> None:
        super().__init__(replace(context, proposers=()))
        self.solver.settings = replace(self.solver.settings, method=self.method)


class ClassicalJump(_OneWay):
    """The classical cycle jump with elliptic Newton, in the settings that were best on validation runs."""

    name: ClassVar[str] = "classical_cycle_jump"
    method: ClassVar[Method] = "classical"

    def __init__(self, context: CouplingContext) -> None:
        super().__init__(context)
        self.solver.classical = ClassicalCycleJump(self.solver.cyclic, ClassicalSettings())


class FullStepping(_OneWay):
    """Every period is run, with the solver's `stepping_steps`."""

    name: ClassVar[str] = "full_stepping"
    method: ClassVar[Method] = "stepping"


class ControlledFullStepping(_OneWay):
    """Every period is run, with as many steps as an error estimate asks for."""

    name: ClassVar[str] = "controlled_full_stepping"
    method: ClassVar[Method] = "controlled"
