"""Contigs of background with elements on either strand, none over another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.simulator.elements import Element, Site, draw_background, flipped

_TELOMERE = 30  # unknown bases at both ends of a contig
_MASKED = 0.2  # share of the gaps that are written in lower case, as repeats are


@dataclass(frozen=True)
class Placed:
    """An element where it lies: 0-based half-open, read from `strand`; `name` is unique in the genome."""

    name: str
    side: str
    contig: str
    start: int
    strand: str
    element: Element

    @property
    def end(self) -> int:
        return self.start + len(self.element.sequence)

    def sites(self) -> tuple[Site, ...]:
        """The planted motifs in coordinates of the contig, 0-based half-open, on its strands."""
        element = self.element if self.strand == "+" else flipped(self.element)
        return tuple(
            Site(site.motif, self.start + site.start, self.start + site.end, site.strand) for site in element.sites
        )


@dataclass(frozen=True)
class Genome:
    """Contigs by name (upper case; lower case where masked; N at the ends), and what was placed in them."""

    contigs: Mapping[str, str]
    placed: tuple[Placed, ...]


def lay_out(
    elements: Sequence[tuple[str, Element]],
    background: np.ndarray,
    gap: int,
    contigs: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
) -> Genome:
    """Places elements in turn on the contigs of their side, with gaps of half to one and a half times `gap` between."""
    parts: dict[str, list[str]] = {name: ["N" * _TELOMERE] for names in contigs.values() for name in names}
    sizes = dict.fromkeys(parts, _TELOMERE)
    turn = dict.fromkeys(contigs, 0)
    placed = []
    for number, (side, element) in enumerate(elements):
        contig = contigs[side][turn[side] % len(contigs[side])]
        turn[side] += 1
        between = _gap(background, gap, rng)
        strand = "+-"[int(rng.integers(2))]
        start = sizes[contig] + len(between)
        bases = element.sequence if strand == "+" else reverse_complement(element.sequence)
        placed.append(Placed(f"{element.task}_{element.label}_{number}", side, contig, start, strand, element))
        parts[contig] += [between, bases]
        sizes[contig] = start + len(bases)
    whole = {name: "".join([*held, _gap(background, gap, rng), "N" * _TELOMERE]) for name, held in parts.items()}
    return Genome(whole, tuple(placed))


def _gap(background: np.ndarray, mean: int, rng: np.random.Generator) -> str:
    bases = draw_background(background, int(rng.integers(mean // 2, mean + mean // 2 + 1)), rng)
    return bases.lower() if rng.random() < _MASKED else bases
