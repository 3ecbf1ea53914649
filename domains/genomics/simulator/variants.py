"""Variants whose effect is known by construction: those that break a planted site, and those that touch none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from domains.genomics.simulator.elements import Site
from domains.genomics.simulator.genome import Genome, Placed
from domains.genomics.simulator.motifs import BASES, MOTIFS

_SNV, _DELETION = 0, 1  # the third kind is an insertion
_WITHOUT = {"none", "inactive"}


@dataclass(frozen=True)
class Variant:
    """A change of the genome, 0-based, with the alleles as VCF writes them (an anchor base before an indel).

    Attributes:
        effect: "disrupts" or "neutral".
        bits: change of the motif's best log-odds within the site and 12 bases around it; 0 where no site is touched.
    """

    contig: str
    position: int
    ref: str
    alt: str
    effect: str
    element: str
    motif: str
    bits: float


def known_variants(genome: Genome, count: int, rng: np.random.Generator) -> list[Variant]:
    """`count` variants that break a site and as many in the same elements that touch none; SNV, deletion, insertion.

    A site is broken at its most informative base: it is replaced by the least probable one, deleted, or split by an
    insertion of four bases. Elements whose label needs no site are left alone. Sorted by contig and position; fewer
    where the genome has fewer elements.
    """
    sited = [placed for placed in genome.placed if placed.sites() and placed.element.label not in _WITHOUT]
    found: list[Variant] = []
    for number, index in enumerate(rng.permutation(len(sited)).tolist()):
        if len(found) >= 2 * count:
            break
        placed = sited[index]
        site = placed.sites()[int(rng.integers(len(placed.sites())))]
        broken, beside = _breaking(genome, placed, site, number % 3, rng), _beside(genome, placed, number % 3, rng)
        if broken is not None and beside is not None:
            found += [broken, beside]
    return sorted(found, key=lambda each: (each.contig, each.position))


def applied(sequence: str, variant: Variant, offset: int = 0) -> str:
    """A stretch of the contig that begins at `offset`, with the alternative allele; another REF is a `ValueError`."""
    at = variant.position - offset
    here = sequence[at : at + len(variant.ref)].upper()
    if at < 0 or here != variant.ref:
        raise ValueError(f"{variant.contig}:{variant.position + 1} has {here or 'nothing'}, not {variant.ref}")
    return sequence[:at] + variant.alt + sequence[at + len(variant.ref) :]


def _breaking(genome: Genome, placed: Placed, site: Site, kind: int, rng: np.random.Generator) -> Variant | None:
    motif = MOTIFS[site.motif]
    information = motif.probabilities if site.strand == "+" else motif.probabilities[::-1, ::-1]
    weight = information.max(axis=1)
    # Away from the ends, where an indel would leave the site as it was.
    inner = np.arange(1, len(weight) - 1)
    place = int(inner[weight[inner].argmax()])
    position = site.start + place
    contig = genome.contigs[placed.contig]
    if kind == _SNV:
        worst = information[place].argsort(kind="stable")
        ref = contig[position].upper()
        alt = next(BASES[base] for base in worst.tolist() if BASES[base] != ref)
    elif kind == _DELETION:
        position -= 1
        ref = contig[position : position + 2].upper()
        alt = ref[0]
    else:
        ref = contig[position].upper()
        alt = ref + "".join(rng.choice(list(BASES), size=4).tolist())
    variant = Variant(placed.contig, position, ref, alt, "disrupts", placed.name, site.motif, 0.0)
    bits = _change(contig, site, variant)
    # A change that leaves an equally good site beside it breaks nothing.
    return replace(variant, bits=round(bits, 3)) if bits < -1 else None


def _change(contig: str, site: Site, variant: Variant) -> float:
    start, end = max(0, site.start - 12), site.end + 12
    before = contig[start:end].upper()
    motif = MOTIFS[site.motif]
    return _floor(motif.best(applied(before, variant, start))) - _floor(motif.best(before))


def _floor(bits: float) -> float:
    """Log-odds with an impossible base count as -20 bits."""
    return max(bits, -20.0)


def _beside(genome: Genome, placed: Placed, kind: int, rng: np.random.Generator) -> Variant | None:
    """A change at least three bases from every site of the element."""
    near = {place for site in placed.sites() for place in range(site.start - 4, site.end + 4)}
    free = [place for place in range(placed.start + 5, placed.end - 5) if place not in near]
    if not free:
        return None
    position = int(rng.choice(free))
    contig = genome.contigs[placed.contig]
    ref = contig[position].upper()
    if kind == _SNV:
        alt = BASES[(BASES.index(ref) + int(rng.integers(1, 4))) % 4]
    elif kind == _DELETION:
        ref = contig[position : position + 2].upper()
        alt = ref[0]
    else:
        alt = ref + BASES[int(rng.integers(4))]
    return Variant(placed.contig, position, ref, alt, "neutral", placed.name, "", 0.0)


def vcf(genome: Genome, variants: Sequence[Variant]) -> str:
    """VCF 4.3 with what is known of every variant in INFO."""
    lines = [
        "##fileformat=VCFv4.3",
        *(f"##contig=<ID={name},length={len(sequence)}>" for name, sequence in genome.contigs.items()),
        '##INFO=<ID=EFFECT,Number=1,Type=String,Description="disrupts a planted site, or neutral">',
        '##INFO=<ID=ELEMENT,Number=1,Type=String,Description="Name of the element in elements.bed">',
        '##INFO=<ID=MOTIF,Number=1,Type=String,Description="Motif of the site">',
        '##INFO=<ID=BITS,Number=1,Type=Float,Description="Change of the log-odds of the motif, bits">',
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO",
    ]
    for number, each in enumerate(variants, start=1):
        info = [f"EFFECT={each.effect}", f"ELEMENT={each.element}", f"BITS={each.bits:g}"]
        if each.motif:
            info.insert(2, f"MOTIF={each.motif.replace(' ', '_')}")
        row = (each.contig, each.position + 1, f"sim{number}", each.ref, each.alt, ".", "PASS", ";".join(info))
        lines.append("\t".join(map(str, row)))
    return "\n".join(lines) + "\n"
