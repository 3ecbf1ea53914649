"""The banner that stays in sight on every page: what this may be used for, and which model speaks."""

from __future__ import annotations

import html

import streamlit as st

from polyhead.application import RESEARCH_USE


def banner_html(model: str | None = None, identity: str | None = None) -> str:
    """The banner as HTML; the model's identity is cut to its first 12 digits."""
    parts = [f"<strong>{html.escape(RESEARCH_USE)}</strong>"]
    if model:
        parts.append(f"<span>Model: {html.escape(model)}</span>")
    if identity:
        parts.append(f"<span>Identity: <code>{html.escape(identity[:12])}</code></span>")
    return f'<div class="polyhead-banner" role="note" aria-label="Conditions of use">{"".join(parts)}</div>'


def banner(model: str | None = None, identity: str | None = None) -> None:
    """Shows the banner; it stays at the top while the page scrolls. Call it once a run, at the top."""
    with st.container(key="research-use"):
        st.html(banner_html(model, identity))
