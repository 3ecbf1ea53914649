"""The run folder: run.json, model.safetensors, metrics.jsonl and snapshots/. Reading run.json needs no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from polyhead.runs.differences import differences, refuse_differences
from polyhead.runs.identity import (
    CALIBRATION_FILE,
    LIKENESS_FILE,
    METRICS_FILE,
    PROBLEMS_FILE,
    RUN_FILE,
    SNAPSHOTS,
    digest_folder,
)
from polyhead.runs.info import FORMAT, RunInfo, to_json
from polyhead.runs.metrics_log import MetricsLog
from polyhead.settings import with_defaults
from polyhead.system.files import hash_file, replacing, sweep_temporaries
from polyhead.system.folders import holds_results
from polyhead.system.launch import process_count
from polyhead.system.locks import HeldLock

if TYPE_CHECKING:
    from torch import Tensor, nn

    from polyhead.system.ranks import Ranks

WEIGHTS_FILE, FROZEN_FILE, LOCK_FILE = "model.safetensors", "frozen.safetensors", ".lock"
_OWN_FILES = (METRICS_FILE, PROBLEMS_FILE, WEIGHTS_FILE, FROZEN_FILE, LIKENESS_FILE)


class RunInUse(ValueError):
    """Another training works in the run folder."""


class Run:
    """A run folder.

    Attributes:
        path: the folder.
        info: what run.json says.
        resumed: whether a training goes on here that began earlier.
    """

    def __init__(self, path: Path, info: RunInfo, *, resumed: bool = False):
        self.path, self.info, self.resumed = path, info, resumed
        self._lock: HeldLock | None = None
        self._ranks: Ranks | None = None
        self._metrics = MetricsLog(path / METRICS_FILE)

    @classmethod
    def begin(
        cls,
        path: str | Path,
        info: RunInfo,
        *,
        resume: bool = False,
        overwrite: bool = False,
        configuration: type[BaseModel] | None = None,
        ranks: Ranks | None = None,
    ) -> Run:
        """Makes or opens the folder of a training, and locks it until `close`, the end of a ``with`` block or of this.

        Of several processes the first makes or opens it; the others wait, and end with its error where there is one.
        A ``with`` block ends for the others when it has ended for the first, which may write until then.

        Args:
            path: the folder, which may be there if it is empty; hidden files do not count.
            info: what is trained.
            resume: go on with the run that is there; another system, task set, configuration or data is an error.
            overwrite: replace a run that is there; files beside it are kept.
            configuration: the model of `RunInfo.configuration`: settings that an older run does not name have its
                defaults.
            ranks: the processes that train together; by default as the launcher's environment says.

        Raises:
            RunInUse: another training works there.
            ValueError: nothing to go on with, or something in the way.
        """
        if ranks is None and process_count() > 1:
            from polyhead.system.ranks import Ranks

            ranks = Ranks()
        if ranks is None or ranks.world == 1:
            return cls._begin(Path(path), info, resume, overwrite, configuration)
        begun: list[Run] = []

        def begin() -> tuple[str, bool]:
            begun.append(cls._begin(Path(path), info, resume, overwrite, configuration))
            return to_json(begun[0].info), begun[0].resumed

        text, resumed = ranks.first_does(begin)
        run = begun[0] if begun else cls(Path(path), RunInfo.model_validate_json(text), resumed=resumed)
        run._ranks = ranks
        return run

    @classmethod
    def _begin(
        cls, path: Path, info: RunInfo, resume: bool, overwrite: bool, configuration: type[BaseModel] | None
    ) -> Run:
        if resume:
            cls.open(path)
        elif path.exists() and not path.is_dir():
            raise ValueError(f"{path} is a file; name a folder for the run")
        elif holds_results(path):
            raise ValueError(f"{path} holds the results of a batch; name another folder for the run")
        elif not (path / RUN_FILE).is_file() and _shown(path):
            raise ValueError(f"{path} holds files that are no run; name another folder")
        path.mkdir(parents=True, exist_ok=True)
        lock = hold(path)
        try:
            sweep_temporaries(path)
            if resume:
                # Opened again: whoever held the lock before may have changed it.
                run = cls.open(path)
                run._refuse_changes(info, configuration)
                if run.info.finished:
                    run._drop_snapshots()
            else:
                if (path / RUN_FILE).is_file() and not overwrite:
                    raise ValueError(f"{path} holds a run already; resume it, overwrite it, or name another folder")
                _clear(path)
                run = cls(path, info)
                run.save_info()
        except BaseException:
            lock.release()
            raise
        run.resumed, run._lock = resume, lock
        return run

    def _refuse_changes(self, info: RunInfo, configuration: type[BaseModel] | None) -> None:
        fields = ("application", "system", "preset", "tasks", "label_maps", "configuration", "data")
        wanted, there = json.loads(to_json(info)), json.loads(to_json(self.info))
        there["tasks"] = self.info.task_set.to_json()
        if configuration is not None:
            there["configuration"] = with_defaults(configuration, there["configuration"])
        refuse_differences(
            self.path, [each for name in fields for each in differences(there[name], wanted[name], name)]
        )

    def close(self) -> None:
        """Frees the folder for other trainings."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self._ranks is not None and error is None:
            self._ranks.gather(None)

    @classmethod
    def open(cls, path: str | Path, *, application: str | None = None) -> Run:
        """Opens a run folder to read it.

        Raises:
            ValueError: no readable run of this or an older format, or one of another application than that.
        """
        path = Path(path)
        file = path / RUN_FILE
        if not file.is_file():
            why = "it holds the results of a batch" if holds_results(path) else f"it has no {RUN_FILE}"
            raise ValueError(f"{path} is not a run: {why}")
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
        if application not in (None, info.application):
            raise ValueError(f"{path} is a run of {info.application!r}, not of {application!r}")
        return cls(path, info)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Puts the folder in front of what a `ValueError` of the block says."""
        try:
            yield
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error

    def save_info(self) -> None:
        """Writes run.json; a non-finite number is a `ValueError`."""
        text = to_json(self.info)
        with replacing(self.path / RUN_FILE) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Marks the run as finished, with the metrics of its weights, and drops its snapshots."""
        self.info = self.info.model_copy(update={"finished": True, "metrics": dict(metrics)})
        self.save_info()
        self._drop_snapshots()

    def _drop_snapshots(self) -> None:
        import shutil

        if self.snapshots.is_dir():
            shutil.rmtree(self.snapshots)

    def drop_calibration(self, say: Callable[[str], None]) -> None:
        """Removes the calibration of former weights, where the run is not finished, and says so."""
        file = self.path / CALIBRATION_FILE
        if not self.info.finished and file.is_file():
            file.unlink()
            say(f"{CALIBRATION_FILE} is removed: it was of other weights; calibrate the run again")

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
        from polyhead.runs.weights import save_tensors

        save_tensors(self.path / WEIGHTS_FILE, state_dict)

    def save_frozen(self, state_dict: Mapping[str, Tensor]) -> None:
        """Writes frozen.safetensors: what the model has beside its trained weights, and training leaves as it is."""
        from polyhead.runs.weights import save_tensors

        save_tensors(self.path / FROZEN_FILE, state_dict)

    def drop_frozen(self) -> None:
        """Forgets the frozen weights, once those that are saved are the whole model, as after a merge of adapters."""
        self.info = self.info.model_copy(update={"base": None})
        self.save_info()
        (self.path / FROZEN_FILE).unlink(missing_ok=True)

    def load_weights(self) -> dict[str, Tensor]:
        """The state dict on the CPU, trained and frozen weights together; no or damaged ones are a `ValueError`."""
        from polyhead.runs.weights import load_tensors

        frozen = self.path / FROZEN_FILE
        trained = load_tensors(self.weights)
        return (load_tensors(frozen) if frozen.is_file() else {}) | trained

    def load_into(self, model: nn.Module, state: Mapping[str, Tensor] | None = None) -> None:
        """Puts the run's weights, or those of `state`, in the place of the model's, which may be of the meta device.

        Raises:
            ValueError: no weights, damaged ones, or others than the model has; one line says which.
        """
        from polyhead.runs.weights import Loaded, state_digest

        given = self.load_weights() if state is None else state
        own = model.state_dict()
        found = Loaded.of(own, given)
        if self.info.base is not None and found.missing and state is None:
            # What was frozen is not in the run: the model must have brought it along.
            frozen = {name: own[name] for name in found.missing}
            if any(value.is_meta for value in frozen.values()) or state_digest(frozen) != self.info.base["sha256"]:
                raise ValueError(f"{self.path}: the model lacks the frozen weights of {self.info.base['source']}")
            given = frozen | dict(given)
            found = Loaded.of(own, given)
        if not found.whole:
            raise ValueError(f"{self.path}: the weights do not fit the model: {found.misfits}")
        model.load_state_dict(dict(given), assign=True)

    def weights_hash(self) -> str:
        """SHA-256, hexadecimal, of the weights file; of the hashes of both files where there are frozen weights too."""
        trained, frozen = hash_file(self.weights), self.path / FROZEN_FILE
        if not frozen.is_file():
            return trained
        return hashlib.sha256((trained + hash_file(frozen)).encode()).hexdigest()

    def identity(self, *, leaving_out: Collection[str] = ()) -> str:
        """A digest of all that decides what the model answers: see `polyhead.runs.identity`.

        Args:
            leaving_out: files of the folder that decide nothing of what is asked.

        Raises:
            ValueError: there are no weights yet.
        """
        _ = self.weights
        # What is at its default says nothing: a field that comes later makes no run another model.
        return digest_folder(
            self.path, self.info.model_dump(mode="json", exclude_defaults=True), leaving_out=leaving_out
        )

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Adds one line to metrics.jsonl; a non-finite number is a `ValueError`. Mends a line that a kill tore."""
        self._metrics.append(line)

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a torn last line is left out, a damaged one before it is a `ValueError`."""
        return self._metrics.read()

    def truncate_metrics(self, step: int) -> None:
        """Drops the lines of steps after `step`."""
        self._metrics.truncate(step)


def hold(path: Path) -> HeldLock:
    """Locks a run folder against trainings; one that is being trained is a `RunInUse`."""
    lock = HeldLock.take(path / LOCK_FILE)
    if lock is None:
        raise RunInUse(f"another training is writing to {path}; wait for it, or name another folder")
    return lock


def _shown(path: Path) -> bool:
    """Whether a folder holds anything but hidden files."""
    return path.is_dir() and any(not entry.name.startswith(".") for entry in path.iterdir())


def _clear(path: Path) -> None:
    """Removes the files of a run, and nothing that lies beside them; run.json last: a kill leaves a run."""
    import shutil

    if (path / SNAPSHOTS).is_dir():
        shutil.rmtree(path / SNAPSHOTS)
    for name in (*_OWN_FILES, RUN_FILE):
        (path / name).unlink(missing_ok=True)
