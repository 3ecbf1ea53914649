"""The run folder: run.json, model.safetensors, metrics.jsonl and snapshots/. Reading run.json needs no torch."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from polyhead.files import hash_file, replacing
from polyhead.tasks import TaskSet

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
RUN_FILE, WEIGHTS_FILE, METRICS_FILE, SNAPSHOTS = "run.json", "model.safetensors", "metrics.jsonl", "snapshots"

FREE_SETTINGS = frozenset({"workers", "device", "max_minutes", "snapshot_every"})
"""Settings that may differ when a training goes on: they do not change what is computed."""


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
    root = Path(__file__).resolve().parents[1]
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
    notes: str = ""

    @property
    def task_set(self) -> TaskSet:
        return TaskSet.from_json(self.tasks)


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Lines that say where two nested settings differ, `FREE_SETTINGS` left out."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for key in dict.fromkeys([*old, *new]):
            if key in FREE_SETTINGS:
                continue
            name = f"{path}.{key}" if path else str(key)
            if key not in old or key not in new:
                found.append(f"{name} ({'only' if key in old else 'not'} in the run)")
            else:
                found += differences(old[key], new[key], name)
        return found
    same = json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
    return [] if same else [f"{path} (was {_short(old)}, now {_short(new)})"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Run:
    """A run folder. `path` is the folder, `info` what run.json says."""

    def __init__(self, path: Path, info: RunInfo):
        self.path, self.info = path, info
        self._metrics_checked = False

    @classmethod
    def create(cls, path: str | Path, info: RunInfo, overwrite: bool = False) -> Run:
        """Makes a run folder; one that holds anything is a `ValueError` unless it is a run and `overwrite` is set."""
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path} is a file; name a folder for the run")
        if path.is_dir() and any(path.iterdir()):
            if not (path / RUN_FILE).is_file():
                raise ValueError(f"{path} holds files that are no run; name another folder")
            if not overwrite:
                raise ValueError(f"{path} holds a run already; resume it, overwrite it, or name another folder")
            _clear(path)
        path.mkdir(parents=True, exist_ok=True)
        run = cls(path, info)
        run.save_info()
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Opens a run folder; what is not a readable run of this or an older format is a `ValueError`."""
        path = Path(path)
        file = path / RUN_FILE
        if not file.is_file():
            raise ValueError(f"{path} is not a run: it has no {RUN_FILE}")
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{file} is damaged: {error}") from error
        found = data.get("format") if isinstance(data, dict) else None
        if isinstance(found, int) and found > FORMAT:
            raise ValueError(f"{path} is of run format {found}; this polyhead reads up to {FORMAT}: update polyhead")
        try:
            info = RunInfo.model_validate(data)
            _ = info.task_set
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{file} is damaged: {where or 'content'}: {first['msg']}") from error
        except (TypeError, ValueError) as error:
            raise ValueError(f"{file} is damaged: tasks: {error}") from error
        return cls(path, info)

    @classmethod
    def resume(cls, path: str | Path, info: RunInfo) -> Run:
        """Opens a run to go on with it; another system, task set, configuration or data is a `ValueError`."""
        run = cls.open(path)
        fields = ("application", "system", "preset", "tasks", "label_maps", "configuration", "data")
        wanted = json.loads(_to_json(info))
        changed = [line for field in fields for line in differences(getattr(run.info, field), wanted[field], field)]
        if changed:
            raise ValueError(f"{run.path} cannot be resumed, these differ: {'; '.join(changed)}")
        return run

    def save_info(self) -> None:
        """Writes run.json; a non-finite number is a `ValueError`."""
        text = _to_json(self.info)
        with replacing(self.path / RUN_FILE) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Marks the run as finished, with the metrics of its weights."""
        self.info = self.info.model_copy(update={"finished": True, "metrics": dict(metrics)})
        self.save_info()

    @property
    def snapshots(self) -> Path:
        return self.path / SNAPSHOTS

    @property
    def weights(self) -> Path:
        """The weights file; a run that has none yet is a `ValueError`."""
        file = self.path / WEIGHTS_FILE
        if not file.is_file():
            raise ValueError(f"{self.path} has no {WEIGHTS_FILE}: its training saved no weights yet")
        return file

    @property
    def has_weights(self) -> bool:
        return (self.path / WEIGHTS_FILE).is_file()

    def save_weights(self, state_dict: Mapping[str, Tensor]) -> None:
        """Writes model.safetensors. Tensors that are one (tied weights) are written once and named twice."""
        from safetensors.torch import save_file

        unique: dict[str, Tensor] = {}
        aliases: dict[str, str] = {}
        seen: dict[tuple, str] = {}
        for name, tensor in state_dict.items():
            tensor = tensor.detach()
            place = (tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
            if tensor.numel() and place in seen:
                aliases[name] = seen[place]
                continue
            seen[place] = name
            unique[name] = tensor.cpu().contiguous()
        shared_storage = len({tensor.untyped_storage().data_ptr() for tensor in unique.values()}) < len(unique)
        if shared_storage:  # views of one buffer that are not equal: safetensors wants each on its own
            unique = {name: tensor.clone() for name, tensor in unique.items()}
        with replacing(self.path / WEIGHTS_FILE) as temporary:
            save_file(unique, temporary, metadata={"aliases": json.dumps(aliases)})

    def load_weights(self) -> dict[str, Tensor]:
        """The state dict on the CPU; no or damaged weights are a `ValueError`."""
        from safetensors import SafetensorError, safe_open

        file = self.weights
        try:
            with safe_open(file, framework="pt") as reader:
                tensors = {name: reader.get_tensor(name) for name in reader.keys()}  # noqa: SIM118
                aliases = json.loads((reader.metadata() or {}).get("aliases", "{}"))
        except (SafetensorError, ValueError) as error:
            raise ValueError(f"{file} is damaged: {error}") from error
        return tensors | {name: tensors[source] for name, source in aliases.items()}

    def weights_hash(self) -> str:
        """SHA-256 of the weights file, hexadecimal."""
        return hash_file(self.weights)

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Adds one line to metrics.jsonl; a non-finite number is a `ValueError`. Mends a line that a kill tore."""
        text = json.dumps(line, allow_nan=False)
        file = self.path / METRICS_FILE
        if not self._metrics_checked:
            lines, torn = self._read_metrics()
            if torn:
                self._write_metrics(lines)
            self._metrics_checked = True
        with file.open("a", encoding="utf-8") as out:
            out.write(text + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a torn last line is left out, a damaged one before it is a `ValueError`."""
        return self._read_metrics()[0]

    def truncate_metrics(self, step: int) -> None:
        """Drops the lines of steps after `step`."""
        lines, torn = self._read_metrics()
        kept = [line for line in lines if line["step"] <= step]
        if torn or len(kept) < len(lines):
            self._write_metrics(kept)

    def _read_metrics(self) -> tuple[list[dict[str, Any]], bool]:
        file = self.path / METRICS_FILE
        if not file.is_file():
            return [], False
        raw = file.read_bytes()
        parts = raw.split(b"\n")
        torn = parts.pop() != b""
        lines = []
        for number, part in enumerate(parts, start=1):
            try:
                lines.append(json.loads(part))
            except ValueError as error:
                raise ValueError(f"{file} is damaged at line {number}: {error}") from error
        return lines, torn

    def _write_metrics(self, lines: list[dict[str, Any]]) -> None:
        with replacing(self.path / METRICS_FILE) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _to_json(info: RunInfo) -> str:
    try:
        return json.dumps(info.model_dump(), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ValueError(f"run.json holds what JSON cannot: {error}") from error


def _clear(path: Path) -> None:
    """Removes the files of a run, and nothing that lies beside them."""
    import shutil

    for name in (METRICS_FILE, WEIGHTS_FILE, RUN_FILE):
        (path / name).unlink(missing_ok=True)
    if (path / SNAPSHOTS).is_dir():
        shutil.rmtree(path / SNAPSHOTS)
