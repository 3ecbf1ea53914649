"""What stands behind an answer: the card of a model and the facts of its run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from ui.theme import facts


@dataclass(frozen=True)
class Card:
    """A data or model card: its front matter, its title, and its sections by heading, in order."""

    front: Mapping[str, Any]
    title: str
    sections: Mapping[str, str]


def read_card(path: Path) -> Card:
    """Reads a card in Markdown with YAML front matter; a card whose front matter is broken is a `ValueError`."""
    import yaml

    text = path.read_text("utf-8")
    front: Any = {}
    if (match := re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)) is not None:
        try:
            front = yaml.safe_load(match[1]) or {}
        except yaml.YAMLError as error:
            raise ValueError(f"{path}: the front matter is no YAML: {error}") from error
        text = text[match.end() :]
    if not isinstance(front, dict):
        raise ValueError(f"{path}: the front matter must be a mapping")
    title = re.search(r"^# +(.+)$", text, re.MULTILINE)
    pieces = re.split(r"^## +(.+)$", text, flags=re.MULTILINE)
    sections = {heading.strip(): body.strip() for heading, body in zip(pieces[1::2], pieces[2::2], strict=True)}
    return Card(front, title[1].strip() if title else path.stem, sections)


def card_panel(card: Card, first: Sequence[str] = ()) -> None:
    """Shows a card; sections whose heading contains a word of `first` stand open at the top, the others folded."""
    leading = [h for word in first for h in card.sections if word.lower() in h.lower()]
    st.markdown(f"**{card.title}**")
    for heading in dict.fromkeys(leading):
        st.markdown(f"**{heading}**")
        st.markdown(card.sections[heading])
    for heading, body in card.sections.items():
        if heading not in leading:
            with st.expander(heading):
                st.markdown(body)


def run_facts(entries: Mapping[str, Any]) -> None:
    """Shows the facts of a run as names and values; entries that are None or empty are left out."""
    facts({name: _text(value) for name, value in entries.items() if value not in (None, "", [], {}, ())})


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(entry)}" for name, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(entry) for entry in value)
    return str(value)
