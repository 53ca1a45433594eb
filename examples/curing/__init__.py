"""The flagship case."""
