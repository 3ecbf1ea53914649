"""What a batch may write of a case beside its answer: products by name, of which the user chooses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

EVERYTHING, NOTHING = "all", "none"

Saved = Collection[str] | None
"""The products that are written; None where nobody chose, which is all of them."""


@dataclass(frozen=True)
class Products:
    """The products that an application writes of a case.

    Attributes:
        about: what each is, in a few words, by the name that `Writer.saves` asks for.
    """

    about: Mapping[str, str]

    def __post_init__(self) -> None:
        for name in self.about:
            if not name.isidentifier() or name in (EVERYTHING, NOTHING):
                raise ValueError(f"not a name for a product: {name!r}")

    @property
    def default(self) -> str:
        """What is saved where nobody chooses, as `chosen` reads it."""
        return ",".join(self.about)

    def chosen(self, text: str) -> tuple[str, ...]:
        """The products that a list of names with commas between them names, in the order of `about`.

        ``all`` and ``none`` may stand in the place of a list. An unknown name is a `ValueError` that names the known
        ones.

        >>> Products({"masks": "", "overlays": ""}).chosen("overlays, masks")
        ('masks', 'overlays')
        """
        words = [word.strip() for word in text.split(",")]
        if words in ([EVERYTHING], [NOTHING]):
            return tuple(self.about) if words == [EVERYTHING] else ()
        for word in words:
            if word not in self.about:
                known = ", ".join([*self.about, EVERYTHING, NOTHING])
                raise ValueError(f"--save {text}: {word!r} is not a product; choose of: {known}")
        return tuple(name for name in self.about if name in words)


def saves(saved: Saved, product: str) -> bool:
    """Whether `product` is among those that are written."""
    return saved is None or product in saved


def covers(saved: Saved, wanted: Saved) -> bool:
    """Whether a case of which `saved` was written has all that is `wanted`."""
    return saved is None or (wanted is not None and set(wanted) <= set(saved))


def joined(one: Saved, other: Saved) -> Saved:
    """The products of both."""
    return None if one is None or other is None else sorted({*one, *other})
