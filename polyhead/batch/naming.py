"""Ids of cases: unique relative paths that can be folders on every system; and the suffixes that names end in."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from polyhead.batch.folder import RESERVED
from polyhead.batch.writer import RECEIPT

PACKED = frozenset({".gz", ".bgz", ".bz2", ".xz", ".zst", ".zip"})
"""Suffixes of archives, which stand behind that of what they hold."""

_HELD = frozenset(
    f".{name}"
    for names in (
        "nii mgh tar vtk stl npy h5 zarr csv tsv tab txt json jsonl parquet",
        "fa fasta fna ffn fas faa fq fastq vcf bed gff gff3 gtf gb gbk gbff genbank embl",
    )
    for name in names.split()
)
_SUFFIX = re.compile(r"(?<=[^.])\.[A-Za-z0-9_+-]+$")
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
_TRAILING = re.compile(r"[. ]+$")
_DEVICE = re.compile(r"(con|prn|aux|nul|(?:com|lpt)[0-9¹²³]) *(?=\.|$)", re.IGNORECASE)


def suffix_of(name: str) -> str:
    """The suffix of a file's name as it stands there; ``.nii.gz``, ``.ome.tif`` and the like are one.

    >>> suffix_of("scan.nii.gz"), suffix_of("v1.2.PNG"), suffix_of(".hidden"), suffix_of("Dr. Smith")
    ('.nii.gz', '.PNG', '', '')
    """
    found = _SUFFIX.search(name)
    if found is None:
        return ""
    inner = _SUFFIX.search(name[: found.start()])
    last, held = found[0].lower(), inner[0].lower() if inner else ""
    is_compound = held == ".ome" if last not in PACKED else held in _HELD
    return name[inner.start() :] if inner and is_compound else found[0]


def without_suffix(name: str) -> str:
    """A file's name, or a path, without what `suffix_of` finds."""
    return name.removesuffix(suffix_of(name.rpartition("/")[2]))


def unique_ids(names: Sequence[tuple[str, str]]) -> list[str]:
    """An id for each (short, long) name: the short one where it is unambiguous, else the long one, else numbered.

    A short name is ambiguous where another input has it too, or where it is a folder of another's name: a case's
    folder must not hold the folders of others. Names that differ in case or in the form of accented letters only are
    the same: on many systems they are one folder. Ids are made of names as `folder_name` gives them.
    """
    safe = [(folder_name(short), folder_name(long)) for short, long in names]
    often = Counter(_folded(short) for short, _ in safe)
    taken = {folder for pair in safe for name in pair for folder in _folders(_folded(name))}
    held_by_others = frozenset(taken)
    turns: Counter[str] = Counter()
    ids = []
    for short, long in safe:
        name = long if often[_folded(short)] > 1 or _folded(short) in held_by_others else short
        while True:
            turns[_folded(name)] += 1
            free = f"{name}~{turn}" if (turn := turns[_folded(name)]) > 1 else name
            if _folded(free) not in taken:
                break
        taken.add(_folded(free))
        ids.append(free)
    return ids


def folder_name(name: str) -> str:
    """`name` as a relative POSIX path that can be a folder of the results on every system; plain names stay.

    ``..`` and roots are left out. Letters that Windows refuses, and dots and spaces at an end, become ``_``; so are
    its devices marked, and names that the results' own files have get the prefix ``input-``.

    >>> folder_name("../logs/a:b/con"), folder_name("s/v1.2"), folder_name("run 1. ")
    ('input-logs/a_b/con_', 's/v1.2', 'run 1__')
    """
    parts = [_safe(part) for part in _inner(name)]
    if _folded(parts[0]) in _RESERVED:
        parts[0] = f"input-{parts[0]}"
    return "/".join(f"input-{part}" if _folded(part) == RECEIPT else part for part in parts)


def inside(name: str) -> PurePosixPath:
    """A relative POSIX path that cannot leave its folder: ``..``, ``.`` and roots are left out of the name."""
    return PurePosixPath(*_inner(name))


def _inner(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", "..", ".")] or ["input"]


def _safe(part: str) -> str:
    part = _TRAILING.sub(lambda found: "_" * len(found[0]), _FORBIDDEN.sub("_", part))
    device = _DEVICE.match(part)
    return f"{device[0]}_{part[device.end() :]}" if device else part


def _folded(name: str) -> str:
    """What names have in common that some file systems take for one."""
    return (
        name.lower() if name.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    )


def _folders(name: str) -> Iterator[str]:
    while name := name.rpartition("/")[0]:
        yield name


_RESERVED = frozenset(_folded(name) for name in RESERVED)
