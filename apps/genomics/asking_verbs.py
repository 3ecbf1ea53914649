"""`polyhead genomics variants`, `scan`, `embed` and `mutate`: other questions to a trained run."""

from __future__ import annotations


def variants() -> None:
    """Scores variants."""
    raise NotImplementedError


def scan() -> None:
    """Scans contigs."""
    raise NotImplementedError


def embed() -> None:
    """Embeds sequences."""
    raise NotImplementedError


def mutate() -> None:
    """Changes every base."""
    raise NotImplementedError
