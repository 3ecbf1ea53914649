"""What a model says of variants: log-likelihood ratios and changes of task probabilities, read on both strands."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from domains.genomics.readers.vcf import Variant
from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.sequences.genome import Genome
from domains.genomics.sequences.records import RejectedRecord
from domains.genomics.variants.alleles import AlleleGroup, Comparer

_AMBIGUOUS = re.compile("[^ACGT]")


@dataclass(frozen=True)
class VariantWindows:
    """How alleles are read.

    Every allele is read over `size` bases in the direction of reading: what a deletion takes away is filled up from
    behind, so that a shorter allele is not likelier for having fewer bases. Windows end where the contig ends.

    Attributes:
        size: bases of a window.
        before: bases before the variant in the direction of reading; None for half of the window.
        strands: "both" reads the reverse complement as well, and takes the mean.
        boundaries: how many ways of cutting into tokens are averaged: the tokens as they come, then with a boundary 1,
            2, ... bases before the variant. (Moving the window's start does not do: byte-pair tokens agree again after
            a few bases, so that those at the variant stay as they are.)
        share: windows begin at multiples of this; variants that fall into the same window share its reading.
    """

    size: int = 500
    before: int | None = None
    strands: str = "both"
    boundaries: int = 1
    share: int = 1

    def __post_init__(self) -> None:
        if self.strands not in ("both", "forward"):
            raise ValueError(f"strands is {self.strands!r}; it is both or forward")
        for name in ("size", "boundaries", "share"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.upstream < self.size:
            raise ValueError(f"{self.upstream} bases before the variant do not fit in a window of {self.size}")

    @property
    def upstream(self) -> int:
        return self.size // 2 if self.before is None else self.before


@dataclass(frozen=True)
class VariantScore:
    """What a model says of one alternative allele.

    Attributes:
        variant: as it was read; `contig` is the reference's own name of its contig.
        log_ratio: log P(alternative) - log P(reference) in nats, mean over all readings.
        by_strand: "+" and, where it was read, "-" to the mean over that strand's readings.
        spread: standard deviation over the readings, 0 for a single one.
        readings: how many windows were compared: strands times boundaries.
        reference: task to (labels,) probabilities, mean over the readings.
        alternative: the same with the alternative allele.
        ambiguous: share of the reference windows' bases that are none of A, C, G and T.
    """

    variant: Variant
    contig: str
    log_ratio: float
    by_strand: Mapping[str, float]
    spread: float
    readings: int
    reference: Mapping[str, np.ndarray] = field(default_factory=dict)
    alternative: Mapping[str, np.ndarray] = field(default_factory=dict)
    ambiguous: float = 0.0

    def change(self, task: str) -> np.ndarray:
        """(labels,) probability with the alternative less that with the reference."""
        return self.alternative[task] - self.reference[task]


@dataclass(frozen=True)
class _Reading:
    """One allele in one window. Readings of equal `key` have the same reference window."""

    key: tuple[str, str, int, int, int]
    reference: str
    alternative: str
    strand: str


def score_variants(
    variants: Iterable[Variant | RejectedRecord],
    genome: Genome,
    model: Comparer,
    *,
    tasks: Sequence[str] = (),
    windows: VariantWindows | None = None,
    one_strand: Collection[str] = (),
    source: Path | None = None,
    batch: int = 64,
) -> Iterator[VariantScore | RejectedRecord]:
    """Scores variants in their order, `batch` at a time; what was rejected before is passed on in its place.

    A variant whose REF is not what the reference holds, that lies past its contig's end, on an unknown contig, or that
    is too long for the window is a `RejectedRecord` that says so.

    Args:
        one_strand: tasks that are asked on the reference's forward strand alone, since the other one has another
            answer; their probabilities are the mean of that strand's readings.
        source: the file that the rejected records name.
    """
    windows = windows or VariantWindows()
    stream = iter(variants)
    while chunk := list(islice(stream, batch)):
        checked = [_checked(item, genome, windows, source) if isinstance(item, Variant) else item for item in chunk]
        plans = [_readings(item, genome, windows) if isinstance(item, Variant) else [] for item in checked]
        answers = iter(_compared(plans, model, tasks))
        for item, plan in zip(checked, plans, strict=True):
            told = next(answers)
            yield (
                _score(item, genome.name(item.contig), plan, told, tasks, one_strand)
                if isinstance(item, Variant)
                else item
            )


def _checked(
    variant: Variant, genome: Genome, windows: VariantWindows, source: Path | None
) -> Variant | RejectedRecord:
    """The variant, or why it cannot be scored."""

    def rejected(code: str, reason: str, remedy: str = "") -> RejectedRecord:
        return RejectedRecord(source, variant.name, variant.source_line, code, reason, remedy)

    try:
        contig = genome.name(variant.contig)
    except ValueError as error:
        return rejected("unknown-contig", str(error), "take the reference that the variants were called on")
    length, end = genome.length(contig), variant.position + len(variant.ref)
    if not 0 <= variant.position < end <= length:
        reason = f"position {variant.position + 1} to {end} is past the end of {contig}, which has {length} bases"
        return rejected("past-contig-end", reason, "take the reference that the variants were called on")
    if variant.ref == variant.alt:
        return rejected("same", f"reference and alternative are both {variant.ref[:20]}")
    found = genome.fetch(contig, variant.position, end).upper()
    if found != variant.ref:
        place = f"{contig}:{variant.position + 1}"
        reason = f"REF is {_short(variant.ref)}, but the reference has {_short(found)} at {place}"
        if found == variant.alt:
            return rejected("ref-mismatch", reason, "REF and ALT look swapped")
        if reverse_complement(found) == variant.ref:
            return rejected("ref-mismatch", reason, "the allele may be given on the reverse strand")
        return rejected("ref-mismatch", reason, "take the reference that the variants were called on")
    longest = max(len(variant.ref), len(variant.alt))
    room = windows.size - windows.upstream - windows.share
    if longest > room:
        reason = f"an allele of {longest} bases does not fit behind the first {windows.upstream} of {windows.size}"
        return rejected("allele-too-long", reason, "take a larger window")
    return variant


def _readings(variant: Variant, genome: Genome, windows: VariantWindows) -> list[_Reading]:
    """The windows of a variant: strands times boundaries."""
    contig, length = genome.name(variant.contig), genome.length(variant.contig)
    place, end = variant.position, variant.position + len(variant.ref)
    size, share, upstream = windows.size, windows.share, windows.upstream
    left = max(0, place - upstream) // share * share
    right = min(length, -(-(end + upstream) // share) * share)
    low, high = (
        max(0, min(left, right - size - len(variant.ref))),
        min(length, max(right, left + size + len(variant.ref))),
    )
    text = _AMBIGUOUS.sub("N", genome.fetch(contig, low, high).upper())
    before, after = text[: place - low], text[end - low :]
    whole = before + variant.ref + after, before + variant.alt + after
    found = []
    for strand in ("+", "-") if windows.strands == "both" else ("+",):
        if strand == "+":
            reference, alternative = (allele[left - low :][:size] for allele in whole)
            start, distance = left, place - left
        else:
            reference, alternative = (
                reverse_complement(allele[: len(allele) - (high - right)])[:size] for allele in whole
            )
            start, distance = right, right - end
        # Near the end of a contig both alleles are read as far as the shorter one goes.
        common = min(len(reference), len(alternative))
        for boundary in range(windows.boundaries):
            cut = distance - boundary if boundary else 0
            if cut < 0 or (boundary and cut == 0):
                continue
            key = (contig, strand, start, common, cut)
            found.append(_Reading(key, reference[:common], alternative[:common], strand))
    return found


Told = tuple[float, Mapping[str, np.ndarray], Mapping[str, np.ndarray]]


def _compared(plans: Sequence[Sequence[_Reading]], model: Comparer, tasks: Sequence[str]) -> list[list[Told]]:
    """For each reading of each variant: log ratio, probabilities of the reference and of the alternative."""
    groups: dict[tuple, tuple[str, dict[str, int]]] = {}
    for plan in plans:
        for reading in plan:
            alternatives = groups.setdefault(reading.key, (reading.reference, {}))[1]
            alternatives.setdefault(reading.alternative, len(alternatives))
    asked = [AlleleGroup(reference, tuple(found), key[-1]) for key, (reference, found) in groups.items()]
    answers = dict(zip(groups, model.compare(asked, tasks), strict=True))
    told: list[list[Told]] = []
    for plan in plans:
        rows: list[Told] = []
        for reading in plan:
            answer, place = answers[reading.key], groups[reading.key][1][reading.alternative]
            rows.append((float(answer.log_ratios[place]), answer.reference, answer.alternatives[place]))
        told.append(rows)
    return told


def _score(
    variant: Variant,
    contig: str,
    plan: Sequence[_Reading],
    told: Sequence[Told],
    tasks: Sequence[str],
    one_strand: Collection[str],
) -> VariantScore:
    ratios = np.array([ratio for ratio, _, _ in told])
    strands = np.array([reading.strand for reading in plan])
    read = {
        task: [line for line, strand in zip(told, strands, strict=True) if strand == "+" or task not in one_strand]
        for task in tasks
    }
    letters = "".join(reading.reference for reading in plan)
    return VariantScore(
        variant,
        contig,
        float(ratios.mean()),
        {strand: float(ratios[strands == strand].mean()) for strand in dict.fromkeys(strands.tolist())},
        float(ratios.std()),
        len(plan),
        {task: np.mean([reference[task] for _, reference, _ in read[task]], axis=0) for task in tasks},
        {task: np.mean([alternative[task] for _, _, alternative in read[task]], axis=0) for task in tasks},
        letters.count("N") / len(letters),
    )


def _short(allele: str) -> str:
    return allele if len(allele) <= 20 else f"{allele[:20]}... ({len(allele)} bases)"
