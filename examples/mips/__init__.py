"""Families of mixed-integer programs, and the benches of guided branch and bound."""
