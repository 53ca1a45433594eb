"""Ways of joining surrogate, solver and verifier: one file for each."""
