"""A travelling wave by the hybrid, beside the exact one: prints both positions and who computed the steps."""

import cosolve
import numpy as np
from cosolve_fisher.solver import Fisher, wave
from cosolve_fisher.surrogate import Strang
from cosolve_fisher.verifier import BoundedResidual

T_END = 6.0

solver = Fisher()
result = cosolve.time_loop(solver, Strang(), t_end=T_END, dt=0.02, verifier=BoundedResidual(), directory="runs/front")
quarter = int(np.argmax(result.value < 0.25))
position = np.interp(0.25, result.value[[quarter, quarter - 1]], solver.x[[quarter, quarter - 1]])
error = np.linalg.norm(result.value - wave(solver.x, T_END)) / np.linalg.norm(wave(solver.x, T_END))
print(f"front at {position:.3f}, exact {5 / np.sqrt(6) * T_END:.3f}; relative error {error:.2e}")
print(f"{result.stats['accepted']} of {result.stats['steps']} steps accepted")
