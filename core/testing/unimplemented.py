"""What a contract says of a method that the inheriting class left out."""

from __future__ import annotations


def unimplemented(contract: object, method: str, returns: str) -> NotImplementedError:
    """Return the error of a test whose class misses a method.

    The contracts are no abstract classes: pytest leaves abstract ones out without a word, and a suite that tests
    nothing would be green.
    """
    name = type(contract).__name__
    bases = [base.__name__ for base in type(contract).__mro__ if base.__name__.endswith("Contract")]
    kit = next((base for base in bases if base != name), name)
    return NotImplementedError(
        f"{name} inherits {kit}, but does not implement `{method}`, which must return {returns}; add it to {name}"
    )
