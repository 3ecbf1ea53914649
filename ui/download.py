"""Everything as one zip, built when the button is clicked and not before."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import streamlit as st


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
    """The zip in memory, for the results of a few cases."""
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
    """A button that builds and sends a zip; `entries` is called on the click, and the page is not run again."""

    def build() -> BinaryIO:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - Streamlit reads it after this returns
        write_zip(file, entries())
        file.seek(0)
        return file

    st.download_button(label, data=build, file_name=name, mime="application/zip", on_click="ignore", key=key)
