"""Couple neural surrogates with classical solvers so that the answer keeps the guarantee of the solver."""
