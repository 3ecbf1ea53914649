"""A trained run at work: images in, answers out, the encoder once for each image whatever is asked of it."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from domains.medical.intake.images import image_size, read_image
from domains.medical.intake.picture import BYTES_A_PIXEL, SHARE_OF_MEMORY, Image
from domains.medical.ultrasound.data.geometry import Frame, resize_image
from domains.medical.ultrasound.networks.folded import FoldedPyramid
from domains.medical.ultrasound.networks.input import normalise
from domains.medical.ultrasound.networks.network import LEVELS, PyramidBackbone, level_means, take_rows
from domains.medical.ultrasound.predicting.decode import Answers, TaskAnswer, decode
from domains.medical.ultrasound.predicting.measure import measure, of_case
from domains.medical.ultrasound.predicting.write import write_answers
from domains.medical.ultrasound.saved import load_run
from domains.medical.ultrasound.uncertainty.picture import picture_numbers
from domains.medical.ultrasound.uncertainty.trust import Standing, Trust, certainty
from polyhead.batch.case import Case, InvalidInput, Record, Writer
from polyhead.batch.monitor import current_monitor
from polyhead.inference import Backend, Precision, Quick, quicken
from polyhead.model import feature_rows, task_rows
from polyhead.runs.identity import BACKENDS
from polyhead.system.devices import choose_device
from polyhead.system.memory import channels_last, to_channels_last
from polyhead.system.memory_budget import MemoryBudget, total_memory
from polyhead.system.threads import side_by_side
from polyhead.uncertainty.likeness import UNLIKE

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class UltrasoundItem:
    """A case that has been read: the image, its place in the network's input, and the tasks asked of it.

    `looks` are the numbers of `uncertainty.picture.picture_numbers`.
    """

    image: Image
    input: np.ndarray
    frame: Frame
    tasks: tuple[str, ...]
    looks: np.ndarray
    unanswered: tuple[str, ...] = ()


class QuickBackbone:
    """The backbone behind one call, run by the backend that suits the machine.

    It has the features of `PyramidBackbone`. Rows that need the pyramid and rows that need the last map alone pass
    through two modules of their own: what lies between encoder and pyramid then never leaves the backend.
    """

    def __init__(self, backbone: PyramidBackbone, example: Tensor, **options: object):
        if options.get("rows_a_pass") is None:
            # Either kind of row is only some of a batch: short batches waste the least where lengths are fixed.
            example = example[: -(-len(example) // 4)]
        self.dense: Quick = quicken(_Pyramid(backbone).eval(), [example], **options)  # pyright: ignore[reportArgumentType]
        options["precision"] = self.dense.precision
        if self.dense.backend == "plain" or options.get("backend") != "auto":
            # What was dropped for the first, with a warning, is not tried and warned of again.
            options["backend"] = self.dense.backend
        self.last: Quick = quicken(_LastMap(backbone).eval(), [example], **options)  # pyright: ignore[reportArgumentType]

    def __call__(self, pixels: Tensor, needed: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
        every = torch.arange(len(pixels), device=pixels.device)
        rows = {name: every if wanted is None else wanted for name, wanted in needed.items()}
        dense = rows.get("fpn", every[:0])
        alone = torch.unique(torch.cat([rows.get(name, every[:0]) for name in ("c5", LEVELS)]))
        alone = alone[~torch.isin(alone, dense)]
        place = torch.empty_like(every)
        place[torch.cat([dense, alone])] = every[: len(dense) + len(alone)]
        features, found = {}, []
        if len(dense):
            features["fpn"], *others = self.dense(take_rows(pixels, dense))
            found.append(others)
        if len(alone):
            found.append(self.last(take_rows(pixels, alone)))
        for name, parts in zip(("c5", LEVELS), zip(*found, strict=True), strict=False):
            if name in rows:
                features[name] = torch.cat(parts).index_select(0, place[rows[name]])
        return {name: features[name] for name in needed}


class _Pyramid(nn.Module):
    """Pixels (B, H, W, 3) uint8 to the pyramid's feature, the last encoder map and the means of all maps."""

    def __init__(self, backbone: PyramidBackbone):
        super().__init__()
        self.encoder, self.decoder = backbone.encoder, FoldedPyramid(backbone.decoder)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.encoder(normalise(pixels))
        return self.decoder(maps[-4:]), maps[-1], level_means(maps)


class _LastMap(nn.Module):
    """Pixels (B, H, W, 3) uint8 to the last encoder map and the means of all maps."""

    def __init__(self, backbone: PyramidBackbone):
        super().__init__()
        self.encoder = backbone.encoder

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.encoder(normalise(pixels))
        return maps[-1], level_means(maps)


def _row_copies(feature: Tensor, rows: Tensor) -> Tensor:
    """Rows of a feature laid out in memory the same however many it has: kernels go by the layout, too."""
    return channels_last(feature.index_select(0, rows)).clone(memory_format=torch.preserve_format)


class UltrasoundPredictor:
    """Predicts with one run; implements `polyhead.batch.case.Predictor`.

    Args:
        run: the run folder.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        tasks: answer these tasks where a case names none; None answers all of the model's.
        backend: see `polyhead.inference.quicken`.
        precision: on a CPU, "float32" gives the same answer, bit for bit, alone and in any batch, with any number of
            threads, as long as the backend is the same; "bfloat16" and "auto" trade exactness for speed.
        items: how many cases will come; decides whether preparing a quicker backend repays.
        batch_size: how many images are encoded at once at most.
        cache: keep prepared backends in the run folder.
        memory: bytes that images may take from being read until their answers are let go; `read` waits for as many to
            be free, so it must then have a thread of its own, as in a batch. None never waits.
    """

    def __init__(
        self,
        run: str | Path,
        device: str = "auto",
        tasks: Sequence[str] | None = None,
        *,
        backend: Backend = "auto",
        precision: Precision = "float32",
        items: int | None = None,
        batch_size: int = 16,
        cache: bool = True,
        memory: int | None = None,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.model, self.config = load_run(Path(run))
        self.default_tasks = tuple(self.model.tasks.subset(tasks)) if tasks else tuple(self.model.tasks)
        self.device = choose_device(device)
        self.batch_size = batch_size
        to_channels_last(self.model.eval().to(self.device))
        self._options = {
            "backend": backend,
            "precision": precision,
            "items": items,
            "cache": Path(run) / BACKENDS if cache else None,
            # On a CPU a batch saves little, and each row by itself is answered the same in all of them.
            "rows_a_pass": 1 if self.device.type == "cpu" else None,
        }
        self.trust = Trust.of(Path(run))
        self._encode: QuickBackbone | None = None
        self._lock = threading.Lock()
        self._budget = None if memory is None else MemoryBudget(memory)

    def read(self, case: Case) -> UltrasoundItem:
        """Reads an image or one frame and brings it to the network's size.

        Raises:
            InvalidInput: the file cannot be read as an image, or none of the tasks asked is one of the model's.
        """
        if "problem" in case.options:
            raise InvalidInput("bad-row", str(case.options["problem"]), "mend the table")
        asked = case.tasks or self.default_tasks
        tasks = tuple(task for task in dict.fromkeys(asked) if task in self.model.tasks)
        unanswered = (
            *(task for task in dict.fromkeys(asked) if task not in self.model.tasks),
            *case.options.get("unknown_tasks", ()),
        )
        if not tasks:
            raise InvalidInput(
                "unknown-task",
                f"the model has none of the tasks asked: {', '.join(unanswered)}",
                f"it has: {', '.join(self.model.tasks)}",
            )
        return self.prepare(self._read_within_memory(case), tasks, unanswered)

    def _read_within_memory(self, case: Case) -> Image:
        """Reads an image; large ones wait until those before them are answered, so that memory has a bound."""
        if self._budget is None:
            return read_image(case.path, case.options.get("frame"))
        height, width = image_size(case.path)
        monitor = current_monitor()
        size = height * width * BYTES_A_PIXEL
        self._budget.acquire(size, lambda: monitor.part(0, 1, "waiting for memory"))
        try:
            image = read_image(case.path, case.options.get("frame"))
        except BaseException:
            self._budget.release(size)
            raise
        self._budget.release_with(image.pixels, size)
        return image

    def prepare(self, image: Image, tasks: Sequence[str], unanswered: Sequence[str] = ()) -> UltrasoundItem:
        """An image in memory as an item to predict."""
        network = self.config.network
        frame = Frame.fit(*image.size, network.image_size, keep_aspect=network.keep_aspect)
        shown = resize_image(image.pixels, frame)
        looks = picture_numbers(shown[: frame.inner_height, : frame.inner_width])
        return UltrasoundItem(image, shown, frame, tuple(tasks), looks, tuple(unanswered))

    def predict(self, items: Sequence[UltrasoundItem]) -> list[Answers]:
        """Answers all tasks of all items; each image passes through the encoder once."""
        answers: list[Answers] = []
        with self._lock, torch.inference_mode():
            for start in range(0, len(items), self.batch_size):
                answers += self._predict_batch(items[start : start + self.batch_size])
        return answers

    def _predict_batch(self, items: Sequence[UltrasoundItem]) -> list[Answers]:
        pixels = torch.from_numpy(np.stack([item.input for item in items])).to(self.device)
        if self._encode is None:
            self._encode = self._quickened(pixels)
        needed = feature_rows(self.model.tasks, self._rows(items))
        features = self._encode(pixels, {**needed, LEVELS: None})
        levels = features.pop(LEVELS).cpu().numpy()
        standings = self.trust.standings(levels, np.stack([item.looks for item in items]))
        step = self._options["rows_a_pass"] or len(items)
        starts = range(0, len(items), step)
        decoding = partial(self._decoded, items, pixels, needed, features, standings, step)
        parts = side_by_side(decoding, starts) if self.device.type == "cpu" else map(decoding, starts)
        found = [answered for part in parts for answered in part]
        return [
            Answers(
                item.image.pixels,
                item.image.spacing,
                {task: answered[task] for task in item.tasks},
                item.unanswered,
                (*_warnings(item.image, answered), *([UNLIKE] if standing.unlike else [])),
                standing.unlikeness,
                standing.percentile,
            )
            for item, answered, standing in zip(items, found, standings, strict=True)
        ]

    def _believed(self, task: str, answer: TaskAnswer, standing: Standing) -> TaskAnswer:
        """An answer with calibrated probabilities, and less confident the less its input is like the training's."""
        if answer.probabilities is not None:
            probabilities = self.trust.probabilities(task, answer.probabilities, standing.belief)
            confidence = round(certainty(probabilities), 4)
            return dataclasses.replace(answer, probabilities=probabilities, confidence=confidence)
        if standing.belief == 1 or answer.confidence is None:
            return answer
        score = None if answer.score is None else round(answer.score * standing.belief, 4)
        return dataclasses.replace(answer, score=score, confidence=round(answer.confidence * standing.belief, 4))

    def _decoded(
        self,
        items: Sequence[UltrasoundItem],
        pixels: Tensor,
        needed: Mapping[str, Tensor],
        features: Mapping[str, Tensor],
        standings: Sequence[Standing],
        step: int,
        start: int,
    ) -> list[dict[str, TaskAnswer]]:
        """The answers of the `step` items from `start` on, of the features (rows `needed`) of all items."""
        part = items[start : start + step]
        rows = self._rows(part)
        own = {
            name: _row_copies(features[name], torch.searchsorted(needed[name], wanted + start))
            for name, wanted in feature_rows(self.model.tasks, rows).items()
        }
        outputs = self.model.answer_rows(pixels[start : start + step], rows, encode=lambda *_: own)
        found: list[dict[str, TaskAnswer]] = [{} for _ in part]
        for task, raw in outputs.items():
            concerned = rows[task].tolist()
            frames = [part[index].frame for index in concerned]
            decoded = decode(raw, self.model.tasks[task], frames, self.config.network)
            for index, answer in zip(concerned, decoded, strict=True):
                measured = measure(task, answer, part[index].image.scale)
                believed = self._believed(task, answer, standings[start + index])
                found[index][task] = dataclasses.replace(
                    believed, measurements=measured.entries, warnings=tuple(measured.warnings)
                )
        return found

    def _rows(self, items: Sequence[UltrasoundItem]) -> dict[str, Tensor]:
        return {task: index.to(self.device) for task, index in task_rows([item.tasks for item in items]).items()}

    def _quickened(self, pixels: Tensor) -> QuickBackbone:
        backbone = self.model.backbone
        assert isinstance(backbone, PyramidBackbone)
        example = pixels
        if len(pixels) < self.batch_size and (self._options["items"] or 0) >= self.batch_size:
            example = pixels[torch.arange(self.batch_size) % len(pixels)]
        quick = QuickBackbone(backbone, example, **self._options)
        logger.info(
            "encoder and pyramid on %s in %s (prepared in %.1f s, error %.1e), encoder alone on %s",
            quick.dense.backend,
            quick.dense.precision,
            quick.dense.seconds + quick.last.seconds,
            max(quick.dense.error, quick.last.error),
            quick.last.backend,
        )
        return quick

    def write(self, case: Case, result: Answers, out: Writer) -> Record:
        """Writes the files of one case; see `domains.medical.ultrasound.predicting.write`."""
        return write_answers(result, out)


def _warnings(image: Image, answered: Mapping[str, TaskAnswer]) -> tuple[str, ...]:
    """What was odd about the image, then what is to be minded of the answers, each once."""
    of_answers = (code for task, answer in answered.items() for code in of_case(task, answer.warnings))
    return tuple(dict.fromkeys([*image.info.get("warnings", ()), *of_answers]))


def load_predictor(**arguments: object) -> UltrasoundPredictor:
    """Builds a predictor from JSON values: what a worker process calls, which reads ahead of what it answers."""
    memory = int(total_memory() * SHARE_OF_MEMORY)
    return UltrasoundPredictor(**{"memory": memory, **arguments})  # pyright: ignore[reportArgumentType]
