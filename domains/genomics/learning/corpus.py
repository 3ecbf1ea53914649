"""Unlabelled sequences for pretraining: cleaned once into a file of bases, read piece by piece at any place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from domains.genomics.sequences.records import RejectedRecord, SequenceRecord
from polyhead.system.files import replacing

BASES_FILE, PIECES_FILE = "bases.bin", "pieces.npy"
SHORTEST_PIECE = 16
_CHUNK = 1_000_000
"""Letters of a contig that are held at a time."""

_FASTA = (".fa", ".fasta", ".fna", ".ffn")


@dataclass(frozen=True)
class Corpus:
    """Pieces of clean bases in a folder: a byte a base in ``bases.bin``, memory-mapped, so that a genome fits.

    Attributes:
        folder: holds the two files.
        pieces: (n, 3) int64: place in the file of bases, length, and 1 for the pieces that are held out.
    """

    folder: Path
    pieces: np.ndarray

    @cached_property
    def _bases(self) -> np.ndarray:
        return np.memmap(self.folder / BASES_FILE, dtype=np.uint8, mode="r")

    def __getstate__(self) -> dict[str, object]:
        # A loader process maps the file itself.
        return {"folder": self.folder, "pieces": self.pieces}

    def __len__(self) -> int:
        return len(self.pieces)

    def sequence(self, piece: int) -> str:
        """The bases of a piece."""
        start, length, _ = self.pieces[piece]
        return self._bases[start : start + length].tobytes().decode("ascii")

    def rows(self, *, held_out: bool) -> np.ndarray:
        """Indices of the pieces of one side."""
        return np.flatnonzero(self.pieces[:, 2] == int(held_out))

    @property
    def bases(self) -> int:
        return int(self.pieces[:, 1].sum())

    def fingerprint(self) -> str:
        """A hash of bases, pieces and sides."""
        found = hashlib.sha256(np.ascontiguousarray(self.pieces).tobytes())
        with (self.folder / BASES_FILE).open("rb") as file:
            while part := file.read(1 << 20):
                found.update(part)
        return found.hexdigest()

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """The corpus that `write_corpus` left in a folder."""
        return cls(folder, np.load(folder / PIECES_FILE, allow_pickle=False))


def write_corpus(
    folder: Path,
    records: Iterable[SequenceRecord | tuple[str, str]],
    *,
    bases: int,
    validation_share: float,
    validation_contigs: Sequence[str] = (),
) -> Corpus:
    """Writes sequences as pieces of at most `bases` bases, in constant memory apart from the record in hand.

    Sequences are cut into pieces of equal length as near as can be; pieces under `SHORTEST_PIECE` bases are left out. A
    piece is held out by its contig's name, or else by a hash of its bases whatever the strand, so that equal pieces
    and reverse complements are on one side.

    Args:
        folder: made where it is not there.
        records: clean records, or pairs of a name and upper-case bases over ACGT.
        bases: longest piece.
        validation_share: share of the pieces held out, in expectation.
        validation_contigs: contigs that are held out; with any, `validation_share` is unused.

    Raises:
        ValueError: no piece to train on, or a contig that is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named = set(validation_contigs)
    seen: set[str] = set()
    pieces: list[tuple[int, int, int]] = []
    end = 0
    with replacing(folder / BASES_FILE) as temporary, temporary.open("wb") as out:
        for record in records:
            name, sequence = (
                (record.contig or record.name, record.sequence) if isinstance(record, SequenceRecord) else record
            )
            if name in named:
                seen.add(name)
            for start, stop in _equal_parts(len(sequence), bases):
                piece = sequence[start:stop]
                if len(piece) < SHORTEST_PIECE:
                    continue
                held_out = name in named if named else _drawn(piece, validation_share)
                out.write(piece.encode("ascii"))
                pieces.append((end, len(piece), int(held_out)))
                end += len(piece)
    if named - seen:
        raise ValueError(f"no contig named {', '.join(sorted(named - seen))} to hold out")
    table = np.array(pieces, dtype=np.int64).reshape(-1, 3)
    if not (table[:, 2] == 0).any():
        raise ValueError(
            f"nothing to pretrain on: no piece of at least {SHORTEST_PIECE} clean bases outside validation"
        )
    with replacing(folder / PIECES_FILE) as temporary, temporary.open("wb") as out:
        np.save(out, table, allow_pickle=False)
    return Corpus(folder, table)


def _equal_parts(length: int, most: int) -> Iterator[tuple[int, int]]:
    count = -(-length // most)
    edges = [length * part // max(count, 1) for part in range(count + 1)]
    return pairwise(edges)


def _drawn(piece: str, share: float) -> bool:
    from domains.genomics.sequences.alphabet import reverse_complement

    form = min(piece, reverse_complement(piece))
    number = int.from_bytes(hashlib.blake2b(form.encode(), digest_size=8).digest(), "big")
    return number < share * 2**64


def sequence_files(source: Path) -> list[Path]:
    """The file itself, or the FASTA files of a folder (also gz), by name; none is a `ValueError`."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ValueError(f"{source} does not exist")
    found = [
        file
        for file in sorted(source.iterdir())
        if file.is_file() and file.name.lower().removesuffix(".gz").removesuffix(".bgz").endswith(_FASTA)
    ]
    if not found:
        raise ValueError(f"{source}: no FASTA file ({', '.join(_FASTA)}, also .gz); name a file to pretrain on another")
    return found


def read_sequences(source: Path, rejected: list[RejectedRecord]) -> Iterator[SequenceRecord]:
    """The clean pieces of a file or folder; what is no sequence is added to `rejected`."""
    from domains.genomics.readers import read_records

    for file in sequence_files(source):
        for record in read_records(file, policy="split", chunk=_CHUNK):
            if isinstance(record, RejectedRecord):
                rejected.append(record)
            else:
                yield record
