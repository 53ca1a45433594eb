"""Sequences of linear solves with learned preconditioners, raced against multigrid and sparse factorisations."""
