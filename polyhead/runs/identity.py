"""Which model a folder holds: a digest of every file that decides its answers. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from polyhead.system.files import hash_file
from polyhead.system.folders import holds_results

RUN_FILE, METRICS_FILE, PROBLEMS_FILE, SNAPSHOTS = "run.json", "metrics.jsonl", "problems.csv", "snapshots"
BACKENDS = "backends"
"""Where a model is kept as a backend of this machine wants it; made from the weights, so it decides nothing."""

CALIBRATION_FILE = "calibration.json"
"""What a calibration of finished weights leaves; it decides answers."""

LIKENESS_FILE = "likeness.safetensors"
"""What inputs like those of the training look like to finished weights; it decides how sure answers are."""

DECIDE_NOTHING = frozenset({METRICS_FILE, PROBLEMS_FILE, SNAPSHOTS, BACKENDS})
"""What a run folder holds beside its model. Whatever else lies there may decide answers, and counts."""

VOLATILE = frozenset({"metrics", "created", "notes", "versions", "git_commit", "finished"})
"""What run.json says of the making of a model, not of the model."""


def deciding_files(folder: Path) -> dict[str, Path]:
    """By relative name, sorted, the files that may decide what the model of a folder answers, run.json left out.

    Hidden files are left out, and folders of other runs and of results.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == RUN_FILE or path.name in DECIDE_NOTHING:
            continue
        if path.is_file():
            found[path.name] = path
        elif path.is_dir() and not (path / RUN_FILE).is_file() and not holds_results(path):
            found |= {f"{path.name}/{name}": file for name, file in deciding_files(path).items()}
    return found


def digest_folder(folder: Path, said: Mapping[str, Any], *, leaving_out: Collection[str] = ()) -> str:
    """SHA-256, hexadecimal, of the deciding files of a folder and of what is said of its model.

    Args:
        said: JSON values, as of run.json; `VOLATILE` ones are left out.
        leaving_out: names of files that decide nothing of what is asked.
    """
    files = {name: hash_file(path) for name, path in deciding_files(folder).items() if name not in leaving_out}
    lasting = {key: value for key, value in said.items() if key not in VOLATILE}
    content = json.dumps({"files": files, "said": lasting}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()
