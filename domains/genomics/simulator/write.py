"""A simulated data set: a genome, labelled windows of it, the truth behind them, and variants of known effect."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from domains.genomics.data.facts import TASKS_FILE, TaskFacts, write_facts
from domains.genomics.simulator.elements import TASKS, Element, draw_background, markov, strength
from domains.genomics.simulator.genome import Genome, lay_out
from domains.genomics.simulator.motifs import MOTIFS
from domains.genomics.simulator.variants import Variant, known_variants, vcf
from polyhead.application import RESEARCH_USE
from polyhead.samples import claim_folder
from polyhead.system.files import write_whole

VERSION = 2
"""Raised whenever equal settings would give other files than before."""

GENOME, LABELS, VARIANTS, ELEMENTS, SITES = "genome.fa", "labelled.csv", "variants.vcf", "elements.bed", "sites.gff3"
CODEC = "digits"
ORDER = 3
_LINE = 60


@dataclass(frozen=True)
class SampleSize:
    """How much is simulated.

    Attributes:
        windows: windows of each class of each task, all splits together.
        gap: mean background between windows, bases.
        functions, needles: rows of the text task and of each of the two needle tasks; 0 leaves the tasks out.
        needle_length: bases of a needle's sequence.
        variants: variants that break a site; as many that touch none are written too.
    """

    windows: int
    gap: int = 80
    functions: int = 0
    needles: int = 0
    needle_length: int = 120
    variants: int = 40


PRESETS: Mapping[str, SampleSize] = {
    "tiny": SampleSize(windows=60, functions=120, needles=160, variants=40),
    "small": SampleSize(windows=400, functions=1000, needles=1200, needle_length=200, variants=200),
    "full": SampleSize(windows=2500, functions=6000, needles=8000, needle_length=400, variants=1000),
}

SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}
CONTIGS = {"train": ("chr1", "chr2", "chr3"), "validation": ("chr4",), "test": ("chr5",)}
"""The contigs that the windows of each split lie on: no split shares a base with another."""


def sample(out: Path | str, *, preset: str = "tiny", seed: int = 0, size: SampleSize | None = None) -> dict[str, int]:
    """Writes a simulated data set in the layout that training reads; equal settings give equal files, byte by byte.

    ``genome.fa`` holds five contigs of Markov background with the elements on either strand; ``labelled.csv`` the
    windows with task, label, split and contig (the group), as they read on their own strand; ``tasks.json`` what the
    tasks are; ``elements.bed`` and ``sites.gff3`` where everything lies; ``variants.vcf`` variants with the known
    change of their motif's log-odds. Windows of a split lie on contigs of their own. The tasks "function" (text),
    "needle" (a digit that a motif stands for) and "needle_picture" (a picture of that digit, as codes of the codec in
    ``codecs/``) are made of sequences that are not part of the genome.

    Args:
        out: a new or empty folder, or one that this function wrote with the same settings.
        preset: "tiny", "small" or "full".
        seed: of everything.
        size: instead of the preset's.

    Returns:
        rows of each task.

    Raises:
        ValueError: an unknown preset, bad sizes, or a folder that holds something else.
    """
    out = Path(out)
    if size is None and preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    chosen = size or PRESETS[preset]
    if chosen.windows < 7 or min(chosen.gap, chosen.functions, chosen.needles, chosen.variants, seed) < 0:
        raise ValueError(f"a sample needs at least 7 windows of each class and nothing negative, got {chosen}")
    claim_folder(out, {"simulator": VERSION, "seed": seed, **asdict(chosen)})
    rng = np.random.default_rng(seed)
    background = markov(ORDER, rng)
    genome = lay_out(_elements(chosen, background, rng), background, chosen.gap, CONTIGS, rng)
    rows = _window_rows(genome) + _function_rows(chosen.functions, seed)
    rows += _needle_rows(out, chosen, background, seed)
    variants = known_variants(genome, chosen.variants, rng)
    files = {
        GENOME: _fasta(genome),
        LABELS: _table(rows),
        ELEMENTS: _bed(genome),
        SITES: _gff(genome),
        VARIANTS: vcf(genome, variants),
        "README.txt": _readme(seed, genome, rows, variants),
    }
    write_facts(out, _facts(rows))
    for name, text in files.items():
        write_whole(out / name, text.encode())
    counts: dict[str, int] = {}
    for row in rows:
        counts[row[1]] = counts.get(row[1], 0) + 1
    return counts


def _elements(size: SampleSize, background: np.ndarray, rng: np.random.Generator) -> list[tuple[str, Element]]:
    """The split and the element of every window, in an order drawn anew."""
    made = []
    for sheet in TASKS.values():
        for label in sheet.labels:
            for side in _sides(size.windows):
                made.append((side, sheet.make(label, draw_background(background, sheet.length, rng), rng)))
    return [made[index] for index in rng.permutation(len(made)).tolist()]


def _sides(count: int) -> list[str]:
    held = {side: max(1, round(share * count)) for side, share in SHARES.items() if side != "train"}
    return ["train"] * (count - sum(held.values())) + [side for side, number in held.items() for _ in range(number)]


def _window_rows(genome: Genome) -> list[tuple[str, str, str, str, str]]:
    return [
        (each.element.sequence, each.element.task, each.element.label, each.side, each.contig) for each in genome.placed
    ]


def _function_rows(count: int, seed: int) -> list[tuple[str, str, str, str, str]]:
    if not count:
        return []
    from domains.genomics.simulator.functions import simulate

    made = simulate(count, seed=seed)
    return [
        (each.sequence, "function", each.text, side, f"function {index}")
        for index, (side, each) in enumerate(zip(_sides(count), made, strict=True))
    ]


def _needle_rows(
    out: Path, size: SampleSize, background: np.ndarray, seed: int
) -> list[tuple[str, str, str, str, str]]:
    """Needles with their digits and again with their pictures, whose codec is written into the folder."""
    if not size.needles:
        return []
    from domains.genomics.answers.codecs import CODECS
    from domains.genomics.answers.vqvae import save_vqvae
    from domains.genomics.simulator.needle import digit_codec, digits, labels, plant

    codec, pictures = digit_codec(), digits()
    (out / CODECS).mkdir(exist_ok=True)
    save_vqvae(codec, out / CODECS, CODEC)
    made = plant(
        size.needles,
        size.needle_length,
        seed=seed,
        background=lambda length, random: draw_background(background, length, random),
        pictures=pictures,
    )
    answers = {"needle": [str(each.digit) for each in made], "needle_picture": labels(made, codec, pictures)}
    return [
        (each.sequence, task, label, side, f"needle {index}")
        for task, told in answers.items()
        for index, (side, each, label) in enumerate(zip(_sides(size.needles), made, told, strict=True))
    ]


def _facts(rows: list[tuple[str, str, str, str, str]]) -> dict[str, TaskFacts]:
    there = dict.fromkeys(row[1] for row in rows)
    facts = {
        name: TaskFacts("classification", TASKS[name].labels, TASKS[name].reverse_complement)
        for name in there
        if name in TASKS
    }
    if "function" in there:
        facts["function"] = TaskFacts("text", reverse_complement=False)
    if "needle" in there:
        from domains.genomics.answers.vqvae import DIGITS

        facts["needle"] = TaskFacts("classification", ("0", "1", "2", "3"))
        options = {"codes": DIGITS.codes, "grid": list(DIGITS.grid), "codec": CODEC}
        facts["needle_picture"] = TaskFacts("image", options=options)
    return facts


def _table(rows: list[tuple[str, str, str, str, str]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["sequence", "task", "label", "split", "group"])
    writer.writerows(rows)
    return text.getvalue()


def _fasta(genome: Genome) -> str:
    lines = []
    for name, sequence in genome.contigs.items():
        lines.append(f">{name} simulated")
        lines += [sequence[start : start + _LINE] for start in range(0, len(sequence), _LINE)]
    return "\n".join(lines) + "\n"


def _bed(genome: Genome) -> str:
    """BED6, 0-based half-open, sorted."""
    lines = [
        f"{each.contig}\t{each.start}\t{each.end}\t{each.name}\t0\t{each.strand}"
        for each in sorted(genome.placed, key=lambda each: (each.contig, each.start))
    ]
    return "\n".join(lines) + "\n"


def _gff(genome: Genome) -> str:
    """GFF3, 1-based and inclusive: every planted motif, its log-odds in bits as the score."""
    lines = ["##gff-version 3"]
    for name, sequence in genome.contigs.items():
        lines.append(f"##sequence-region {name} 1 {len(sequence)}")
    for each in sorted(genome.placed, key=lambda each: (each.contig, each.start)):
        for site in each.sites():
            bases = genome.contigs[each.contig][site.start : site.end].upper()
            bits = strength(MOTIFS[site.motif], bases, site.strand)
            place = (
                each.contig,
                "polyhead",
                "regulatory_region",
                site.start + 1,
                site.end,
                f"{bits:.2f}",
                site.strand,
                ".",
            )
            about = f"ID={each.name}.{site.start};Parent={each.name};motif={site.motif}"
            lines.append("\t".join(map(str, (*place, about))))
    return "\n".join(lines) + "\n"


def _readme(seed: int, genome: Genome, rows: list[Any], variants: list[Variant]) -> str:
    bases = sum(map(len, genome.contigs.values()))
    return (
        f"Simulated DNA of no organism: {len(genome.contigs)} contigs, {bases} bases, {len(rows)} labelled sequences "
        f"in {LABELS}, {len(variants)} variants of known effect. Seed {seed}, simulator version {VERSION}.\n"
        f"Tasks are described in {TASKS_FILE}, all sites in {SITES}. chr4 holds the validation windows, chr5 those of "
        f"the test.\n{RESEARCH_USE}\n"
    )
