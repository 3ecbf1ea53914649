"""The licences of what an installation requires: nothing that runs may bring its terms upon the whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import PackageNotFoundError, distribution
from typing import Literal, Protocol

Terms = Literal["permissive", "file-level copyleft", "copyleft", "unknown"]

PATTERNS: tuple[tuple[Terms, re.Pattern[str]], ...] = (
    (
        "copyleft",
        re.compile(
            r"\b[AL]?GPL|GNU (Affero |Lesser |Library )?(or Lesser )?General Public|\bEUPL|\bSSPL|\bOSL-|CC-BY-SA", re.I
        ),
    ),
    ("file-level copyleft", re.compile(r"\bMPL|Mozilla Public|\bEPL-|\bCDDL", re.I)),
    (
        "permissive",
        re.compile(r"\bMIT\b|BSD|Apache|\bISC\b|\bPSF\b|Python Software|\bZlib|CC0|HPND|Unlicense|\bBSL-1|CNRI", re.I),
    ),
)
"""Words of the terms that reach beyond a package; of those that stay with its files, which is allowed and told (certifi
and tqdm have them); and of those that ask for little more than their mention."""

ORDER: tuple[Terms, ...] = ("permissive", "file-level copyleft", "unknown", "copyleft")
"""From the freest; what is unknown may be a vendor's own terms, as those of GPU libraries."""


class Described(Protocol):
    """What is known of an installed package."""

    @property
    def metadata(self) -> Message: ...
    @property
    def requires(self) -> list[str] | None: ...


@dataclass(frozen=True)
class Licence:
    """The licence of a package: its words, and how far its terms reach."""

    package: str
    words: str
    terms: Terms


def required_licences(requirements: Iterable[str], find: Callable[[str], Described] | None = None) -> list[Licence]:
    """The licences of all that `requirements` ask for on this machine, and of what that asks for, by package.

    Args:
        requirements: as in a package's metadata; those of an extra that was not asked for do not count.
        find: gives an installed package by its name, or raises `PackageNotFoundError`; packages that are not installed
            are left out.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    look = find or _installed
    asked: dict[str, set[str]] = {}
    found: dict[str, Licence] = {}
    waiting = [(line, frozenset([""])) for line in requirements]
    while waiting:
        line, extras = waiting.pop()
        wanted = Requirement(line)
        if wanted.marker is not None and not any(wanted.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name, more = canonicalize_name(wanted.name), {"", *wanted.extras}
        if more <= asked.get(name, set()):
            continue
        asked[name] = asked.get(name, set()) | more
        try:
            package = look(name)
        except PackageNotFoundError:
            continue
        found[name] = licence_of(name, package.metadata)
        waiting += [(each, frozenset(asked[name])) for each in package.requires or []]
    return [found[name] for name in sorted(found)]


def licence_of(package: str, metadata: Message) -> Licence:
    """A package's licence: its SPDX expression, else its classifiers, else the first line of its field of free text.

    Of an expression with alternatives (``OR``) the freest counts; all else that is named must be kept together.
    """
    expression = metadata.get("License-Expression")
    if expression:
        return Licence(package, expression, _terms_of_expression(expression))
    classifiers = [each for each in metadata.get_all("Classifier") or [] if each.startswith("License ::")]
    words = [each.rpartition(" :: ")[2] for each in classifiers]
    # The field may hold the whole text, which names licences that it is not.
    text = (metadata.get("License") or "").strip().split("\n")[0].strip()
    named = ", ".join(words) or text
    return Licence(package, named or "none stated", _worst(map(_terms, words or [text])))


def _terms(words: str) -> Terms:
    for terms, pattern in PATTERNS:
        if pattern.search(words):
            return terms
    return "unknown"


def _worst(terms: Iterable[Terms]) -> Terms:
    return max(terms, key=ORDER.index)


def _terms_of_expression(expression: str) -> Terms:
    """Terms of ``A AND (B OR C WITH exception)``; an exception does not widen what a licence reaches, nor narrow it."""
    tokens = re.findall(r"[()]|[^\s()]+", expression)

    def alternatives() -> Terms:
        found: list[Terms] = [together()]
        while tokens and tokens[0].upper() == "OR":
            tokens.pop(0)
            found.append(together())
        return min(found, key=ORDER.index)

    def together() -> Terms:
        found: list[Terms] = [one()]
        while tokens and tokens[0].upper() == "AND":
            tokens.pop(0)
            found.append(one())
        return _worst(found)

    def one() -> Terms:
        token = tokens.pop(0) if tokens else ""
        if token == "(":
            inner = alternatives()
            if tokens:
                tokens.pop(0)
            return inner
        if len(tokens) > 1 and tokens[0].upper() == "WITH":
            del tokens[:2]
        return _terms(token)

    return alternatives()


def _installed(name: str) -> Described:
    return distribution(name)  # pyright: ignore[reportReturnType] - its metadata is a Message of another name
