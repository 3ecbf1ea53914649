"""Folders that simulators fill: made with settings that lie beside the files, so that an interrupted one can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyhead.system.files import TEMPORARY, write_whole

SETTINGS = "sample.json"


def claim_folder(out: Path, settings: Mapping[str, Any]) -> None:
    """Makes a folder that of a sample with these settings, or finds that it is that already.

    What a killed call left unfinished below it is removed.

    Args:
        settings: JSON values that decide what is written; they go to ``OUT/sample.json``.

    Raises:
        ValueError: `out` is a file, holds a sample of other settings, or something else.
    """
    mark = out / SETTINGS
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; name a new or empty folder for the sample")
    if mark.is_file():
        try:
            found = json.loads(mark.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if found != settings:
            raise ValueError(f"{out} holds a sample of other settings (see {mark}); name a new or empty folder")
        for unfinished in out.rglob(f"{TEMPORARY}*"):
            unfinished.unlink(missing_ok=True)
    elif out.exists() and any(not each.name.startswith(TEMPORARY) for each in out.iterdir()):
        raise ValueError(f"{out} is not empty and holds no {SETTINGS}; name a new or empty folder")
    else:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(mark, (json.dumps(settings, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
