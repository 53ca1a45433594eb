"""Part of cosolve."""
