"""Whose OUT is: results are written to a folder that is new, empty or a batch's own, and to no other."""

from __future__ import annotations

from pathlib import Path

from polyhead.batch.search import is_hidden
from polyhead.runs.identity import RUN_FILE
from polyhead.system.folders import BATCH_STATE, holds_results, refuse_unwritable

_REMEDY = "choose another -o, a new or empty folder"


def refuse_foreign(out: Path) -> None:
    """Passes where `out` is absent, empty but for hidden files, or a batch's own.

    Raises:
        ValueError: it is a file, or holds something else: a trained model, somebody's files.
        OSError: it cannot be written to.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; {_REMEDY}")
    if (out / RUN_FILE).is_file():
        raise ValueError(f"{out} holds a run.json: a trained model, or results of an earlier polyhead; {_REMEDY}")
    refuse_unwritable(out)
    if not out.is_dir():
        return
    if (out / BATCH_STATE).is_dir():
        refuse_unwritable(out / BATCH_STATE)
    shown = sorted(entry.name for entry in out.iterdir() if not is_hidden(entry.name))
    if shown and not holds_results(out):
        held = shown[0] + (f" and {len(shown) - 1:,} more" if len(shown) > 1 else "")
        raise ValueError(f"{out} holds no results of a batch, but {held}; {_REMEDY}")
