"""What a genomic model must beat: the majority class, and logistic regressions on k-mers and on bases by position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from domains.genomics.sequences.kmers import base_codes, kmer_codes
from polyhead.registry import Registry

STRENGTHS = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
"""Inverse strengths C of the L2 penalty that a regression chooses from."""

_CHOICE_SHARE = 0.2
_SCALE = 0.3  # of one-hot bases beside k-mers, whose features are small


class Baseline(Protocol):
    """A classifier of DNA that learns from labelled sequences alone.

    Attributes:
        classes: the labels that it was fitted on, in the order of the alphabet.
    """

    classes: tuple[str, ...]

    def fit(self, sequences: Sequence[str], labels: Sequence[str]) -> None:
        """Learns from sequences and their labels, n each; none, or lengths that differ, are a `ValueError`."""
        ...

    def predict(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities (n, len(classes)); before `fit` a `ValueError`."""
        ...


BASELINES: Registry[Callable[[int], Baseline]] = Registry("baseline")
"""Baselines by name, each made from a seed (which those without chance ignore)."""


@BASELINES.add("majority")
class Majority:
    """Answers every sequence with the shares of the classes in training."""

    def __init__(self, seed: int = 0):
        self.classes: tuple[str, ...] = ()
        self._shares = np.empty(0)

    def fit(self, sequences: Sequence[str], labels: Sequence[str]) -> None:
        self.classes, target = _targets(sequences, labels)
        self._shares = np.bincount(target) / len(target)

    def predict(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        _require_fitted(self.classes)
        return np.tile(self._shares, (len(sequences), 1))


class SequenceRegression:
    """Multinomial logistic regression on features of sequences, its L2 penalty chosen on a fifth of training by loss.

    Args:
        features: sequences to an array (n, d), any d that is the same for training and later.
        seed: of the choice's split.

    Attributes:
        strength: the inverse strength that was chosen.
    """

    def __init__(self, features: Callable[[Sequence[str]], NDArray[np.float32]], seed: int = 0):
        self.classes: tuple[str, ...] = ()
        self.strength = STRENGTHS[0]
        self._features, self._seed = features, seed
        self._mean: NDArray[np.float32] = np.empty(0, dtype=np.float32)
        self._model: Any = None

    def fit(self, sequences: Sequence[str], labels: Sequence[str]) -> None:
        classes, target = _targets(sequences, labels)
        table = self._features(sequences)
        mean = table.mean(axis=0)
        table -= mean
        self.classes, self._mean = classes, mean
        if len(classes) == 1:
            return
        order = np.random.default_rng(self._seed).permutation(len(target))
        chosen, held = np.split(order, [len(order) - round(_CHOICE_SHARE * len(order))])
        # Too few rows to choose on: the strongest penalty.
        if len(held) and len(np.unique(target[chosen])) == len(classes):
            losses = []
            # The penalty falls and the weights go on from the last: each fit is a short one.
            for model in _path(table[chosen], target[chosen]):
                known = model.predict_proba(table[held])[np.arange(len(held)), target[held]]
                losses.append(-np.log(np.maximum(known, 1e-12)).mean())
            self.strength = STRENGTHS[int(np.argmin(losses))]
        self._model = _regression(self.strength).fit(table, target)

    def predict(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        _require_fitted(self.classes)
        if self._model is None:
            return np.ones((len(sequences), 1))
        if not len(sequences):
            return np.empty((0, len(self.classes)))
        return self._model.predict_proba(self._features(sequences) - self._mean).astype(np.float64)


@BASELINES.add("k-mers")
def kmer_regression(seed: int = 0) -> SequenceRegression:
    """On square roots of the shares of the k-mers, k from 3 to 6, of the strand as written."""
    return SequenceRegression(lambda sequences: kmer_features(sequences), seed)


@BASELINES.add("canonical k-mers")
def canonical_regression(seed: int = 0) -> SequenceRegression:
    """As `kmer_regression`, a k-mer and its reverse complement being one: both strands answer alike."""
    return SequenceRegression(lambda sequences: kmer_features(sequences, both=True), seed)


@BASELINES.add("positions")
def position_regression(seed: int = 0) -> SequenceRegression:
    """On the base at each position, for sequences aligned on a site: the length is the longest of training."""
    return SequenceRegression(_Positions(), seed)


@BASELINES.add("k-mers and positions")
def joint_regression(seed: int = 0) -> SequenceRegression:
    """On k-mers of the strand as written and on the base at each position together."""
    positions = _Positions()
    return SequenceRegression(
        lambda sequences: np.concatenate([kmer_features(sequences), _SCALE * positions(sequences)], axis=1), seed
    )


class _Positions:
    """One-hot bases, cut to the length of the first call and padded with none."""

    def __init__(self) -> None:
        self.length = 0

    def __call__(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        self.length = self.length or max(map(len, sequences))
        return position_features(sequences, self.length)


def kmer_features(sequences: Sequence[str], *, both: bool = False, orders: Sequence[int] = (3, 4, 5, 6)) -> NDArray:
    """(n, Σ 4^k) float32: √(count / number of k-mers) for each k, k-mers in the order of the alphabet.

    k-mers with letters other than A, C, G and T do not count. With `both` only the columns of canonical k-mers stay.
    """
    blocks = []
    coded = [base_codes(sequence) for sequence in sequences]
    for k in orders:
        counts = np.zeros((len(coded), 4**k), dtype=np.float32)
        for row, codes in enumerate(coded):
            words, valid = kmer_codes(codes, k, both=both)
            counts[row] = np.bincount(words[valid].astype(np.intp), minlength=4**k)
        counts /= np.maximum(counts.sum(axis=1, keepdims=True), 1)
        blocks.append(np.sqrt(counts[:, _canonical_words(k)] if both else counts))
    return np.concatenate(blocks, axis=1)


def position_features(sequences: Sequence[str], length: int) -> NDArray[np.float32]:
    """(n, 4 · length) float32: 1 for the base at each of the first `length` positions, 0 where there is none."""
    table = np.zeros((len(sequences), length, 4), dtype=np.float32)
    for row, sequence in enumerate(sequences):
        codes = base_codes(sequence[:length])
        places = np.flatnonzero(codes < 4)
        table[row, places, codes[places]] = 1
    return table.reshape(len(sequences), -1)


def _canonical_words(k: int) -> NDArray[np.intp]:
    words = np.arange(4**k)
    digits = words[:, None] // 4 ** np.arange(k - 1, -1, -1) % 4
    other = (3 - digits[:, ::-1]) @ 4 ** np.arange(k - 1, -1, -1)
    return np.flatnonzero(words <= other)


def _regression(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=2000, tol=1e-3, warm_start=True)


def _path(table: NDArray, target: NDArray):
    model = _regression(STRENGTHS[0])
    for strength in STRENGTHS:
        yield model.set_params(C=strength).fit(table, target)


def _targets(sequences: Sequence[str], labels: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    if len(sequences) != len(labels) or not len(sequences):
        raise ValueError(f"a baseline needs a label a sequence, got {len(sequences)} sequences, {len(labels)} labels")
    classes, target = np.unique(np.array([str(label) for label in labels]), return_inverse=True)
    return tuple(classes.tolist()), target.astype(np.intp)


def _require_fitted(classes: tuple[str, ...]) -> None:
    if not classes:
        raise ValueError("the baseline is not fitted yet")
