"""What run.json says of a run, and of where it was made. Importing this needs no torch."""

from __future__ import annotations

import json
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from polyhead.tasks import TaskSet

FORMAT = 1


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("polyhead", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _git_commit() -> str | None:
    """The commit of the checkout that this package lies in, None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class RunInfo(BaseModel):
    """What run.json says. Values are JSON values; numbers are finite.

    Attributes:
        tasks: `TaskSet.to_json`.
        label_maps: for each task that has one, the name of each label value.
        configuration: the resolved configuration of the training.
        data: fingerprint of the data: sizes, hashes, splits.
        metrics: metrics of the saved weights, when the training has finished.
        base: ``{"source", "sha256"}`` of the weights that the training left as they were, where it did.
    """

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    application: str
    system: str
    preset: str
    tasks: list[dict[str, Any]]
    label_maps: dict[str, Any] = Field(default_factory=dict)
    configuration: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=_versions)
    git_commit: str | None = Field(default_factory=_git_commit)
    created: str = Field(default_factory=_now)
    finished: bool = False
    metrics: dict[str, Any] = Field(default_factory=dict)
    base: dict[str, str] | None = None
    notes: str = ""

    @property
    def task_set(self) -> TaskSet:
        return TaskSet.from_json(self.tasks)


def to_json(info: RunInfo) -> str:
    """The text of run.json; what JSON cannot hold, such as an infinite number, is a `ValueError`."""
    try:
        return json.dumps(info.model_dump(), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ValueError(f"run.json holds what JSON cannot: {error}") from error
