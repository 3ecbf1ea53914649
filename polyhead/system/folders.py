"""Whose a folder is: what marks the results of a batch, and whether a folder can be written to."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

BATCH_STATE, BATCH_FILE = ".polyhead", "batch.json"
"""What a batch leaves in its folder: a hidden folder from its first moment on, and a file once it has ended."""


def holds_results(folder: Path) -> bool:
    """Whether a folder is that of a batch's results, ended or not, also where a copy has lost what is hidden."""
    if (folder / BATCH_STATE).is_dir():
        return True
    try:
        said = json.loads((folder / BATCH_FILE).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and "model_hash" in said


def refuse_unwritable(folder: Path) -> None:
    """An `OSError` where `folder`, or the nearest folder above it that is there, cannot be written to."""
    there = folder
    while not os.path.lexists(there) and there.parent != there:
        there = there.parent
    if not there.is_dir():
        # A link that leads nowhere is in the way as a file is.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK | os.X_OK):
        refused = errno.EROFS if os.statvfs(there).f_flag & os.ST_RDONLY else errno.EACCES
        raise OSError(refused, os.strerror(refused), str(there))
