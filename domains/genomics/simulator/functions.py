"""A simulated DNA-to-text set: reading frames of made-up protein families, described by sentences of a small grammar.

What a sentence says is written in the sequence: the family by its consensus of codons, the place by a signal behind the
start codon, the strength of its expression by the choice among synonymous codons. Answers are compared with
`domains.genomics.evaluation.metrics.text_rows`: exact match and token F1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_CODONS = {
    "F": "TTT TTC", "L": "TTA TTG CTT CTC CTA CTG", "I": "ATT ATC ATA", "M": "ATG", "V": "GTT GTC GTA GTG",
    "S": "TCT TCC TCA TCG AGT AGC", "P": "CCT CCC CCA CCG", "T": "ACT ACC ACA ACG", "A": "GCT GCC GCA GCG",
    "Y": "TAT TAC", "H": "CAT CAC", "Q": "CAA CAG", "N": "AAT AAC", "K": "AAA AAG", "D": "GAT GAC", "E": "GAA GAG",
    "C": "TGT TGC", "W": "TGG", "R": "CGT CGC CGA CGG AGA AGG", "G": "GGT GGC GGA GGG",
}  # fmt: skip
_STOPS = ("TAA", "TAG", "TGA")

FAMILIES = {
    "olfactory receptor": ("PMYFFLSNLS", "detects volatile substances"),
    "zinc finger protein": ("CEKCFRQHTG", "binds DNA"),
    "protein kinase": ("HRDLKPENLL", "phosphorylates proteins"),
    "serine protease": ("GDSGGPLVCN", "cuts proteins"),
    "heat shock protein": ("NRTTPSYVAF", "helps proteins to fold"),
    "ion channel": ("TVGYGDMYPV", "lets ions pass"),
}
"""Family to its consensus of amino acids and to what it does."""

PLACES = {"membrane": "LLLLALLA", "nucleus": "PKKKRKVE", "cytosol": "SDTEDASN"}
"""Place in the cell to the signal of amino acids that leads there."""

LEVELS = {"strongly": "GC", "weakly": "AT"}
"""Expression to the bases that codons end with where there is a choice."""

BIAS = 0.9
"""Share of codons that follow the choice of the expression."""


@dataclass(frozen=True)
class FunctionSample:
    """One reading frame and its description.

    Attributes:
        sequence: over ACGT, ATG to stop, between untranslated ends.
        text: the answer.
        family, place, level: what the sentence says.
        start: 0-based place of the ATG.
    """

    sequence: str
    text: str
    family: str
    place: str
    level: str
    start: int


def sentence(family: str, place: str, level: str) -> str:
    """The description: ``<family> of the <place>; <what it does>; <level> expressed.``"""
    return f"{family} of the {place}; {FAMILIES[family][1]}; {level} expressed."


def simulate(count: int, *, seed: int = 0, length: int = 240, mutated: float = 0.1) -> list[FunctionSample]:
    """Samples, all families, places and levels drawn evenly and independently of each other.

    Args:
        count: how many.
        seed: equal seeds give equal samples.
        length: bases of a sequence; the reading frame takes what is left between ends of 6 to 30 bases.
        mutated: chance that an amino acid of the consensus or the signal is another.

    Raises:
        ValueError: a length without room for consensus and signal.
    """
    shortest = 3 * (10 + 8 + 2 + 8) + 60
    if length < shortest:
        raise ValueError(f"a described sequence needs at least {shortest} bases, got {length}")
    if not 0 <= mutated < 1:
        raise ValueError(f"mutated must be from 0 to below 1, got {mutated}")
    random = np.random.default_rng(seed)
    return [_sample(random, length, mutated) for _ in range(count)]


def _sample(random: np.random.Generator, length: int, mutated: float) -> FunctionSample:
    family = list(FAMILIES)[int(random.integers(len(FAMILIES)))]
    place = list(PLACES)[int(random.integers(len(PLACES)))]
    level = list(LEVELS)[int(random.integers(len(LEVELS)))]
    before = int(random.integers(6, 31))
    amino_acids = (length - before - int(random.integers(6, 31))) // 3 - 2
    consensus = _mutated(FAMILIES[family][0], mutated, random)
    protein = random.choice(list(_CODONS), size=amino_acids)
    signal = _mutated(PLACES[place], mutated, random)
    protein[: len(signal)] = signal
    start = int(random.integers(len(signal), amino_acids - len(consensus) + 1))
    protein[start : start + len(consensus)] = consensus
    frame = "ATG" + "".join(_codon(acid, LEVELS[level], random) for acid in protein)
    frame += _STOPS[int(random.integers(3))]
    ends = "".join(random.choice(list("ACGT"), size=length - len(frame)))
    sequence = ends[:before] + frame + ends[before:]
    return FunctionSample(sequence, sentence(family, place, level), family, place, level, before)


def _mutated(acids: str, chance: float, random: np.random.Generator) -> list[str]:
    others = random.choice(list(_CODONS), size=len(acids))
    return [other if random.random() < chance else acid for acid, other in zip(acids, others, strict=True)]


def _codon(acid: str, ending: str, random: np.random.Generator) -> str:
    codons = _CODONS[acid].split()
    chosen = [codon for codon in codons if codon[2] in ending]
    pool = chosen if chosen and random.random() < BIAS else codons
    return pool[int(random.integers(len(pool)))]


def translate(sequence: str, start: int) -> str:
    """Amino acids of a reading frame up to its first stop, which is left out."""
    acids = {codon: acid for acid, codons in _CODONS.items() for codon in codons.split()}
    protein = []
    for place in range(start, len(sequence) - 2, 3):
        codon = sequence[place : place + 3]
        if codon in _STOPS:
            break
        protein.append(acids[codon])
    return "".join(protein)
