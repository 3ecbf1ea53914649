"""A genome as those who read stretches of it need it."""

from __future__ import annotations

from typing import Protocol


class Genome(Protocol):
    """Contigs by name; `domains.genomics.readers.reference.Reference` is one.

    A name is found under whatever convention it is written ("chr1", "1"); coordinates are 0-based and half-open.
    """

    def name(self, contig: str) -> str: ...

    def length(self, contig: str) -> int: ...

    def fetch(self, contig: str, start: int, end: int) -> str: ...
