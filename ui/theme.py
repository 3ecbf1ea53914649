"""The look that every page shares: spacing, the sticky banner, focus rings, tables of key and value."""

from __future__ import annotations

import html
from collections.abc import Mapping

import streamlit as st

STYLE = """
<style>
.block-container { padding-top: 3.5rem; max-width: 84rem; }
.st-key-research-use { position: sticky; top: 3.75rem; z-index: 90; }
.polyhead-banner { background: #5c3b00; color: #ffffff; padding: .45rem .9rem; border-radius: .3rem;
  font-size: .95rem; line-height: 1.4; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
.polyhead-banner code { color: #ffffff; background: transparent; padding: 0; font-size: .85rem; }
.polyhead-swatch { display: inline-block; width: .85rem; height: .85rem; border-radius: .15rem;
  border: 1px solid #000000; vertical-align: -.1rem; margin-right: .4rem; }
.polyhead-facts { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem;
  font-size: .92rem; margin: 0; }
.polyhead-facts dt { font-weight: 600; } .polyhead-facts dd { margin: 0; overflow-wrap: anywhere; }
:focus-visible { outline: 3px solid #3d8fb0 !important; outline-offset: 1px; }
</style>
"""


def page_style() -> None:
    """Adds the shared style to the page; call it once a run."""
    st.html(STYLE)


def facts(entries: Mapping[str, str]) -> None:
    """Shows a short list of names and values; values are text, never markup."""
    st.html(facts_html(entries))


def facts_html(entries: Mapping[str, str]) -> str:
    """The list as HTML, every name and value escaped."""
    rows = (f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in entries.items())
    return f'<dl class="polyhead-facts">{"".join(rows)}</dl>'


def legend_html(entries: Mapping[str, tuple[int, int, int]]) -> str:
    """Names with their colours as HTML: the colour is never the only sign, its name stands beside it."""
    return " &nbsp; ".join(
        f'<span><span class="polyhead-swatch" style="background: rgb{paint}"></span>{html.escape(name)}</span>'
        for name, paint in entries.items()
    )
