"""Motifs as position weight matrices: drawing sites of them, and scoring sequences against them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.sequences.kmers import base_codes

BASES = "ACGT"

_LETTERS: Mapping[str, str] = {
    **{base: base for base in BASES},
    "R": "AG",
    "Y": "CT",
    "W": "AT",
    "S": "CG",
    "M": "AC",
    "K": "GT",
    "D": "AGT",
    "H": "ACT",
    "N": BASES,
}


@dataclass(frozen=True)
class Motif:
    """Probabilities (length, 4) of A, C, G and T at each place of a site."""

    name: str
    probabilities: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def consensus(self) -> str:
        """The most probable base at each place."""
        return "".join(BASES[index] for index in self.probabilities.argmax(axis=1))

    @property
    def weights(self) -> NDArray[np.float64]:
        """Log-odds (length, 5) in bits against even bases; minus infinity where a base, or N, cannot stand."""
        with np.errstate(divide="ignore"):
            known = np.log2(self.probabilities / 0.25)
        return np.concatenate([known, np.full((len(self), 1), -np.inf)], axis=1)

    def draw(self, rng: np.random.Generator) -> str:
        """A site, each place drawn independently."""
        picked = (rng.random(len(self))[:, None] > self.probabilities.cumsum(axis=1)).sum(axis=1)
        return "".join(BASES[min(index, 3)] for index in picked.tolist())

    def score(self, site: str) -> float:
        """Log-odds in bits against even bases; a site of another length is a `ValueError`."""
        if len(site) != len(self):
            raise ValueError(f"{self.name}: a site has {len(self)} bases, got {len(site)}")
        return float(self.weights[np.arange(len(self)), base_codes(site)].sum())

    def best(self, sequence: str) -> float:
        """The highest log-odds, in bits, over all places of both strands; minus infinity where none fits."""
        weights = self.weights
        found = -np.inf
        for strand in (sequence, reverse_complement(sequence)):
            codes = base_codes(strand)
            places = len(codes) - len(self) + 1
            if places > 0:
                total = sum(weights[offset, codes[offset : offset + places]] for offset in range(len(self)))
                found = max(found, float(np.max(total)))
        return found


def motif(name: str, pattern: str, purity: float = 0.92) -> Motif:
    """A motif from IUPAC letters: `purity` is shared by the bases that a letter allows, the rest by the others."""
    rows = []
    for letter in pattern:
        allowed = _LETTERS[letter]
        others = 4 - len(allowed)
        share = purity if others else 1.0
        rows.append([share / len(allowed) if base in allowed else (1 - share) / max(1, others) for base in BASES])
    return Motif(name, np.array(rows))


TATA = motif("TATA box", "TATAWAWR")
INITIATOR = motif("initiator", "YYANWYY", 0.9)
DOWNSTREAM = motif("downstream element", "RGWCGTG", 0.9)
DONOR = motif("splice donor", "MAGGTRAGT", 0.9)
BRANCH = motif("branch point", "YTNAY", 0.95)
ACCEPTOR = motif("splice acceptor", "YYYYYYYYNYAGG", 0.9)
ACTIVATOR = motif("activator", "TGACTCAG", 0.94)
PARTNER = motif("partner", "CCACGTGM", 0.94)
REPRESSOR = motif("repressor", "GGAATTCC", 0.94)

# The two bases that the spliceosome reads are always there.
DONOR.probabilities[3:5] = np.eye(4)[[2, 3]]
ACCEPTOR.probabilities[10:12] = np.eye(4)[[0, 2]]

MOTIFS: Mapping[str, Motif] = {
    each.name: each for each in (TATA, INITIATOR, DOWNSTREAM, DONOR, BRANCH, ACCEPTOR, ACTIVATOR, PARTNER, REPRESSOR)
}
