"""Holds the cards of data sets and models against what the code names and builds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyhead.application import (
    RESEARCH_USE,
    Application,
    BrokenApplication,
    application_names,
    cards_folder,
    load_application,
)

if TYPE_CHECKING:
    from ui.provenance import Card

FILE = "card.md"
KEYS = {
    "data": ("license", "task_categories", "size_categories", "annotations_creators", "source_datasets"),
    "model": ("license", "library_name", "tags", "datasets", "metrics"),
}
"""What the front matter of each kind of card holds, besides ``card``, which names the kind, and a model's facts."""

HEADINGS = {
    "data": (
        "Motivation",
        "Upstream sources",
        "Composition",
        "Collection and annotation",
        "Preprocessing",
        "Splits",
        "Intended use",
        "Out-of-scope use",
        "Known limitations and biases",
        "Personal data",
        "Redistribution",
        "Maintenance",
    ),
    "model": (
        "What it is",
        "Inputs and outputs",
        "Training",
        "Evaluation",
        "Limitations",
        "Research use only",
    ),
}
"""Sections that must be there and say something: of Google's Data Cards, and of model cards."""

UNFINISHED = re.compile(r"\bTODO\b|\bTBD\b|\bFIXME\b|more information needed|lorem ipsum", re.IGNORECASE)


@dataclass(frozen=True)
class CardProblem:
    """What is wrong with one card."""

    card: str
    reason: str

    def __str__(self) -> str:
        return f"{self.card}: {self.reason}"


@dataclass(frozen=True)
class Named:
    """A card that the code asks for: of which kind, and the facts that its front matter must state."""

    kind: str
    facts: Mapping[str, int]


def check(folder: Path | None = None, applications: Iterable[Application] | None = None) -> list[CardProblem]:
    """The problems of the cards, sorted by card.

    Every data set and every preset that an application names has a card ``FOLDER/<name>/card.md`` (a preset's name has
    the application's before it), and every card belongs to one. Its front matter is complete, its licence an SPDX
    identifier or a named and linked one, every section is there, and the numbers it states are those of the model that
    the code builds. An application whose package has a folder ``cards/`` keeps them there, others in polyhead's
    own. One that is broken is a problem of its name.

    Args:
        folder: held against the applications that have no folder of their own; None takes all installed cards.
        applications: None takes the installed ones.

    Raises:
        ValueError: there is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{folder} is no folder of cards")
    if applications is not None:
        return sorted(_problems(folder or installed_cards(), applications, []), key=lambda problem: problem.card)
    shelves: dict[Path, list[Application]] = {}
    problems = []
    for name in application_names():
        try:
            own = cards_folder(name)
            if folder is None or own is None:
                shelves.setdefault(own or folder or installed_cards(), []).append(load_application(name))
        except BrokenApplication as broken:
            problems.append(CardProblem(name, str(broken)))
    known = [name for shelf in shelves for name in _cards(shelf)]
    for shelf, those in shelves.items():
        problems += _problems(shelf, those, known)
    return sorted(problems, key=lambda problem: problem.card)


def _problems(folder: Path, applications: Iterable[Application], known: Iterable[str]) -> list[CardProblem]:
    """Those of one folder; models may have been trained on the data of cards that are `known` from elsewhere."""
    named = {name: card for application in applications for name, card in named_cards(application)}
    found = _cards(folder)
    problems = [CardProblem(name, f"the code names it, and there is no {name}/{FILE}") for name in named.keys() - found]
    for name, path in found.items():
        if name in named:
            problems += [CardProblem(name, reason) for reason in _card_problems(path, named[name], {*found, *known})]
        else:
            problems.append(CardProblem(name, "no data set or preset of this name is in the code; remove or rename it"))
    return problems


def _cards(folder: Path) -> dict[str, Path]:
    return {path.parent.name: path for path in sorted(folder.glob(f"*/{FILE}"))}


def installed_cards() -> Path:
    """The folder of the cards that polyhead is installed with."""
    import data_cards

    return Path(data_cards.__path__[0])


def named_cards(application: Application) -> Iterator[tuple[str, Named]]:
    """The names of the cards that an application must have."""
    for name in application.data_sets:
        yield name, Named("data", {})
    for preset in dict.fromkeys(preset for system in application.systems.values() for preset in system.presets):
        yield f"{application.name}-{preset}", Named("model", application.model_facts(preset))


def _card_problems(path: Path, named: Named, cards: Iterable[str]) -> Iterator[str]:
    from ui.provenance import read_card

    try:
        card = read_card(path)
    except (OSError, ValueError) as error:
        yield " ".join(str(error).split())
        return
    if card.front.get("card") != named.kind:
        yield f"the front matter says `card: {card.front.get('card')}`, not `card: {named.kind}`"
    for key in (*KEYS[named.kind], *named.facts):
        if card.front.get(key) in (None, "", [], {}):
            yield f"the front matter lacks {key}"
    yield from _licence_problems(card.front)
    for heading in HEADINGS[named.kind]:
        if heading not in card.sections:
            yield f"the section `## {heading}` is missing"
        elif not card.sections[heading]:
            yield f"the section `## {heading}` is empty"
    text = path.read_text("utf-8")
    for match in UNFINISHED.finditer(text):
        yield f"line {text.count(chr(10), 0, match.start()) + 1} is unfinished: {match[0]}"
    if " ".join(RESEARCH_USE.split()) not in " ".join(text.split()):
        yield f"it does not say: {RESEARCH_USE}"
    yield from _data_problems(card) if named.kind == "data" else _model_problems(card, named, cards)


def _licence_problems(front: Mapping[str, Any]) -> Iterator[str]:
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    licence = front.get("license")
    if licence in (None, ""):
        return
    if licence == "other":
        for key in ("license_name", "license_link"):
            if not front.get(key):
                yield f"the licence is `other`, and the front matter lacks {key}"
        return
    try:
        canonicalize_license_expression(str(licence))
    except InvalidLicenseExpression:
        yield f"the licence {licence!r} is no SPDX identifier; take one, or `other` with license_name and license_link"


def _data_problems(card: Card) -> Iterator[str]:
    said = card.sections.get("Redistribution", "")
    if said and not re.match(r"(yes|no)\b", said, re.IGNORECASE):
        yield "the section `## Redistribution` must begin with Yes or No"


def _model_problems(card: Card, named: Named, cards: Iterable[str]) -> Iterator[str]:
    stated = card.front.get("datasets") or []
    for data_set in [stated] if isinstance(stated, str) else stated:
        if data_set not in cards:
            yield f"the data set {data_set} has no card"
    for key, value in named.facts.items():
        if card.front.get(key) not in (None, value):
            yield f"the front matter says `{key}: {card.front[key]}`, the code makes it {value}"
