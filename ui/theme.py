"""The look that every page shares: spacing, the sticky banner, focus rings, tables of key and value."""

from __future__ import annotations

import html
from collections.abc import Mapping

import streamlit as st

STYLE = """
<style>
.block-container { padding-top: 5rem; max-width: 84rem; }
h1 { font-size: 1.9rem !important; } h2 { font-size: 1.4rem !important; } h3 { font-size: 1.2rem !important; }
[data-testid="stLayoutWrapper"]:has(> .st-key-research-use) { position: sticky; top: 3.75rem; z-index: 90; }
.polyhead-banner { background: #5c3b00; color: #ffffff; padding: .45rem .9rem; border-radius: .3rem;
  font-size: .95rem; line-height: 1.4; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
.polyhead-banner code { color: #ffffff; background: transparent; padding: 0; font-size: .85rem; }
.polyhead-swatch { display: inline-block; width: .85rem; height: .85rem; border-radius: .15rem;
  border: 1px solid #000000; vertical-align: -.1rem; margin-right: .4rem; }
.polyhead-facts { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem;
  font-size: .92rem; margin: 0 !important; padding: 0 !important; }
.polyhead-legend span { white-space: nowrap; margin-right: 1rem; display: inline-block; }
.polyhead-facts dt { font-weight: 600; } .polyhead-facts dt, .polyhead-facts dd { margin: 0 !important; }
.polyhead-facts dd { overflow-wrap: anywhere; }
.polyhead-table { border-collapse: collapse; width: 100%; font-size: .9rem; line-height: 1.35; }
.polyhead-table caption { text-align: left; font-weight: 600; padding: 0 0 .3rem; caption-side: top; color: inherit; }
.polyhead-table th, .polyhead-table td { text-align: left; vertical-align: top; padding: .3rem .6rem;
  border-bottom: 1px solid color-mix(in srgb, currentColor 22%, transparent); overflow-wrap: anywhere; }
.polyhead-table th { font-weight: 600; overflow-wrap: normal; border-bottom-width: 2px; }
.polyhead-table td { min-width: 4.5rem; }
.polyhead-scroll { overflow-x: auto; }
.polyhead-table .number { text-align: right; font-variant-numeric: tabular-nums; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] p, [data-testid="stImageCaption"],
[data-testid="stImageCaption"] p {
  color: color-mix(in srgb, var(--polyhead-text) 82%, transparent) !important; opacity: 1 !important; }
[data-testid="stBaseButton-primary"], [data-testid="stBaseButton-primary"] p {
  color: light-dark(#ffffff, #0b1418) !important; }
:root { --polyhead-text: light-dark(#1b262c, #e8eef1); }
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
    items = (
        f'<span><i class="polyhead-swatch" style="background: rgb{paint}"></i>{html.escape(name)}</span>'
        for name, paint in entries.items()
    )
    return f'<div class="polyhead-legend">{"".join(items)}</div>'


def ink() -> str:
    """Colour of letters in charts, by the theme that the browser shows."""
    return "#e8eef1" if st.context.theme.type == "dark" else "#1b262c"
