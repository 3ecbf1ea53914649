"""k-mers of DNA as numbers: exact codes up to k = 31, canonical over both strands, and what sequences share of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST = 31
"""Two bits a base: 31 bases are exact in 64 bits."""

_CODE = np.full(256, 4, dtype=np.uint8)
_CODE[np.frombuffer(b"ACGTacgt", dtype=np.uint8)] = [0, 1, 2, 3, 0, 1, 2, 3]
_COMPLEMENT = str.maketrans("ACGTacgt", "TGCAtgca")
_BLOCK = 500_000  # bases that are coded at once


def base_codes(sequence: str) -> NDArray[np.uint8]:
    """A 0, C 1, G 2, T 3, anything else 4; shape (length,)."""
    return _CODE[np.frombuffer(sequence.encode("ascii", "replace"), dtype=np.uint8)]


def canonical(sequence: str) -> str:
    """The sequence or its reverse complement, whichever comes first in the alphabet: equal for both strands."""
    upper = sequence.upper()
    return min(upper, upper.translate(_COMPLEMENT)[::-1])


def kmer_codes(codes: NDArray[np.uint8], k: int, *, both: bool = True) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Codes of the k-mers that start at each base, and which of them hold none but A, C, G and T.

    Args:
        codes: of `base_codes`, shape (length,).
        k: 1 to 31.
        both: the smaller code of a k-mer and its reverse complement (canonical); otherwise the strand as written.

    Returns:
        codes and validity, each of shape (max(0, length - k + 1),).
    """
    if not 1 <= k <= LONGEST:
        raise ValueError(f"k must be in 1 to {LONGEST}, got {k}")
    known = codes < 4
    forward = np.where(known, codes, 0).astype(np.uint64)
    backward = np.uint64(3) - forward
    bases = forward, backward
    length = 1
    # Lengths double, and grow by one where the binary digits of k ask for it.
    for digit in bin(k)[3:]:
        forward, backward = _joined(forward, backward, forward, backward, length, length)
        length *= 2
        if digit == "1":
            forward, backward = _joined(forward, backward, *bases, length, 1)
            length += 1
    count = max(0, len(codes) - k + 1)
    forward, backward = forward[:count], backward[:count]
    unknown = np.concatenate([[0], np.cumsum(~known)])
    valid = unknown[k : k + count] == unknown[:count]
    return (np.minimum(forward, backward) if both else forward), valid


def _joined(
    forward: NDArray, backward: NDArray, next_forward: NDArray, next_backward: NDArray, length: int, more: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Codes of both strands of words of `length` bases followed by words of `more` bases."""
    count = max(0, len(forward) - more)
    ahead, behind = next_forward[length : length + count], next_backward[length : length + count]
    count = len(ahead)
    return (
        (forward[:count] << np.uint64(2 * more)) | ahead,
        (behind << np.uint64(2 * length)) | backward[:count],
    )


def sequence_kmers(sequences: Sequence[str], k: int, *, both: bool = True) -> Iterator[tuple[NDArray, NDArray]]:
    """Blocks of (codes uint64, index of the sequence int64) of all valid k-mers; a sequence shorter than k has none."""
    batch: list[int] = []
    held = 0
    for index, sequence in enumerate(sequences):
        batch.append(index)
        held += len(sequence) + 1
        if held >= _BLOCK or index == len(sequences) - 1:
            # One unknown base between sequences: no k-mer spans two of them.
            joined = base_codes("-".join(sequences[i] for i in batch) + "-")
            owner = np.repeat(np.array(batch), [len(sequences[i]) + 1 for i in batch])
            codes, valid = kmer_codes(joined, k, both=both)
            yield codes[valid], owner[: len(codes)][valid]
            batch, held = [], 0


@dataclass(frozen=True)
class Sharing:
    """Which of n sequences share k-mers.

    Attributes:
        links: scipy CSR matrix (n, sets), 1 where a sequence belongs to a set; the sequences of a set share at least
            one k-mer, and any two sequences that share a k-mer are in a common set.
        k: length of the k-mers.
    """

    links: Any
    k: int

    def neighbours(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Sequences (n,) that share a k-mer with a chosen one; the chosen ones only where they share with another."""
        touched = self.links.T @ chosen.astype(np.int64)
        return (self.links @ (touched > 0).astype(np.int64)) > 0

    def components(self) -> NDArray[np.int32]:
        """Label (n,) of the connected component of each sequence."""
        from scipy.sparse import bmat, csr_matrix
        from scipy.sparse.csgraph import connected_components

        n = self.links.shape[0]
        if not self.links.shape[1]:
            return np.arange(n, dtype=np.int32)
        graph = csr_matrix(bmat([[None, self.links], [self.links.T, None]]))
        _, labels = connected_components(graph, directed=False)
        labels = labels[:n]
        return np.unique(labels, return_inverse=True)[1].astype(np.int32)


def sharing(sequences: Sequence[str], *, k: int = LONGEST, memory: int = 512 << 20) -> Sharing:
    """Finds the sequences that share canonical k-mers, in about `memory` bytes beside the sequences.

    The k-mers are taken in as many parts as the memory asks for, each part by a hash of the code. k-mers that the same
    sequences share count once: only sets of sequences are kept.
    """
    from scipy.sparse import csr_matrix

    total = sum(max(0, len(sequence) - k + 1) for sequence in sequences)
    # A k-mer takes 16 bytes, and sorting as much again, twice.
    parts = max(1, -(-total * 64 // memory))
    names = np.random.default_rng(0).integers(0, 2**63, size=max(1, len(sequences)), dtype=np.uint64)
    seen: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
    members: list[NDArray[np.int64]] = []
    sizes: list[NDArray[np.int64]] = []
    for part in range(parts):
        codes, owner = _part(sequences, k, part, parts)
        order = np.argsort(codes, kind="stable")  # owners rise already
        codes, owner = codes[order], owner[order]
        fresh = np.r_[True, (codes[1:] != codes[:-1]) | (owner[1:] != owner[:-1])] if len(codes) else codes == 1
        codes, owner = codes[fresh], owner[fresh]
        starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]]) if len(codes) else np.empty(0, dtype=np.intp)
        lengths = np.diff(np.r_[starts, len(codes)])
        shared = lengths > 1
        if not shared.any():
            continue
        # A set of sequences is known by the sum of their random names.
        signature = np.add.reduceat(names[owner], starts)[shared]
        _, first = np.unique(signature, return_index=True)
        first = first[~np.isin(signature[first], seen)]
        seen = np.concatenate([seen, signature[first]])
        begin, length = starts[shared][first], lengths[shared][first]
        inside = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        members.append(owner[np.repeat(begin, length) + inside])
        sizes.append(length)
    rows = np.concatenate(members) if members else np.empty(0, dtype=np.int64)
    counts = np.concatenate(sizes) if sizes else np.empty(0, dtype=np.int64)
    columns = np.repeat(np.arange(len(counts)), counts)
    links = csr_matrix((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(len(sequences), len(counts)))
    return Sharing(links, k)


def _part(sequences: Sequence[str], k: int, part: int, parts: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    codes, owners = [np.empty(0, dtype=np.uint64)], [np.empty(0, dtype=np.int64)]
    for code, owner in sequence_kmers(sequences, k):
        # Fibonacci hashing: neighbouring codes fall into different parts.
        kept = slice(None) if parts == 1 else (code * np.uint64(11400714819323198485) >> np.uint64(32)) % parts == part
        codes.append(code[kept])
        owners.append(owner[kept])
    return np.concatenate(codes), np.concatenate(owners)
