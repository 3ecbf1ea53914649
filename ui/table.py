"""Tables of text as HTML: they wrap, readers of the screen can walk them, and every cell is escaped."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from polyhead.system.spreadsheet import harmless

MOST_ROWS = 200
"""Longer tables are shown by Streamlit's own widget, which draws only what is in sight."""


def table_html(rows: Sequence[Mapping[str, Any]], caption: str) -> str:
    """Rows with equal keys as a table; numbers stand right. `caption` names the table."""
    if not rows:
        raise ValueError("a table needs at least one row")
    head = "".join(f'<th scope="col">{html.escape(str(name))}</th>' for name in rows[0])
    body = "".join(f"<tr>{''.join(_cell(value) for value in row.values())}</tr>" for row in rows)
    title = f"<caption>{html.escape(caption)}</caption>"
    inner = f'<table class="polyhead-table">{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    # A wide table scrolls by itself on a narrow screen; the tab stop lets the keyboard scroll it.
    return f'<div class="polyhead-scroll" role="region" tabindex="0" aria-label="{html.escape(caption)}">{inner}</div>'


def table(rows: Sequence[Mapping[str, Any]], caption: str) -> None:
    """Shows rows with equal keys; no rows show nothing."""
    if len(rows) > MOST_ROWS:
        st.caption(caption)
        # Its toolbar saves the rows as CSV.
        rows = [{harmless(name): harmless(value) for name, value in row.items()} for row in rows]
        st.dataframe(rows, hide_index=True, width="stretch", alt=caption)
    elif rows:
        st.html(table_html(rows, caption))


def paged_table(rows: Sequence[Mapping[str, Any]], caption: str, key: str, *, size: int) -> None:
    """Shows rows with equal keys, `size` of them at a time; no rows show nothing."""
    pages = -(-len(rows) // size)
    page = 1
    if pages > 1:
        page = int(st.number_input(f"Page, of {pages:,}", 1, pages, 1, key=f"page-{key}-{pages}", width=160))
        caption = f"{caption}; page {page:,} of {pages:,}"
    table(rows[(page - 1) * size : page * size], caption)


def _cell(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (
            f'<td class="number">{value:.4g}</td>' if isinstance(value, float) else f'<td class="number">{value}</td>'
        )
    return f"<td>{html.escape(str(value))}</td>"
