"""What this machine has of what polyhead needs, and how to get the rest."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from apps.licences import ORDER, Licence, required_licences
from apps.systems import NEWEST, OLDEST, refused_system

if TYPE_CHECKING:
    from packaging.requirements import Requirement

GIB = 2**30
MEMORY_GIB = 4
"""What training and prediction of the small presets want, with room for the data cache."""
DISK_GIB = 5
"""What an installation (2.4 GiB) and a first run take, with room."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True)
class Check:
    """One finding: what was looked at, its state, what is there, and what to do.

    States are "ok", "missing" (polyhead needs it), "wrong" (it must not be so), and "optional" (it does without).
    """

    name: str
    state: Literal["ok", "missing", "wrong", "optional"]
    found: str
    remedy: str = ""


def checks() -> Iterator[Check]:
    """The findings, the quick ones first; importing torch, the last, takes seconds."""
    yield system()
    yield python(sys.version_info[:3])
    yield from packages()
    yield licences(required())
    yield _browser()
    yield Check("processors", "ok", str(usable_processors()))
    yield _memory()
    yield _disk(Path.cwd())
    yield writable("temporary folder", Path(tempfile.gettempdir()), "set TMPDIR to a folder that you may write to")
    yield writable("working folder", Path.cwd(), "start polyhead in a folder that you may write to")
    yield from _dicom()
    yield from _torch()


def system(platform: str = sys.platform) -> Check:
    """Whether polyhead runs on a platform, a value of `sys.platform`."""
    refused = refused_system(platform)
    return Check("system", "ok", platform) if refused is None else Check("system", "missing", platform, refused)


def python(found: tuple[int, ...]) -> Check:
    """Whether a version of Python is one that polyhead is tested with."""
    words = ".".join(map(str, found))
    tested = f"{'.'.join(map(str, OLDEST))} to {'.'.join(map(str, NEWEST))}"
    if found[:2] < OLDEST:
        return Check("python", "missing", words, f"use Python {tested}")
    return (
        Check("python", "ok", words) if found[:2] <= NEWEST else Check("python", "optional", words, f"tried: {tested}")
    )


USES = {
    "dicom": "compressed DICOM",
    "fast": "quicker prediction on CPUs",
    "genomics": "the genomics application",
    "pde": "the PDE application",
}
"""What extras are good for, where their name does not say it."""

DEVELOPMENT = frozenset({"test"})
"""Extras that no user of the applications needs."""


def required(distribution: str = "polyhead") -> list[Licence]:
    """The licences of all packages that a distribution needs without its extras."""
    try:
        return required_licences(requires(distribution) or [])
    except PackageNotFoundError:
        return []


def licences(found: Iterable[Licence]) -> Check:
    """Whether all that is required leaves its users free: copyleft is wrong, but that of files only, which is told."""
    all_of = list(found)
    told = {terms: [each for each in all_of if each.terms == terms] for terms in ORDER}
    if wrong := told["copyleft"]:
        named = ", ".join(f"{each.package} ({each.words})" for each in wrong)
        return Check("licences", "wrong", f"copyleft is required: {named}", "install anew: make setup; else report it")
    words = [f"{sum(map(len, told.values()))} required packages, none copyleft"]
    for terms, said in (("file-level copyleft", "of single files only (MPL)"), ("unknown", "terms not recognised")):
        words += [f"{said}: {', '.join(each.package for each in told[terms])}"] if told[terms] else []
    return Check("licences", "ok", "; ".join(words))


def packages(distribution: str = "polyhead") -> Iterator[Check]:
    """The packages that a distribution and its extras ask for, held against the versions that are installed."""
    from packaging.requirements import Requirement

    remedy = "install it anew: make setup, or pip install -c constraints.txt -e ."
    try:
        wanted = [Requirement(line) for line in requires(distribution) or []]
        extras = _extras(distribution)
    except PackageNotFoundError:
        yield Check(distribution, "missing", "not installed", remedy)
        return
    for requirement in wanted:
        extra = _extra(requirement, extras)
        if extra is None and requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        state = "missing" if extra is None else "optional"
        advice = (
            remedy if extra is None else f"{USES.get(extra, extra)}: pip install -c constraints.txt -e '.[{extra}]'"
        )
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            yield Check(requirement.name, state, "not installed", advice)
            continue
        if requirement.specifier.contains(found, prereleases=True):
            yield Check(requirement.name, "ok", found)
        else:
            yield Check(requirement.name, state, f"{found}, needed {requirement.specifier}", advice)


def _extras(distribution: str) -> list[str]:
    """The extras that a distribution offers its users."""
    return [name for name in metadata(distribution).get_all("Provides-Extra") or [] if name not in DEVELOPMENT]


def _extra(requirement: Requirement, extras: Iterable[str]) -> str | None:
    """The extra that alone asks for a requirement."""
    if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
        return None
    return next((name for name in extras if requirement.marker.evaluate({"extra": name})), None)


def _browser() -> Check:
    for name in BROWSERS:
        if (found := shutil.which(name)) is not None:
            return Check("chromium", "ok", found)
    return Check("chromium", "optional", "not found", "the browser tests need one; Debian: apt-get install chromium")


def usable_processors() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> Check:
    import psutil

    total, limit = psutil.virtual_memory().total, memory_limit()
    usable = min(total, limit or total)
    found = f"{usable / GIB:.1f} GiB" + (" (limit of the container)" if limit is not None and limit < total else "")
    if usable >= MEMORY_GIB * GIB:
        return Check("memory", "ok", found)
    return Check("memory", "optional", found, f"under {MEMORY_GIB} GiB: take small batches (--batch-size 4)")


def memory_limit(group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that the control group of the process may use; None where there is no limit."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (group / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        return int(text) if re.fullmatch(r"\d+", text) else None
    return None


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    found = f"{free / GIB:.1f} GiB free in {folder}"
    if free >= DISK_GIB * GIB:
        return Check("disk", "ok", found)
    return Check("disk", "optional", found, f"under {DISK_GIB} GiB: free some, or work in another folder")


def writable(name: str, folder: Path, remedy: str) -> Check:
    """Whether a file can be written in `folder`, found by writing one."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".polyhead-"):
            pass
    except OSError as error:
        return Check(name, "missing", f"{folder} cannot be written to: {error.strerror or error}", remedy)
    return Check(name, "ok", str(folder))


def _dicom() -> Iterator[Check]:
    try:
        from domains.medical.intake.dicom_decoders import EXTRA, compressions
    except ImportError:  # the package that lacks has a line of its own
        return
    known = compressions()
    lacking = [each.name for each in known if not each.is_read]
    read = [each.name for each in known if each.is_read]
    found = f"uncompressed, {', '.join(read)}"
    if not lacking:
        yield Check("DICOM decoders", "ok", found)
    else:
        yield Check("DICOM decoders", "optional", f"{found}; not {', '.join(lacking)}", f"for those: {EXTRA}")


def _torch() -> Iterator[Check]:
    try:
        import torch

        from polyhead.inference import has_bfloat16
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        yield Check("torch starts", "missing", reason, "install it anew: make setup")
        return
    yield Check("torch starts", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        yield Check("gpu", "ok", names)
    elif torch.backends.mps.is_available():
        yield Check("gpu", "ok", "Apple (mps)")
    else:
        yield Check("gpu", "optional", "none that torch can use", "training of the larger presets wants one")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if has_bfloat16(device):
        yield Check("bfloat16", "ok", f"computed by the {device.type}")
    else:
        yield Check("bfloat16", "optional", f"not computed by the {device.type}", "float32 is used")
