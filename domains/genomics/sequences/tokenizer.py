"""Byte-pair tokens of DNA: loading, training, coding, and the tokens that tasks and answers add."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from polyhead.system.files import replacing

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIALS = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")
UNK, CLS, SEP, PAD, MASK = range(5)
EOS = "[EOS]"
BASES = "ACGT"
TOKENIZER_FILE, KINDS_FILE = "tokenizer.json", "added_tokens.json"

TRAINING_WORD = 256
"""Bases of a training word: every merge goes over the words that it is in, and no useful token is nearly as long."""

CHUNK = 10_000
"""Bases that `DnaTokenizer.encode_genome` codes as one word."""

_BASE_RUN = re.compile(f"[{BASES}]+")

_BATCH = 256
"""Words that are coded at a time where sequences are long."""


class DnaTokenizer:
    """Byte-pair encoding over A, C, G and T, with the special tokens [UNK] 0, [CLS] 1, [SEP] 2, [PAD] 3, [MASK] 4.

    DNA tokens have the ids from 5 on. Tokens that `add` puts behind them are never found in a sequence: a sequence
    holds letters only. Lower case is the same base as upper case; every letter that is no base is one [UNK].

    Attributes:
        kinds: for each added token its kind, in the order of their ids.
    """

    def __init__(self, tokenizer: Tokenizer, kinds: Mapping[str, str] | None = None):
        _check(tokenizer)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._dna_end = tokenizer.get_vocab_size(with_added_tokens=False)
        added = tokenizer.get_added_tokens_decoder()
        known = dict(kinds or {})
        self.kinds: dict[str, str] = {
            added[number].content: known.get(added[number].content, "")
            for number in sorted(added)
            if number >= self._dna_end
        }

    @classmethod
    def load(cls, path: str | Path) -> DnaTokenizer:
        """Reads a tokenizer.json, or the one in a folder; merges as strings or as pairs.

        Raises:
            ValueError: no such file, damaged, not a byte-pair encoding, or not of DNA with the special tokens above.
        """
        from tokenizers import Tokenizer

        path = Path(path)
        file = path / TOKENIZER_FILE if path.is_dir() else path
        if not file.is_file():
            raise ValueError(f"there is no tokenizer at {path}: name a {TOKENIZER_FILE} or a folder with one")
        try:
            tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
        except Exception as failure:  # the library raises plain Exception for whatever it cannot read
            raise ValueError(f"{file} is not a readable {TOKENIZER_FILE}: {_first_line(failure)}") from failure
        beside = file.with_name(KINDS_FILE)
        try:
            kinds = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
            return cls(tokenizer, kinds)
        except (TypeError, ValueError) as failure:
            raise ValueError(f"{file} is not a tokenizer of DNA: {_first_line(failure)}") from failure

    @classmethod
    def train(cls, sequences: Iterable[str], vocab: int = 4096, min_frequency: int = 2) -> DnaTokenizer:
        """Learns merges from sequences, read once, cut into words of `TRAINING_WORD` bases.

        Args:
            sequences: letters in either case; at other letters than A, C, G and T they are cut. All words are held in
                memory: of a large genome a few million bases are enough.
            vocab: number of tokens, special tokens and the four bases included; fewer where the data have no more
                pairs that occur `min_frequency` times.
            min_frequency: a pair that is rarer is not merged.

        Raises:
            ValueError: `vocab` has no room for the special tokens and the bases, or there is no sequence.
        """
        from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

        if vocab < len(SPECIALS) + len(BASES):
            raise ValueError(f"a vocabulary of {vocab} has no room for {len(SPECIALS)} special tokens and 4 bases")
        runs = (run for sequence in sequences for run in _BASE_RUN.findall(sequence.upper()))
        words = (word for run in runs for word in _cut(run, TRAINING_WORD))
        first = next(words, None)
        if first is None:
            raise ValueError("there is no sequence of A, C, G and T to train a tokenizer on")
        tokenizer = Tokenizer(models.BPE(unk_token=SPECIALS[UNK], fuse_unk=False))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab,
            min_frequency=min_frequency,
            special_tokens=list(SPECIALS),
            initial_alphabet=list(BASES),
            show_progress=False,
        )
        tokenizer.train_from_iterator(_chain(first, words), trainer)
        around = f"{SPECIALS[CLS]} $A {SPECIALS[SEP]}"
        tokenizer.post_processor = processors.TemplateProcessing(
            single=around,
            pair=f"{around} $B:1 {SPECIALS[SEP]}:1",
            special_tokens=[(SPECIALS[CLS], CLS), (SPECIALS[SEP], SEP)],
        )
        return cls(tokenizer)

    def encode(self, sequence: str) -> list[int]:
        """The ids of a sequence, without special tokens around; an empty sequence has none.

        Raises:
            ValueError: a character that is no letter, with its position (from 1).
        """
        return self._tokenizer.encode(_letters(sequence), add_special_tokens=False).ids

    def encode_many(self, sequences: Sequence[str]) -> list[list[int]]:
        """`encode` of each sequence, on all cores."""
        letters = [_letters(sequence) for sequence in sequences]
        return [each.ids for each in self._tokenizer.encode_batch_fast(letters, add_special_tokens=False)]

    def encode_genome(self, sequence: str, chunk: int = CHUNK) -> np.ndarray:
        """The ids of a sequence of any length, (T,) int32: it is cut every `chunk` bases, and each part is one word.

        A cut is always a border of tokens, so at each cut some tokens differ from those of the uncut sequence; a few
        tokens on, both agree again. Up to `chunk` bases nothing differs from `encode`.
        """
        if chunk < 1:
            raise ValueError(f"chunk is {chunk}; it must be at least 1")
        words = _cut(sequence, chunk)
        parts = []
        while batch := list(islice(words, _BATCH)):
            parts += [np.asarray(ids, dtype=np.int32) for ids in self.encode_many(batch)]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        """The tokens of ids one after the other, without spaces; [UNK] is written as N.

        Raises:
            ValueError: an id outside the vocabulary.
        """
        return "".join("N" if number == UNK else self.token(number) for number in map(int, ids))

    def token(self, number: int) -> str:
        """The token of an id; an id outside the vocabulary is a `ValueError`."""
        token = self._tokenizer.id_to_token(number) if number >= 0 else None
        if token is None:
            raise ValueError(f"there is no token {number}; the vocabulary has {self.vocabulary_size}")
        return token

    def token_id(self, token: str) -> int:
        """The id of a token; an unknown one is a `ValueError`."""
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise ValueError(f"the vocabulary has no token {token!r}")
        return number

    def __contains__(self, token: str) -> bool:
        return self._tokenizer.token_to_id(token) is not None

    def add(self, tokens: Sequence[str], kind: str) -> list[int]:
        """Adds tokens behind the vocabulary and returns their ids; a token that is there keeps its id and its kind.

        Args:
            tokens: in angle or square brackets: ``<task:H3K4me3>``, ``<label:1>``, ``<digit:7>``, ``[EOS]``.
            kind: what they are for; it is saved with them.

        Raises:
            ValueError: a token without brackets, which could be taken for DNA.
        """
        from tokenizers import AddedToken

        for token in tokens:
            if len(token) < 3 or (token[0], token[-1]) not in {("<", ">"), ("[", "]")}:
                raise ValueError(f"an added token stands in angle or square brackets, {token!r} does not")
        new = [token for token in dict.fromkeys(tokens) if token not in self]
        self._tokenizer.add_tokens([AddedToken(token, normalized=False) for token in new])
        self.kinds.update(dict.fromkeys(new, kind))
        self.__dict__.pop("token_lengths", None)
        return [self.token_id(token) for token in tokens]

    def of_kind(self, kind: str) -> list[int]:
        """The ids of the added tokens of a kind, ascending."""
        return [self.token_id(token) for token, each in self.kinds.items() if each == kind]

    def save(self, folder: str | Path) -> None:
        """Writes tokenizer.json, which the library `tokenizers` reads, and the kinds of the added tokens beside it."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        kinds = json.dumps(self.kinds, indent=1, ensure_ascii=False)
        for name, text in ((TOKENIZER_FILE, self._tokenizer.to_str(pretty=True)), (KINDS_FILE, kinds)):
            with replacing(folder / name) as temporary:
                temporary.write_text(text + "\n", encoding="utf-8")

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens, special and added ones included."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    @property
    def dna_tokens(self) -> int:
        """Number of DNA tokens; their ids are 5 to 4 + this number."""
        return self._dna_end - len(SPECIALS)

    @cached_property
    def token_lengths(self) -> np.ndarray:
        """Letters of a sequence that each token stands for, (V,) int32: 1 for [UNK], 0 for other special and added."""
        lengths = np.zeros(self.vocabulary_size, dtype=np.int32)
        lengths[UNK] = 1
        for number in range(len(SPECIALS), self._dna_end):
            lengths[number] = len(self.token(number))
        return lengths

    def unknown_share(self, sequence: str) -> float:
        """Share of the letters of a sequence that no token covers, 0 to 1; 0 for an empty sequence."""
        letters = _letters(sequence)
        return 1 - sum(map(letters.count, BASES)) / len(letters) if letters else 0.0


def _check(tokenizer: Tokenizer) -> None:
    """A `ValueError` for a tokenizer whose ids are not those that everything else counts on."""
    from tokenizers import models

    if not isinstance(tokenizer.model, models.BPE):
        raise ValueError(f"its model is {type(tokenizer.model).__name__}, not a byte-pair encoding")
    for number, token in enumerate(SPECIALS):
        found = tokenizer.token_to_id(token)
        if found != number:
            raise ValueError(f"{token} has the id {found}, expected {number}")
    end = tokenizer.get_vocab_size(with_added_tokens=False)
    for number in range(len(SPECIALS), end):
        token = tokenizer.id_to_token(number)
        if token is None or token.strip(BASES):
            raise ValueError(f"token {number} is {token!r}, not made of A, C, G and T")
    if missing := [base for base in BASES if tokenizer.token_to_id(base) is None]:
        raise ValueError(f"the vocabulary lacks the base {missing[0]}")


def _letters(sequence: str) -> str:
    if sequence and not (sequence.isascii() and sequence.isalpha()):
        place = next(index for index, letter in enumerate(sequence) if not (letter.isascii() and letter.isalpha()))
        raise ValueError(f"{sequence[place]!r} at position {place + 1} is no letter of a sequence")
    return sequence.upper()


def _cut(sequence: str, size: int) -> Iterator[str]:
    return (sequence[start : start + size] for start in range(0, len(sequence), size))


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _first_line(failure: BaseException) -> str:
    return (str(failure) or type(failure).__name__).splitlines()[0]
