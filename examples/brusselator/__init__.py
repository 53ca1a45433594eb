"""The Brusselator on a DMDA by a user's own TS: proposals enter PETSc's own time loop, on any number of ranks."""
