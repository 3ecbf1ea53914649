"""The regulatory elements that are planted, and the windows beside them that look alike but miss the point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.simulator.motifs import (
    ACCEPTOR,
    ACTIVATOR,
    BASES,
    BRANCH,
    DONOR,
    DOWNSTREAM,
    INITIATOR,
    PARTNER,
    REPRESSOR,
    TATA,
    Motif,
)


@dataclass(frozen=True)
class Site:
    """A motif in an element: 0-based half-open, on the element's own strand or the other."""

    motif: str
    start: int
    end: int
    strand: str = "+"


@dataclass(frozen=True)
class Element:
    """One labelled window.

    Attributes:
        task: the task that it answers.
        label: its class.
        sequence: upper-case bases.
        sites: the motifs that were planted, ascending.
    """

    task: str
    label: str
    sequence: str
    sites: tuple[Site, ...] = ()


@dataclass(frozen=True)
class TaskSheet:
    """One task: its labels in order, what draws a window of a label, and whether both strands answer alike."""

    name: str
    labels: tuple[str, ...]
    make: Callable[[str, str, np.random.Generator], Element]
    length: int
    reverse_complement: bool


def _with(background: str, planted: Sequence[tuple[str, int, str, str]]) -> tuple[str, tuple[Site, ...]]:
    """Writes sites (motif, place, bases as they stand, strand) over a background."""
    letters = list(background)
    sites = []
    for name, start, bases, strand in sorted(planted, key=lambda each: each[1]):
        letters[start : start + len(bases)] = bases
        sites.append(Site(name, start, start + len(bases), strand))
    return "".join(letters), tuple(sites)


def promoter(label: str, background: str, rng: np.random.Generator) -> Element:
    """TATA promoters, TATA-less promoters with CpG islands and a downstream element, and neither.

    The start of transcription lies at two thirds of the window. "tata": a TATA box 31 to 28 bases before an initiator.
    "tata-less": an initiator, a downstream element 28 bases behind, more C and G with CpG around. "none": the
    background, in half of the cases with an initiator alone and in a quarter with a TATA box at a wrong distance.
    """
    start = 2 * len(background) // 3
    initiator = (INITIATOR.name, start - 2, INITIATOR.draw(rng), "+")
    planted = []
    if label == "tata":
        planted = [(TATA.name, start - int(rng.integers(28, 32)), TATA.draw(rng), "+"), initiator]
    elif label == "tata-less":
        background = _enriched(background, rng)
        planted = [initiator, (DOWNSTREAM.name, start + 28, DOWNSTREAM.draw(rng), "+")]
    elif rng.random() < 0.5:
        planted = [initiator]
    elif rng.random() < 0.5:
        planted = [(TATA.name, int(rng.integers(0, start // 3)), TATA.draw(rng), "+")]
    return Element("promoter", label, *_with(background, planted))


def _enriched(background: str, rng: np.random.Generator) -> str:
    """A third of the bases drawn anew from C and G, and a tenth of the places made CpG."""
    letters = np.array(list(background))
    fresh = rng.random(len(letters)) < 0.33
    letters[fresh] = rng.choice(list("CG"), size=int(fresh.sum()))
    for place in np.flatnonzero(rng.random(len(letters) - 1) < 0.05).tolist():
        letters[place : place + 2] = ["C", "G"]
    return "".join(letters.tolist())


def splice_site(label: str, background: str, rng: np.random.Generator) -> Element:
    """ "donor", "acceptor" (with a branch point 18 to 35 bases before) in the middle, or "none": a decoy GT or AG."""
    middle = len(background) // 2
    if label == "donor":
        planted = [(DONOR.name, middle - 3, DONOR.draw(rng), "+")]
    elif label == "acceptor":
        branch = middle - 12 - int(rng.integers(18, 36))
        planted = [(BRANCH.name, branch, BRANCH.draw(rng), "+"), (ACCEPTOR.name, middle - 12, ACCEPTOR.draw(rng), "+")]
    else:
        return Element("splice_site", label, _with(background, [("", middle, ("GT", "AG")[rng.integers(2)], "+")])[0])
    return Element("splice_site", label, *_with(background, planted))


def enhancer(label: str, background: str, rng: np.random.Generator) -> Element:
    """ "active": activator and partner on one strand, at most 30 bases apart, and no repressor; "inactive" misses that.

    The grammar holds on either strand. Inactive windows carry the activator alone, the partner alone, both far apart,
    or the whole grammar beside a repressor: no single motif decides.
    """
    size = len(background)
    first, second = ACTIVATOR, PARTNER
    near = int(rng.integers(4, 30))
    wide = len(first) + near + len(second)
    place = int(rng.integers(len(REPRESSOR) + 2, size - wide))
    pair = [(first.name, place, first), (second.name, place + len(first) + near, second)]
    if label == "inactive":
        kind = int(rng.integers(4))
        if kind < 2:
            pair = pair[kind : kind + 1]
        elif kind == 2:
            far = (second.name, int(rng.integers(size // 2 + 30, size - len(second))), second)
            pair = [(first.name, int(rng.integers(0, size // 2 - 30 - len(first))), first), far]
        else:
            pair = [(REPRESSOR.name, int(rng.integers(0, place - len(REPRESSOR))), REPRESSOR), *pair]
    sequence, sites = _with(background, [(name, start, each.draw(rng), "+") for name, start, each in pair])
    return _either_strand(Element("enhancer", label, sequence, sites), rng)


def activator_count(label: str, background: str, rng: np.random.Generator) -> Element:
    """How many activator sites, "0" to "3", lie in the window, on either strand: counting, not spelling."""
    count = int(label)
    room = len(background) // 3
    planted = []
    for slot in rng.choice(3, size=count, replace=False).tolist():
        start = slot * room + int(rng.integers(0, room - len(ACTIVATOR)))
        site, strand = ACTIVATOR.draw(rng), "+-"[rng.integers(2)]
        planted.append((ACTIVATOR.name, start, site if strand == "+" else reverse_complement(site), strand))
    return Element("site_count", label, *_with(background, planted))


def _either_strand(element: Element, rng: np.random.Generator) -> Element:
    return flipped(element) if rng.random() < 0.5 else element


def flipped(element: Element) -> Element:
    """The same window read from the other strand."""
    size = len(element.sequence)
    sites = tuple(
        Site(site.motif, size - site.end, size - site.start, "-" if site.strand == "+" else "+")
        for site in reversed(element.sites)
    )
    return Element(element.task, element.label, reverse_complement(element.sequence), sites)


TASKS: Mapping[str, TaskSheet] = {
    each.name: each
    for each in (
        TaskSheet("promoter", ("none", "tata", "tata-less"), promoter, 150, False),
        TaskSheet("splice_site", ("none", "donor", "acceptor"), splice_site, 120, False),
        TaskSheet("enhancer", ("inactive", "active"), enhancer, 200, True),
        TaskSheet("site_count", ("0", "1", "2", "3"), activator_count, 150, True),
    )
}
"""The classification tasks: what is where, a site at a fixed place, a grammar of motifs, and a count."""


def markov(order: int, rng: np.random.Generator, *, gc: float = 0.42, spread: float = 8.0) -> np.ndarray:
    """A background of an order: probabilities (4^order, 4) of the next base, around a GC share."""
    even = np.array([1 - gc, gc, gc, 1 - gc]) / 2
    return rng.dirichlet(spread * even, size=4**order)


def draw_background(table: np.ndarray, length: int, rng: np.random.Generator) -> str:
    """A sequence (length) from a Markov table (4^order, 4)."""
    cumulative = table.cumsum(axis=1).tolist()
    states, context, bases = len(table), int(rng.integers(len(table))), []
    for value in rng.random(length).tolist():
        row = cumulative[context]
        base = 0 if value < row[0] else 1 if value < row[1] else 2 if value < row[2] else 3
        bases.append(base)
        context = (context * 4 + base) % states
    return "".join(BASES[base] for base in bases)


def strength(motif: Motif, site: str, strand: str) -> float:
    """Log-odds in bits of a site as it stands on the forward strand."""
    return motif.score(site if strand == "+" else reverse_complement(site))
