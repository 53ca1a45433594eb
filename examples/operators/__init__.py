"""Neural operators against each other and against POD, on fields of our own solvers or from elsewhere."""
