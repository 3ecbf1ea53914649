"""What a folder of answers says of the run that gave them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from polyhead.runs.run import Run, RunInfo
from polyhead.system.folders import BATCH_FILE


def batch_info(predictions: Path) -> dict[str, Any]:
    """What the batch in a folder says of its run, as `apps.predicting.about` told it; nothing where no batch ended."""
    try:
        info = json.loads((predictions / BATCH_FILE).read_text(encoding="utf-8"))["info"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return info if isinstance(info, dict) else {}


def run_of(predictions: Path) -> RunInfo | None:
    """What is known of the run that answered a batch; None where no batch or no run is found."""
    try:
        return Run.open(batch_info(predictions)["run"]).info
    except (OSError, ValueError, KeyError, TypeError):
        return None
