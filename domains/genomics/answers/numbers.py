"""Numbers: sign, digits and point in fixed places, so that every answer of a task is a number of one width."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from domains.genomics.answers.answer import Answer, InvalidAnswer, Slots, inner, without_end

_SIGNS = ("<digit:+>", "<digit:->")
_POINT = "<digit:.>"
_DIGITS = tuple(f"<digit:{digit}>" for digit in "0123456789")


@dataclass(frozen=True)
class NumberAnswer(Answer):
    """A number written with fixed places: ``sign digits . decimals`` of value / scale.

    The step between two numbers is ``scale * 10**-decimals``; a label is rounded to the nearest of them.

    Attributes:
        whole: digits before the point, zeros in front, at least 1.
        decimals: digits after the point; with 0 there is no point.
        signed: whether a sign is written.
        scale: unit of the written number, e.g. 1000 where labels are thousands.
    """

    kind: ClassVar[str] = "number"
    repeats: ClassVar[bool] = True

    whole: int = 1
    decimals: int = 2
    signed: bool = False
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.whole < 1 or self.decimals < 0 or not (self.scale > 0 and math.isfinite(self.scale)):
            raise ValueError(
                f"a number needs whole >= 1, decimals >= 0 and a scale > 0; "
                f"got {self.whole}, {self.decimals} and {self.scale}"
            )

    @classmethod
    def of(cls, labels: Iterable[str], *, digits: int = 3) -> NumberAnswer:
        """Places for the labels of a table: a power of ten as scale and `digits` significant digits of the largest.

        One more place before the point is left where a label would round up to it.
        """
        values = [_number(label) for label in labels]
        if not values:
            raise ValueError("a number answer needs at least one label")
        largest = max(abs(value) for value in values)
        power = math.floor(math.log10(largest)) if largest > 0 else 0
        scale = float(f"1e{power}")
        decimals = max(digits - 1, 0)
        whole = len(str(int(round(largest / scale, decimals))))
        return cls(whole=whole, decimals=decimals, signed=any(value < 0 for value in values), scale=scale)

    @property
    def tokens(self) -> tuple[str, ...]:
        return (*(_SIGNS if self.signed else ()), *((_POINT,) if self.decimals else ()), *_DIGITS)

    @property
    def largest(self) -> float:
        """The largest number that can be written."""
        return (10**self.whole - 10**-self.decimals) * self.scale

    def encode(self, label: str) -> list[str]:
        value = _number(label)
        steps = round(abs(value) / self.scale * 10**self.decimals)
        negative = value < 0 and steps > 0
        if negative and not self.signed:
            raise InvalidAnswer(f"{label} is negative, and this task's numbers have no sign")
        digits = str(steps).zfill(self.whole + self.decimals)
        if len(digits) > self.whole + self.decimals:
            raise InvalidAnswer(f"{label} is beyond the largest number of this task, {self.largest:g}")
        written = digits[: self.whole] + ("." + digits[self.whole :] if self.decimals else "")
        return [f"<digit:{sign}>" for sign in ("-" if negative else "+") if self.signed] + [
            f"<digit:{letter}>" for letter in written
        ]

    def decode(self, tokens: Sequence[str]) -> float:
        tokens = without_end(tokens)
        if not self.grammar().accepts([*tokens, "[EOS]"]):
            raise InvalidAnswer(f"{tokens} is no number with {self.whole} and {self.decimals} digits")
        # Adding 0 turns the -0.0 that a sign before zeros gives into 0.0.
        return float("".join(inner(token, "digit") for token in tokens)) * self.scale + 0.0

    def grammar(self) -> Slots:
        return self._grammar

    @cached_property
    def _grammar(self) -> Slots:
        sign = [_SIGNS] if self.signed else []
        fraction = [(_POINT,), *[_DIGITS] * self.decimals] if self.decimals else []
        return Slots([*sign, *[_DIGITS] * self.whole, *fraction])

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "whole": self.whole,
            "decimals": self.decimals,
            "signed": self.signed,
            "scale": self.scale,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NumberAnswer:
        return cls(data["whole"], data["decimals"], data["signed"], data["scale"])


def _number(label: str) -> float:
    try:
        value = float(label)
    except ValueError:
        raise InvalidAnswer(f"{label!r} is no number") from None
    if not math.isfinite(value):
        raise InvalidAnswer(f"{label!r} is no finite number")
    return value
