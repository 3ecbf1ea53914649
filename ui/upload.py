"""Files from the user: dropped files, spooled by content, or a folder that the server can read."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from polyhead.system.files import replacing

ROOTS_VARIABLE = "POLYHEAD_DATA_ROOTS"
"""Environment variable: folders whose content the pages may read, separated as in PATH."""

MAX_FILES = 200
MAX_FILE_BYTES = 200 * 2**20
MAX_TOTAL_BYTES = 1024 * 2**20


class Dropped(Protocol):
    """A file as Streamlit hands it over."""

    name: str

    def getbuffer(self) -> memoryview: ...


@dataclass(frozen=True)
class Spooled:
    """A dropped file on disk: its name as the user knows it, where it lies, and the SHA-256 of its content."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class Refused:
    """A dropped file that was not taken, and why."""

    name: str
    reason: str


def safe_name(name: str) -> str:
    """A file name without folders, control characters and leading dots, at most 120 characters, suffix kept.

    >>> safe_name("../../etc/pass wd.png")
    'pass wd.png'
    """
    base = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    kept = "".join(c if c.isalnum() or c in " ._-()+," else "_" for c in base if unicodedata.category(c)[0] != "C")
    kept = kept.strip(" .") or "file"
    stem, dot, suffix = kept.rpartition(".")
    return f"{stem[: 119 - len(suffix)]}.{suffix}" if dot and stem and len(suffix) <= 10 else kept[:120]


def spool(files: Iterable[Dropped], folder: Path) -> tuple[list[Spooled], list[Refused]]:
    """Writes dropped files to ``folder/<hash>/<name>``; the same file twice is written once.

    Returns what was taken, in order, and what was refused: empty, too large, too many, or there already.
    """
    taken: list[Spooled] = []
    refused: list[Refused] = []
    total = 0
    for file in files:
        content = file.getbuffer()
        size = content.nbytes
        if len(taken) >= MAX_FILES:
            refused.append(Refused(file.name, f"more than {MAX_FILES} files; name a folder on the server instead"))
        elif size == 0:
            refused.append(Refused(file.name, "the file is empty"))
        elif size > MAX_FILE_BYTES or total + size > MAX_TOTAL_BYTES:
            refused.append(Refused(file.name, "too large to upload; name a folder on the server instead"))
        else:
            digest = hashlib.sha256(content).hexdigest()
            if any(other.sha256 == digest for other in taken):
                refused.append(Refused(file.name, "the same content was dropped twice; it is shown once"))
                continue
            path = folder / digest[:16] / safe_name(file.name)
            if not path.exists():
                _write(path, content)
            total += size
            taken.append(Spooled(safe_name(file.name), path, digest))
    return taken, refused


def _write(path: Path, content: memoryview) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def spool_folder() -> Path:
    """The folder for this user's uploads, readable by nobody else."""
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"polyhead-uploads-{owner}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or (hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()):
        raise ValueError(f"{folder} belongs to someone else; set TMPDIR to a folder of your own")
    return folder


def sweep(folder: Path, older_than: float = 24 * 3600) -> int:
    """Removes uploads that have lain untouched for `older_than` seconds; returns how many folders went."""
    gone = 0
    for entry in folder.iterdir():
        if time.time() - entry.stat().st_mtime > older_than:
            shutil.rmtree(entry, ignore_errors=True)
            gone += 1
    return gone


def data_roots() -> list[Path]:
    """Folders whose content the pages may read: those of the environment, else the home and the working folder."""
    named = os.environ.get(ROOTS_VARIABLE, "")
    roots = [Path(part) for part in named.split(os.pathsep) if part] or [Path.home(), Path.cwd()]
    return [root.resolve() for root in roots]


def server_path(text: str) -> Path:
    """Checks a path on the server that a user typed; links are followed before the check.

    Raises:
        ValueError: there is nothing of that name, it cannot be read, or it lies outside `data_roots`.
    """
    if not text.strip():
        raise ValueError("type the path of a folder or a file on the server")
    path = Path(text.strip()).expanduser()
    path = (path if path.is_absolute() else Path.cwd() / path).resolve()
    roots = data_roots()
    if not any(path.is_relative_to(root) for root in roots):
        allowed = ", ".join(map(str, roots))
        raise ValueError(
            f"{path} lies outside the folders that this server shows ({allowed}); "
            f"move the data there, or start the server with {ROOTS_VARIABLE} set"
        )
    if not path.exists():
        raise ValueError(f"there is no {path}; check the spelling")
    if not os.access(path, os.R_OK):
        raise ValueError(f"the server may not read {path}; ask for read permission")
    return path
