"""Receipts: what was done to which bytes by which model, and whether that still holds."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from polyhead import __version__
from polyhead.batch.case import Case, InvalidInput, Record
from polyhead.batch.writer import RECEIPT, dump_json, safe_relative
from polyhead.files import sweep_temporaries, write_whole

LARGE = 8 << 20
"""Files from this size on are hashed once for all cases that they hold, as long as they are not touched."""


def _hash_file(path: Path) -> tuple[str, int]:
    with path.open("rb") as stream:
        state = os.fstat(stream.fileno())
        if state.st_size >= LARGE:
            return _hash_large(path, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        return sha256, stream.tell()


@lru_cache(maxsize=64)
def _hash_large(path: Path, *state: int) -> tuple[str, int]:
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        return sha256, stream.tell()


def fingerprint(path: Path) -> dict[str, Any]:
    """``{"sha256", "bytes"}`` of a file, or of a folder: the names and contents of all files below it, in sorted order.

    A path that cannot be read is an `InvalidInput`.
    """
    try:
        if not path.is_dir():
            sha256, size = _hash_file(path)
            return {"sha256": sha256, "bytes": size}
        total, whole = 0, hashlib.sha256()
        for name in sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()):
            sha256, size = _hash_file(path / name)
            whole.update(json.dumps([name, sha256, size]).encode())
            total += size
        return {"sha256": whole.hexdigest(), "bytes": total}
    except FileNotFoundError:
        raise InvalidInput("missing_file", "there is no such file", "check the path or the list of inputs") from None
    except OSError as error:
        reason = f"the file cannot be read: {error.strerror or error}"
        raise InvalidInput("unreadable_file", reason, "check permissions and the disk") from None


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
        input: ``{"sha256", "bytes"}`` of the input.
        model: the model's hash.
        request: `request_digest` of what was asked.
        outputs: ``{name: {"sha256", "bytes"}}``.
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
    software: str = __version__


def save_receipt(folder: Path, receipt: Receipt) -> None:
    """Writes the receipt, atomically; the last file of a case."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / RECEIPT, dump_json(asdict(receipt), indent=1) + b"\n")


def load_receipt(folder: Path) -> Receipt | None:
    """The receipt in `folder`; None where there is none or it is not one."""
    try:
        data = json.loads((folder / RECEIPT).read_bytes())
        receipt = Receipt(**{key: data[key] for key in data.keys() & {entry.name for entry in fields(Receipt)}})
        well_formed = isinstance(receipt.outputs, dict) and all(
            safe_relative(name) and isinstance(sums, dict) for name, sums in receipt.outputs.items()
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return receipt if well_formed else None


def receipt_holds(receipt: Receipt, folder: Path, case: Case, model: str, request: str) -> bool:
    """Whether the receipt still answers this case: same input, model and request, every output as it was written."""
    if (receipt.case, receipt.model, receipt.request) != (case.id, model, request):
        return False
    try:
        for name, sums in receipt.outputs.items():
            if (folder / name).stat().st_size != sums.get("bytes"):
                return False
        if fingerprint(case.path) != receipt.input:
            return False
        return all(fingerprint(folder / name) == sums for name, sums in receipt.outputs.items())
    except (OSError, InvalidInput):
        return False


def clear_case(folder: Path) -> None:
    """Removes an earlier answer, so that a failure never leaves stale outputs: receipt first, then its outputs."""
    receipt = load_receipt(folder)
    with suppress(FileNotFoundError, NotADirectoryError):
        (folder / RECEIPT).unlink()
    if receipt is not None:
        for name in receipt.outputs:
            (folder / name).unlink(missing_ok=True)
    sweep_temporaries(folder)
