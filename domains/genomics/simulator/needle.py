"""Needle in DNA: one motif planted in a background, the answer a picture of the digit that it stands for.

The four motifs and digits are those of Omni-DNA's task; the digits are scikit-learn's, 8 x 8 pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from domains.genomics.sequences.alphabet import reverse_complement

if TYPE_CHECKING:
    from domains.genomics.answers.vqvae import VqVae

MOTIFS = {"TATAAA": 0, "CAAT": 1, "GGGCGG": 2, "TTAGGG": 3}
"""The digit that each motif stands for."""

Background = Callable[[int, np.random.Generator], str]
"""A length and a generator to a sequence of that length over ACGT."""

_CODES = np.frombuffer(b"ACGT", dtype=np.uint8)
_TRIES = 1000


@dataclass(frozen=True)
class Needle:
    """One sequence with its needle.

    Attributes:
        sequence: over ACGT; holds the motif once and no other, on neither strand.
        motif: a key of `MOTIFS`.
        digit: what it stands for.
        position: 0-based start of the motif.
        image: index of the picture of the digit, in the images of `digits`.
    """

    sequence: str
    motif: str
    digit: int
    position: int
    image: int

    @property
    def distance(self) -> int:
        """Bases between the motif's end and the sequence's end."""
        return len(self.sequence) - self.position - len(self.motif)


class MarkovBackground:
    """Order-k Markov background, fitted to sequences, with 0.5 added to each count.

    Args:
        sequences: over ACGT; other letters end a context.
        order: bases that the next one depends on.
    """

    def __init__(self, sequences: Sequence[str], order: int = 3):
        if not 0 <= order <= 8:
            raise ValueError(f"the order must be from 0 to 8, got {order}")
        counts = np.full((4**order, 4), 0.5)
        for sequence in sequences:
            codes = np.searchsorted(_CODES, np.frombuffer(sequence.encode(), dtype=np.uint8))
            codes = np.where(np.isin(np.frombuffer(sequence.encode(), dtype=np.uint8), _CODES), codes, -1)
            if len(codes) <= order:
                continue
            windows = np.lib.stride_tricks.sliding_window_view(codes, order + 1)
            words = windows[(windows >= 0).all(-1)] @ 4 ** np.arange(order, -1, -1)
            counts += np.bincount(words, minlength=4 ** (order + 1)).reshape(-1, 4)
        self.order = order
        self.probabilities = counts / counts.sum(-1, keepdims=True)
        """(4**order, 4): of the next base after each context, bases in the order ACGT."""
        self._cumulative = self.probabilities.cumsum(-1)

    def __call__(self, length: int, random: np.random.Generator) -> str:
        """A sequence; its first bases follow a context drawn evenly."""
        context = int(random.integers(4**self.order))
        drawn = np.empty(length, dtype=np.uint8)
        for place, value in enumerate(random.random(length)):
            base = min(int(np.searchsorted(self._cumulative[context], value, side="right")), 3)
            drawn[place] = base
            context = (context * 4 + base) % 4**self.order
        return _CODES[drawn].tobytes().decode()


class GenomeBackground:
    """Windows of given sequences, places drawn evenly over all of them; windows with a letter outside ACGT are passed.

    Args:
        sequences: upper case.
    """

    def __init__(self, sequences: Sequence[str]):
        self.sequences = list(sequences)

    def __call__(self, length: int, random: np.random.Generator) -> str:
        places = np.array([max(len(sequence) - length + 1, 0) for sequence in self.sequences])
        if not places.sum():
            raise ValueError(f"no sequence of the background is {length} bases long")
        for _ in range(_TRIES):
            index = int(random.integers(places.sum()))
            which = int(np.searchsorted(places.cumsum(), index, side="right"))
            start = index - int(places[:which].sum())
            window = self.sequences[which][start : start + length]
            if not window.strip("ACGT"):
                return window
        raise ValueError(f"the background has hardly a window of {length} bases over ACGT")


def even_background(length: int, random: np.random.Generator) -> str:
    """Every base with probability 1/4."""
    return _CODES[random.integers(4, size=length)].tobytes().decode()


@dataclass(frozen=True)
class Digits:
    """Pictures of the digits that motifs stand for.

    Attributes:
        images: (N, 8, 8) float32 in [0, 1].
        digits: (N,) int64.
    """

    images: np.ndarray
    digits: np.ndarray

    def judge(self) -> Callable[[np.ndarray], np.ndarray]:
        """A nearest-neighbour reader of digits (k = 3): pictures (N, 8, 8) to digits (N,) int64."""
        from sklearn.neighbors import KNeighborsClassifier

        reader = KNeighborsClassifier(3).fit(self.images.reshape(len(self.images), -1), self.digits)
        return lambda images: reader.predict(images.reshape(len(images), -1)).astype(np.int64)


def digits() -> Digits:
    """The digits 0 to 3 of `sklearn.datasets.load_digits`: 720 pictures."""
    from sklearn.datasets import load_digits

    pixels, truth = load_digits(return_X_y=True)
    wanted = np.isin(truth, list(MOTIFS.values()))
    images = np.asarray(pixels, dtype=np.float32)[wanted].reshape(-1, 8, 8) / 16
    return Digits(images, np.asarray(truth, dtype=np.int64)[wanted])


@cache
def digit_codec() -> VqVae:
    """A codec of `digits`, learned once a process, with one thread: their number changes the last bits of weights."""
    import torch

    from domains.genomics.answers.vqvae import fit_vqvae

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return fit_vqvae(digits().images)
    finally:
        torch.set_num_threads(threads)


def plant(
    count: int, length: int, *, seed: int = 0, background: Background = even_background, pictures: Digits | None = None
) -> list[Needle]:
    """Sequences with one needle each, motifs in turn, positions drawn evenly.

    Other occurrences of any motif, on either strand, are removed from the background by drawing a base anew, so that
    the answer is never ambiguous and both strands of a sequence hold the same single needle.

    Args:
        count: how many.
        length: bases of each.
        seed: equal seeds give equal needles.
        background: what they are planted in.
        pictures: `Digits`, read once by the caller where many sets are made.

    Raises:
        ValueError: a length that leaves no room.
    """
    longest = max(map(len, MOTIFS))
    if length < 2 * longest:
        raise ValueError(f"a needle needs sequences of at least {2 * longest} bases, got {length}")
    pictures = pictures or digits()
    random = np.random.default_rng(seed)
    needles = []
    for index in range(count):
        motif = list(MOTIFS)[index % len(MOTIFS)]
        sequence, position = _planted(motif, length, background, random)
        image = int(random.choice(np.flatnonzero(pictures.digits == MOTIFS[motif])))
        needles.append(Needle(sequence, motif, MOTIFS[motif], position, image))
    return [needles[index] for index in random.permutation(count)]


def _planted(motif: str, length: int, background: Background, random: np.random.Generator) -> tuple[str, int]:
    for _ in range(_TRIES):
        letters = list(background(length, random))
        position = int(random.integers(length - len(motif) + 1))
        letters[position : position + len(motif)] = motif
        own = range(position, position + len(motif))
        for _ in range(length * 20):
            other = [span for span in occurrences("".join(letters)) if span != own]
            if not other:
                return "".join(letters), position
            free = [place for place in other[0] if place not in own]
            letters[int(random.choice(free))] = "ACGT"[int(random.integers(4))]
    raise ValueError(f"{motif} finds no background of {length} bases that can be cleared of other motifs")


def occurrences(sequence: str) -> list[range]:
    """The places of all motifs on both strands, as ranges of the forward strand, ascending by their start."""
    found = []
    for word in {word for motif in MOTIFS for word in (motif, reverse_complement(motif))}:
        start = sequence.find(word)
        while start >= 0:
            found.append(range(start, start + len(word)))
            start = sequence.find(word, start + 1)
    return sorted(found, key=lambda span: (span.start, span.stop))


def labels(needles: Sequence[Needle], codec: VqVae, pictures: Digits) -> list[str]:
    """The image answer of each needle: the codes of its picture, as `ImageAnswer.encode` takes them."""
    codes = codec.encode(pictures.images)
    answer = codec.answer()
    return [answer.label(codes[needle.image]) for needle in needles]


@dataclass(frozen=True)
class NeedleScore:
    """How well pictures were answered.

    Attributes:
        count: needles.
        accuracy: share of pictures read as the needle's digit.
        f1: mean over the digits of the F1 score.
        by_distance: for each bin ``(from, to)`` of the motif's distance to the sequence's end, half open, the number of
            needles and their accuracy; bins without needles are left out.
    """

    count: int
    accuracy: float
    f1: float
    by_distance: dict[tuple[int, int], tuple[int, float]]


def judge(
    needles: Sequence[Needle],
    images: np.ndarray,
    pictures: Digits,
    *,
    bins: Sequence[int] = (0, 50, 100, 200, 400, 800),
) -> NeedleScore:
    """Reads answered pictures (N, 8, 8) and counts the right digits.

    Args:
        needles: what was asked.
        images: the answers, in the same order.
        pictures: what the reader of digits is fitted on.
        bins: borders of the distances, ascending; the last bin is open.
    """
    from sklearn.metrics import f1_score

    if len(needles) != len(images) or not len(needles):
        raise ValueError(f"{len(images)} pictures for {len(needles)} needles")
    told = pictures.judge()(images)
    truth = np.array([needle.digit for needle in needles])
    right, distance = told == truth, np.array([needle.distance for needle in needles])
    by_distance = {}
    for low, high in zip(bins, [*bins[1:], int(max(distance.max() + 1, bins[-1] + 1))], strict=True):
        inside = (distance >= low) & (distance < high)
        if inside.any():
            by_distance[low, high] = (int(inside.sum()), float(right[inside].mean()))
    f1 = f1_score(truth, told, average="macro", labels=np.unique(truth))
    return NeedleScore(len(needles), float(right.mean()), float(f1), by_distance)
