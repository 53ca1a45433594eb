"""What goes wrong, planted on purpose: the matrix of faults over couplings, roles and ranks, and its bench."""
