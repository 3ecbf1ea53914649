"""Receipts: what was done to which bytes by which model, and whether that still holds."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from polyhead import __version__
from polyhead.batch.case import Case, InvalidInput, Record
from polyhead.batch.looking import refusal
from polyhead.batch.monitor import current_monitor
from polyhead.batch.products import Saved, covers
from polyhead.batch.search import is_hidden
from polyhead.batch.states import settled_state, state_of
from polyhead.batch.writer import RECEIPT, dump_json, safe_relative
from polyhead.system.files import sweep_temporaries, write_whole
from polyhead.system.regular import open_regular

Verify = Literal["quick", "full"]
"""How a receipt is checked: by size, time and inode of files where those show every change, or by their contents."""

Changed = Literal["asked", "saved", "input", "outputs"]
"""What a receipt no longer holds for: what is asked of which model, what is kept of an answer, the bytes of the input,
or the files written."""

LARGE = 8 << 20
"""Files from this size on are hashed once for all cases that they hold, as long as they are not touched."""


def _hash_file(path: Path) -> tuple[str, int]:
    with open_regular(path) as stream:
        state = os.fstat(stream.fileno())
        if state.st_size >= LARGE:
            return _hash_large(path, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        return sha256, stream.tell()


@lru_cache(maxsize=64)
def _hash_large(path: Path, *state: int) -> tuple[str, int]:
    monitor, sha256, done, size = current_monitor(), hashlib.sha256(), 0, state[2]
    with open_regular(path) as stream:
        while part := stream.read(LARGE):
            sha256.update(part)
            done += len(part)
            monitor.part(done >> 20, max(done, size) >> 20, "MB")
    return sha256.hexdigest(), done


def _files_below(folder: Path) -> dict[str, Path]:
    """All files below `folder` by relative path, in order: without hidden ones, links to folders gone into."""
    found: dict[str, Path] = {}
    seen: set[tuple[int, int]] = set()
    for here, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        state = Path(here).stat()
        if (state.st_dev, state.st_ino) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in names:
            path = Path(here, name)
            if not is_hidden(name) and path.is_file():
                found[path.relative_to(folder).as_posix()] = path
    return dict(sorted(found.items()))


def _raise(error: OSError) -> None:
    raise error


def _content(path: Path) -> tuple[str, int]:
    """Hash and size of a file, or of a folder: the names and contents of all files below it."""
    if not path.is_dir():
        return _hash_file(path)
    total, whole = 0, hashlib.sha256()
    for name, file in _files_below(path).items():
        sha256, size = _hash_file(file)
        whole.update(json.dumps([name, sha256, size]).encode())
        total += size
    return whole.hexdigest(), total


def fingerprint(path: Path, *companions: Path) -> dict[str, Any]:
    """``{"sha256", "bytes"}`` of a file, or of a folder: the names and contents of all files below it, in sorted order.

    Hidden files of a folder do not count. With `companions`, one fingerprint of all, each by its place relative to the
    first one's folder. A path that cannot be read is an `InvalidInput`.
    """
    each = path
    try:
        if not companions:
            sha256, size = _content(path)
            return {"sha256": sha256, "bytes": size}
        total, whole = 0, hashlib.sha256()
        for each in (path, *companions):
            sha256, size = _content(each)
            whole.update(json.dumps([os.path.relpath(each, path.parent), sha256, size]).encode())
            total += size
        return {"sha256": whole.hexdigest(), "bytes": total}
    except OSError as error:
        raise refusal(each, error) from None


def input_fingerprint(case: Case) -> dict[str, Any]:
    """`fingerprint` of all files of a case, with their ``"state"`` where it is sure: what a receipt keeps of them."""
    now = time.time_ns()
    state = None
    with suppress(OSError):  # what cannot be looked at cannot be read either, and `fingerprint` says so
        state = settled_state(_input_files(case), now)
    found = _taken(case)
    return found if state is None else {**found, "state": state}


def _roots(case: Case) -> tuple[Path, ...]:
    return case.files or (case.path,)


def _taken(case: Case) -> dict[str, Any]:
    first, *companions = _roots(case)
    return fingerprint(first, *companions)


def _input_files(case: Case) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for root in _roots(case):
        if root.is_dir():
            files |= {f"{root}/{name}": path for name, path in _files_below(root).items()}
        else:
            files[str(root)] = root
    return files


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form (sorted keys, no spaces); a non-finite number is a `ValueError`."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    ).hexdigest()


def request_digest(parameters: Mapping[str, Any], case: Case) -> str:
    """Digest of everything that is asked of a case: the run's parameters, the case's tasks and options."""
    return digest({"parameters": dict(parameters), "tasks": list(case.tasks), "options": dict(case.options)})


@dataclass(frozen=True)
class Receipt:
    """The proof that a case is done (``ok``) or cannot be (``invalid_input``), kept beside its outputs.

    Attributes:
        input: `input_fingerprint`: ``{"sha256", "bytes"}`` of the input, and its ``"state"`` where that is sure.
        model: the model's hash.
        request: `request_digest` of what was asked.
        outputs: the same of every output, by name.
        saved: the products that were wanted of the case.
        software: the version of polyhead that did the case.
        made: the day it was done, as 2025-01-31.
        path: where the input was, absolute; empty where a receipt does not say.
    """

    status: str
    case: str
    input: Mapping[str, Any]
    model: str
    request: str
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    record: Record | None = None
    seconds: float | None = None
    code: str | None = None
    reason: str | None = None
    remedy: str | None = None
    saved: Saved = None
    software: str = __version__
    made: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())
    path: str = ""


def save_receipt(folder: Path, receipt: Receipt) -> None:
    """Writes the receipt, atomically; the last file of a case."""
    folder.mkdir(parents=True, exist_ok=True)
    # `asdict` copies every value of the record, and an indent keeps `json` from its fast encoder.
    write_whole(folder / RECEIPT, dump_json(vars(receipt)) + b"\n")


def load_receipt(folder: Path) -> Receipt | None:
    """The receipt in `folder`; None where there is none or it is not one."""
    try:
        data = {"made": "an earlier day"} | json.loads((folder / RECEIPT).read_bytes())
        receipt = Receipt(**{key: data[key] for key in data.keys() & {entry.name for entry in fields(Receipt)}})
        well_formed = isinstance(receipt.input, dict) and isinstance(receipt.outputs, dict)
        well_formed &= receipt.saved is None or isinstance(receipt.saved, list)
        well_formed &= all(safe_relative(name) and isinstance(sums, dict) for name, sums in receipt.outputs.items())
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return receipt if well_formed else None


def what_changed(
    receipt: Receipt,
    folder: Path,
    case: Case,
    model: str,
    request: str,
    verify: Verify = "quick",
    saved: Saved = None,
) -> Changed | None:
    """What keeps the receipt from answering this case: None where model, request, input and outputs are as they were.

    Of the products that are wanted, `saved`, none may be missing; more are no harm. A file that was not touched since
    is not read; ``verify="full"`` reads all of them.

    Raises:
        InvalidInput, OSError: the input cannot be looked at, which reading it says.
    """
    if (receipt.case, receipt.model, receipt.request) != (case.id, model, request):
        return "asked"
    if receipt.status == "ok" and not covers(receipt.saved, saved):
        return "saved"
    quick = verify == "quick"
    if not ((quick and _untouched(receipt.input, _input_files(case))) or _same(receipt.input, _taken(case))):
        return "input"
    try:
        for name, sums in receipt.outputs.items():
            if (folder / name).stat().st_size != sums.get("bytes"):
                return "outputs"
        whole = all(
            (quick and _untouched(sums, {name: folder / name})) or _same(sums, fingerprint(folder / name))
            for name, sums in receipt.outputs.items()
        )
    except (OSError, InvalidInput):
        return "outputs"
    return None if whole else "outputs"


def is_anothers(receipt: Receipt, case: Case) -> bool:
    """Whether a receipt is of another file than the case's, which is still there and of other contents.

    Raises:
        InvalidInput, OSError: the input cannot be looked at.
    """
    if not receipt.path or not os.path.exists(receipt.path):  # noqa: PTH110 - False of what cannot be looked at
        return False
    return not os.path.samefile(receipt.path, case.path) and not _same(receipt.input, _taken(case))  # noqa: PTH121


def _untouched(sums: Mapping[str, Any], files: Mapping[str, Path]) -> bool:
    state = sums.get("state")
    return state is not None and state == state_of(files)


def _same(sums: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    return (sums.get("sha256"), sums.get("bytes")) == (found["sha256"], found["bytes"])


def clear_case(folder: Path) -> Receipt | None:
    """Removes an earlier answer, so that a failure never leaves stale outputs: receipt first, then its outputs.

    Returns:
        the receipt that was there.
    """
    receipt = load_receipt(folder)
    with suppress(FileNotFoundError, NotADirectoryError):
        (folder / RECEIPT).unlink()
    if receipt is not None:
        for name in receipt.outputs:
            (folder / name).unlink(missing_ok=True)
    sweep_temporaries(folder)
    return receipt
