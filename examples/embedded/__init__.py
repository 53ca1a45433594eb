"""The embedded example: a dosed reactor in numba, with a surrogate in numpy; needs neither MPI, PETSc nor torch."""
