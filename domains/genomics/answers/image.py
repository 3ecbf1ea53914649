"""Images: a grid of entries of a learned codebook, read row by row; `vqvae.py` turns grids into pixels and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from domains.genomics.answers.answer import Answer, InvalidAnswer, Slots, inner, without_end


@dataclass(frozen=True)
class ImageAnswer(Answer):
    """An image as codes; a label is the codes in row order with spaces between, e.g. ``"3 0 15 2"`` for a 2 x 2 grid.

    Attributes:
        codes: entries of the codebook.
        grid: rows and columns.
        codec: name of the VQ-VAE that the codes belong to, empty where none is kept.
    """

    kind: ClassVar[str] = "image"

    codes: int
    grid: tuple[int, int]
    codec: str = ""

    def __post_init__(self) -> None:
        if self.codes < 2 or min(self.grid) < 1:
            raise ValueError(
                f"an image needs at least 2 codes and a grid of at least 1 x 1; got {self.codes}, {self.grid}"
            )

    @property
    def length(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def tokens(self) -> tuple[str, ...]:
        return tuple(f"<image:{code}>" for code in range(self.codes))

    def encode(self, label: str) -> list[str]:
        words = label.split()
        if len(words) != self.length:
            raise InvalidAnswer(f"{len(words)} codes, where the grid {self.grid[0]} x {self.grid[1]} has {self.length}")
        for word in words:
            if not (word.isascii() and word.isdigit() and int(word) < self.codes):
                raise InvalidAnswer(f"{word!r} is no code from 0 to {self.codes - 1}")
        return [f"<image:{int(word)}>" for word in words]

    def decode(self, tokens: Sequence[str]) -> np.ndarray:
        """The codes, (rows, columns) int64."""
        tokens = without_end(tokens)
        label = " ".join(inner(token, "image") for token in tokens)
        self.encode(label)
        return np.array([int(word) for word in label.split()], dtype=np.int64).reshape(self.grid)

    def label(self, codes: np.ndarray) -> str:
        """The label of a grid of codes, (rows, columns) int."""
        if codes.shape != tuple(self.grid):
            raise ValueError(f"codes must have the shape {self.grid}, got {codes.shape}")
        return " ".join(str(int(code)) for code in codes.ravel())

    def grammar(self) -> Slots:
        return self._grammar

    @cached_property
    def _grammar(self) -> Slots:
        return Slots([self.tokens] * self.length)

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "codes": self.codes, "grid": list(self.grid), "codec": self.codec}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ImageAnswer:
        rows, columns = data["grid"]
        return cls(data["codes"], (rows, columns), data.get("codec", ""))
