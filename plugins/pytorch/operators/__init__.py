"""Neural operators of the literature, one file a system; importing one imports no other."""
