"""Words of sentences that depend on a number or on how a part of them ends."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "step"), counted(3, "step"), counted(0, "solver iteration")
    ('1 step', '3 steps', '0 solver iterations')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def ended(text: str) -> str:
    """Return a text as a sentence with one mark at its end.

    >>> ended("did you mean 'pod'?"), ended("it failed"), ended("Known: a.")
    ("did you mean 'pod'?", 'it failed.', 'Known: a.')
    """
    text = text.rstrip()
    return text if text.endswith((".", "?", "!")) else f"{text}."
