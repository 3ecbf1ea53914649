"""What array files claim to hold, against what they hold and what the machine bears, before it is allocated."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from polyhead.system.memory_budget import total_memory
from polyhead.system.regular import open_regular

SHARE_OF_MEMORY = 0.25
"""What the arrays of one file may take of the machine's memory."""
_PACKED = 1100
"""No file packed by deflate holds more than this many bytes in one."""
_SMALL = 64 << 20
"""Arrays up to this size are allocated whatever the file holds."""


def require_memory(size: int, what: str) -> None:
    """A `ValueError` where an array of `size` bytes is more than a file may bring."""
    limit = total_memory() * SHARE_OF_MEMORY
    if size > limit:
        raise ValueError(f"{what} claims {size:,} bytes; with this machine's memory the limit is {limit:,.0f}")


def require_held(size: int, held: int, what: str) -> None:
    """A `ValueError` where an array claims more bytes than those of the file could be unpacked to, or be kept."""
    require_memory(size, what)
    if size > max(_SMALL, held * _PACKED):
        raise ValueError(f"{what} claims {size:,} bytes and holds {held:,}")


def check_npy(path: Path) -> None:
    """Checks the header of an npy file against its length; what is no npy file is left to its reader."""
    with open_regular(path) as file:
        size = _claimed(file)
        held = path.stat().st_size - file.tell()
    if size is not None:
        require_memory(size, path.name)
        if size > held:
            raise ValueError(f"{path.name} claims {size:,} bytes and holds {held:,}")


def check_npz(path: Path) -> None:
    """Checks the arrays of an npz file likewise; all of them together have to find room.

    Raises:
        ValueError, OSError, zipfile.BadZipFile: as `numpy.load` raises them.
    """
    with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
        require_memory(sum(member.file_size for member in archive.infolist()), path.name)
        for member in archive.infolist():
            if member.is_dir() or not member.filename.endswith(".npy"):
                continue
            with archive.open(member) as file:
                size = _claimed(file)
            if size is not None and size > member.file_size:
                raise ValueError(f"{member.filename} claims {size:,} bytes and holds {member.file_size:,}")


def check_dataset(dataset: Any) -> None:
    """Checks an h5py data set: its shape may say anything, and what was never written takes no place in the file."""
    size = math.prod(map(int, dataset.shape or ())) * dataset.dtype.itemsize
    require_held(size, int(dataset.id.get_storage_size()), f"/{dataset.name.lstrip('/')}")


def _claimed(file: Any) -> int | None:
    """Bytes of the array that an npy header announces; None for another file."""
    try:
        version = npy.read_magic(file)
        reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = reader(file)
    except ValueError:
        return None
    return math.prod(map(int, shape)) * np.dtype(dtype).itemsize
