"""Labelled rows as training samples: decoded once, kept at the network's size, varied by seed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from domains.medical.intake.images import image_size, read_image
from domains.medical.ultrasound.data.geometry import Frame, resize_image, resize_mask
from domains.medical.ultrasound.data.masks import read_class_mask
from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.learning.augment import Affine, keeps, photometric, ultrasound_photometric
from domains.medical.ultrasound.networks.input import normalise
from domains.medical.ultrasound.presets import UltrasoundConfig


class InputCache:
    """Images at the network's size, each decoded once for all the tasks that use it, up to a number of bytes."""

    def __init__(self, size: int, *, keep_aspect: bool, megabytes: int):
        self.size, self.keep_aspect = size, keep_aspect
        self._megabytes = megabytes
        self._left = megabytes * 1_000_000
        self._kept: dict[Path | Row, tuple[np.ndarray, Frame]] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        # A loader process that is spawned begins with an empty cache; locks cannot be sent.
        return partial(InputCache, self.size, keep_aspect=self.keep_aspect, megabytes=self._megabytes), ()

    def image(self, path: Path) -> tuple[np.ndarray, Frame]:
        """(size, size, 3) uint8 and where the image lies in it."""
        return self._kept_or_made(path, lambda: self._read(path))

    def mask(self, row: Row) -> np.ndarray:
        """(size, size) uint8 class indices of a row of the kind segmentation."""
        return self._kept_or_made(row, lambda: self._read_mask(row))[0]

    def _read(self, path: Path) -> tuple[np.ndarray, Frame]:
        pixels = read_image(path).pixels
        frame = self._frame(pixels.shape[0], pixels.shape[1])
        return resize_image(pixels, frame), frame

    def _read_mask(self, row: Row) -> tuple[np.ndarray, Frame]:
        ids = read_class_mask(row, image_size(row.image)).ids
        frame = self._frame(ids.shape[0], ids.shape[1])
        return resize_mask(ids, frame), frame

    def _frame(self, height: int, width: int) -> Frame:
        return Frame.fit(height, width, self.size, keep_aspect=self.keep_aspect)

    def _kept_or_made(self, key: Path | Row, make: Callable[[], tuple[np.ndarray, Frame]]) -> tuple[np.ndarray, Frame]:
        with self._lock:
            if key in self._kept:
                return self._kept[key]
        entry = make()
        with self._lock:
            if entry[0].nbytes <= self._left and key not in self._kept:
                self._left -= entry[0].nbytes
                self._kept[key] = entry
        return entry


class TaskRows:
    """The rows of one task as the training loop takes them.

    `sample` is a pure function of the row and the seed, so that an interrupted training can go on exactly.
    """

    def __init__(self, rows: Sequence[Row], config: UltrasoundConfig, cache: InputCache):
        if len({row.task for row in rows}) != 1:
            raise ValueError("TaskRows takes the rows of exactly one task")
        self.rows = list(rows)
        self.config = config
        self.cache = cache

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, row: int, seed: int | None) -> tuple[Tensor, Tensor]:
        """The input (3, size, size) float32 and the target of one row; no seed, no variation.

        Targets: mask (size, size) int64, class () int64, box (4,) or points (N, 2) float32 in fractions of the input.
        """
        entry = self.rows[row]
        image, frame = self.cache.image(entry.image)
        target = self._target(entry, frame)
        if seed is not None and self.config.data.augmentation != "none":
            image, target = self._vary(image, target, entry.kind, np.random.default_rng(seed))
        return to_input(image), _to_tensor(target, entry.kind)

    def _target(self, entry: Row, frame: Frame) -> np.ndarray:
        if entry.kind == "segmentation" and entry.mask is not None:
            return self.cache.mask(entry)
        if entry.kind == "classification" and entry.label is not None:
            return np.array(entry.label, dtype=np.int64)
        if entry.kind == "detection" and entry.box is not None:
            return frame.to_input(np.array(entry.box).reshape(2, 2)).reshape(4)
        if entry.kind == "keypoints" and entry.points is not None:
            return frame.to_input(np.array(entry.points))
        raise ValueError(f"{entry.table}, line {entry.line}: the row of task {entry.task!r} has no label")

    def _vary(
        self, image: np.ndarray, target: np.ndarray, kind: str, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.config.data.augmentation == "photometric":
            return photometric(image, generator), target
        affine = Affine(self.cache.size, generator, flip=self.config.data.flip)
        moved = target
        if kind == "segmentation":
            moved = affine.image(target, nearest=True)
        elif kind == "detection":
            moved = affine.box(target)
        elif kind == "keypoints":
            moved = affine.points(target)
        # A point that would leave the input, or a box that would be cut to a sliver, stays where it is.
        lost = (kind == "keypoints" and not keeps(moved)) or (kind == "detection" and _sliver(moved, target))
        if not lost:
            image, target = affine.image(image), moved
        return ultrasound_photometric(image, generator), target


def _sliver(moved: np.ndarray, box: np.ndarray) -> bool:
    return bool(((moved[2:] - moved[:2]) < 0.5 * (box[2:] - box[:2])).any())


def to_input(image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 to (3, H, W) float32, normalised as in prediction."""
    return normalise(torch.from_numpy(np.array(image))[None])[0]


def _to_tensor(target: np.ndarray, kind: str) -> Tensor:
    dtype = torch.int64 if kind in ("segmentation", "classification") else torch.float32
    return torch.from_numpy(np.array(target)).to(dtype)


def task_data(rows: Sequence[Row], config: UltrasoundConfig) -> Mapping[str, Any]:
    """The rows as one `TaskRows` a task, in order of the tasks' names, with one cache for all."""
    cache = InputCache(
        config.network.image_size, keep_aspect=config.network.keep_aspect, megabytes=config.data.cache_megabytes
    )
    by_task: dict[str, list[Row]] = {}
    for row in rows:
        by_task.setdefault(row.task, []).append(row)
    return {task: TaskRows(by_task[task], config, cache) for task in sorted(by_task)}
