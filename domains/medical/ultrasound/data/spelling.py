"""Paths as tables write them, found on disk under the spellings that Unicode and systems give them."""

from __future__ import annotations

import os
import unicodedata
from contextlib import suppress
from pathlib import Path


class Finder:
    """Finds a written path on disk; folder listings are kept, as thousands of rows share a folder.

    Args:
        variants: is filled with the paths that are on disk under another spelling only, and which difference it was.
    """

    def __init__(self, variants: dict[str, str]):
        self.variants = variants
        self._listings: dict[str, dict[str, list[str]]] = {}

    def find(self, folder: Path, written: str) -> Path:
        """Absolute path of `written`, as written wherever that exists or nothing matches."""
        verbatim = os.path.normpath(os.path.join(folder, written))  # noqa: PTH118 - text, ten times as quick as Path
        if self._exists(verbatim):
            return Path(verbatim)
        path = os.path.normpath(os.path.join(folder, written.replace("\\", "/")))  # noqa: PTH118
        if path != verbatim and self._exists(path):
            return Path(path)
        found = self._respelled(path)
        if found is None:
            return Path(path)
        spaces = found.replace("\u00a0", " ") == path.replace("\u00a0", " ")
        self.variants[written] = "U+00A0 and space" if spaces else "Unicode normal form"
        return Path(found)

    def _exists(self, path: str) -> bool:
        folder, name = os.path.split(path)
        # Only the file system knows whether it tells upper from lower case, so a name that is not listed is asked for.
        return name in self._listing(folder).get(_folded(name), ()) or os.path.exists(path)  # noqa: PTH110

    def _respelled(self, path: str) -> str | None:
        """The one path whose every part differs from `path` by spelling only; None if there is none or several."""
        folder, name = os.path.split(path)
        if not name:
            return path
        known: str | None = folder if os.path.isdir(folder) else self._respelled(folder)  # noqa: PTH112
        names = [] if known is None else self._listing(known).get(_folded(name), [])
        if known is None or (name not in names and len(names) != 1):
            return None
        return os.path.join(known, name if name in names else names[0])  # noqa: PTH118

    def _listing(self, folder: str) -> dict[str, list[str]]:
        """Names in a folder by their folded spelling; empty where there is no such folder."""
        if folder not in self._listings:
            names: dict[str, list[str]] = {}
            with suppress(OSError, ValueError):
                for name in os.listdir(folder):  # noqa: PTH208
                    names.setdefault(_folded(name), []).append(name)
            self._listings[folder] = names
        return self._listings[folder]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\u00a0", " "))
