"""Letters of DNA: what counts as a sequence, and what becomes of letters that name no single base."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

POLICIES = ("error", "split", "mask", "resolve")
"""What to do with IUPAC letters other than A, C, G and T: refuse, cut them out, write N, or draw a base."""

BASES = "ACGT"

IUPAC: Mapping[str, str] = MappingProxyType(
    {
        "R": "AG",
        "Y": "CT",
        "S": "CG",
        "W": "AT",
        "K": "GT",
        "M": "AC",
        "B": "CGT",
        "D": "AGT",
        "H": "ACT",
        "V": "ACG",
        "N": "ACGT",
    }
)
"""The bases that each ambiguity code of IUPAC-IUB (1984) stands for."""

_UPPER = bytes.maketrans(b"acgturyswkmbdhvnU", b"ACGTTRYSWKMBDHVNT")
_MASK = bytes.maketrans("".join(IUPAC).encode(), b"N" * len(IUPAC))
_COMPLEMENT = str.maketrans("ACGTURYSWKMBDHVNacgturyswkmbdhvn", "TGCAAYRSWMKVHDBNtgcaayrswmkvhdbn")
_CLEAN_RUN = re.compile(b"[ACGT]+")
_NOT_BASES = re.compile(b"[^ACGT]")
_NOT_NUCLEOTIDES = re.compile(b"[^ACGTRYSWKMBDHVN]")
_PROTEIN_ONLY = frozenset("EFILPQZJOX*")
_SHORTEST_PROTEIN = 10


class InvalidSequence(ValueError):
    """A text that is no DNA: `code` (protein, gap, ambiguous, letters), what is wrong, and what to do about it."""

    def __init__(self, code: str, reason: str, remedy: str):
        super().__init__(f"{reason}; {remedy}")
        self.code, self.reason, self.remedy = code, reason, remedy


@dataclass(frozen=True, slots=True)
class Piece:
    """An unbroken part of a sequence; `start` is its 0-based place in the text that was cleaned."""

    start: int
    sequence: str


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What `clean` gives.

    Attributes:
        pieces: in order, upper case over A, C, G and T (and N where the policy is ``mask``).
        length: letters of the text.
        ambiguous: letters that were no single base.
        soft_masked: letters that were written in lower case.
    """

    pieces: tuple[Piece, ...]
    length: int
    ambiguous: int
    soft_masked: int = 0

    @property
    def ambiguous_share(self) -> float:
        """Share of letters that were no single base, 0 for an empty text."""
        return self.ambiguous / self.length if self.length else 0.0


def clean(raw: str, policy: str = "split", *, seed: int = 0, where: str = "") -> Cleaned:
    """Upper-case DNA from a text of letters; U is read as T, lower case (soft-masking) as upper case.

    Args:
        raw: letters without white space; IUPAC codes are allowed, gaps are not.
        policy: ``error`` refuses ambiguity codes; ``split`` gives the pieces between them; ``mask`` writes N for each;
            ``resolve`` draws one of the bases that the code allows, with equal chances.
        seed: of ``resolve``. The same seed, `where` and text give the same bases, whatever was read before.
        where: name of the record, for messages and as part of the seed.

    Raises:
        InvalidSequence: gaps, protein, digits or other letters; ambiguity codes under ``error``. Positions in messages
            count from 1.
        ValueError: an unknown policy.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy is one of {', '.join(POLICIES)}, got {policy!r}")
    if not raw.isascii():
        place = next(k for k, letter in enumerate(raw) if not letter.isascii())
        raise _refusal(raw, place, where)
    written = raw.encode()
    data = written.translate(_UPPER)
    if odd := _NOT_NUCLEOTIDES.search(data):
        raise _refusal(raw, odd.start(), where)
    soft = len(written) - len(written.translate(None, b"abcdefghijklmnopqrstuvwxyz"))
    ambiguous = len(data.translate(None, b"ACGT"))
    if not ambiguous:
        pieces = (Piece(0, data.decode()),) if data else ()
        return Cleaned(pieces, len(data), 0, soft)
    codes = ambiguous - data.count(b"N")
    if len(data) >= _SHORTEST_PROTEIN and 2 * codes > len(data):
        raise _protein(where, f"{codes} of its {len(data)} letters are no bases")
    return Cleaned(_apply(data, policy, seed, where), len(data), ambiguous, soft)


def ambiguous_share(sequence: str) -> float:
    """Share of letters other than A, C, G, T and U in either case, 0 for an empty text."""
    rest = sequence.encode("ascii", "replace").translate(None, b"ACGTUacgtu")
    return len(rest) / len(sequence) if sequence else 0.0


def reverse_complement(sequence: str) -> str:
    """The other strand, read in its own direction. IUPAC codes are complemented, case is kept, U pairs with A.

    Raises:
        InvalidSequence: a letter has no complement.
    """
    if odd := re.search(r"[^ACGTURYSWKMBDHVNacgturyswkmbdhvn]", sequence):
        raise _refusal(sequence, odd.start(), "")
    return sequence.translate(_COMPLEMENT)[::-1]


def _apply(data: bytes, policy: str, seed: int, where: str) -> tuple[Piece, ...]:
    if policy == "error":
        odd = _NOT_BASES.search(data)
        assert odd is not None
        raise InvalidSequence(
            "ambiguous",
            f"{_named(where)}{odd.group().decode()!r} at position {odd.start() + 1} names no single base",
            "choose what becomes of such letters: " + ", ".join(POLICIES[1:]),
        )
    if policy == "split":
        return tuple(Piece(run.start(), run.group().decode()) for run in _CLEAN_RUN.finditer(data))
    if policy == "mask":
        return (Piece(0, data.translate(_MASK).decode()),)
    return (Piece(0, _resolved(data, seed, where)),)


def _resolved(data: bytes, seed: int, where: str) -> str:
    import numpy as np

    digest = hashlib.sha256(f"{seed}\0{where}".encode("utf-8", "surrogatepass")).digest()
    generator = np.random.default_rng(int.from_bytes(digest[:16], "big"))
    letters = np.frombuffer(data, dtype=np.uint8).copy()
    for code, allowed in IUPAC.items():
        places = np.flatnonzero(letters == ord(code))
        if len(places):
            choices = np.frombuffer(allowed.encode(), dtype=np.uint8)
            letters[places] = choices[generator.integers(len(choices), size=len(places))]
    return letters.tobytes().decode()


def _named(where: str) -> str:
    return f"{where}: " if where else ""


def _protein(where: str, why: str) -> InvalidSequence:
    return InvalidSequence("protein", f"{_named(where)}looks like protein ({why})", "give the DNA that codes for it")


def _refusal(raw: str, place: int, where: str) -> InvalidSequence:
    """Why a text is no DNA, told by its first odd letter and by the others."""
    odd = sorted({letter for letter in raw[:100_000].upper() if letter not in BASES + "U" and letter not in IUPAC})
    if "-" in odd or "." in odd:
        gap = re.search(r"[-.]", raw)
        if gap is not None and set(odd) <= set("-."):
            return InvalidSequence(
                "gap",
                f"{_named(where)}a gap ({gap.group()!r}) at position {gap.start() + 1}: a row of an alignment",
                "take the gaps out; where bases are unknown, write N",
            )
    if len(_PROTEIN_ONLY.intersection(odd)) >= 2:
        return _protein(where, "letters " + ", ".join(odd[:12]))
    letter = raw[place]
    return InvalidSequence(
        "letters",
        f"{_named(where)}{letter!r} at position {place + 1} is no letter of DNA"
        + (" (it would be one of protein)" if letter.upper() in _PROTEIN_ONLY else ""),
        "A, C, G, T, U and the IUPAC codes are read",
    )
