"""The features of a branching candidate, by name and in order. Native and plain code compute the same numbers."""

from __future__ import annotations

from typing import Final

RAW: Final = (
    "fraction",
    "distance_to_integer",
    "objective",
    "objective_per_row",
    "rows",
    "row_length_mean",
    "row_length_min",
    "row_length_max",
    "row_length_sd",
    "row_candidates_mean",
    "row_candidates_min",
    "row_candidates_max",
    "row_candidates_sd",
    "dual_sum",
    "dual_max",
    "dual_share",
    "tight_share",
    "tight_by_length",
    "tight_by_candidates",
    "dual_by_candidates",
    "tight_by_norm",
    "pseudocost_down",
    "pseudocost_up",
    "pseudocost_product",
    "inferences_down",
    "inferences_up",
    "conflict",
    "root_shift",
    "average_shift",
    "objective_by_gap",
    "observations_down",
    "observations_up",
    "incumbent_shift",
    "depth",
    "gap",
    "candidates_share",
)
"""36 numbers of each candidate."""

NORMALISED: Final = 30
"""The first so many are also given relative to the smallest and largest of the node's candidates."""

NATIVE: Final = (*RAW, *(f"{name}_relative" for name in RAW[:NORMALISED]))
"""The 66 inputs of a guide that was trained with native features."""

PLAIN: Final = (0, 1, 2, 21, 22, 23, 28, 29, 32, 33, 34, 35)
"""Indices into `RAW` of what PySCIPOpt alone can compute at a bearable price."""

PLAIN_INPUTS: Final = tuple(NATIVE.index(RAW[index]) for index in PLAIN) + tuple(
    NATIVE.index(f"{RAW[index]}_relative") for index in PLAIN if index < NORMALISED
)
"""Indices into `NATIVE` of the inputs of a plain network."""
