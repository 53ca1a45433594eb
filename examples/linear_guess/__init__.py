"""Sequences of linear solves from learned and classical starts: where a network helps multigrid, and where not."""
