"""Everything as one zip, built when the button is clicked and not before."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import streamlit as st

MOST_BYTES = 500 * 2**20
"""Results beyond this size are named by their folder and not sent."""


def write_zip(file: BinaryIO, entries: Mapping[str, bytes | Path]) -> None:
    """Writes a zip of named entries, sorted, with one fixed date: the same content gives the same bytes.

    A name that is absolute or climbs out of the zip is a `ValueError`.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(entries):
            if name.startswith("/") or "\\" in name or ".." in name.split("/"):
                raise ValueError(f"{name!r} cannot be a name in a zip")
            content = entries[name]
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w", force_zip64=True) as out:
                if isinstance(content, bytes):
                    out.write(content)
                else:
                    with content.open("rb") as source:
                        while block := source.read(1 << 20):
                            out.write(block)


def zip_of(entries: Mapping[str, bytes | Path]) -> bytes:
    """The zip in memory."""
    buffer = io.BytesIO()
    write_zip(buffer, entries)
    return buffer.getvalue()


def folder_entries(folder: Path) -> dict[str, Path]:
    """Every plain file under a folder by its relative name; links and temporary files are left out."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and not path.name.startswith(".")
    }


def zip_button(label: str, name: str, entries: Callable[[], Mapping[str, bytes | Path]], key: str) -> None:
    """A button that builds and sends a zip; `entries` is called on the click, and the page is not run again.

    Streamlit holds what it sends in memory: see `too_large` for folders.
    """
    st.download_button(
        label, data=lambda: zip_of(entries()), file_name=name, mime="application/zip", on_click="ignore", key=key
    )


def too_large(folder: Path) -> bool:
    """Whether the files of a folder are more than a page should send: over `MOST_BYTES`."""
    total = 0
    for path in folder_entries(folder).values():
        total += path.stat().st_size
        if total > MOST_BYTES:
            return True
    return False
