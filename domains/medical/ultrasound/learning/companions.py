"""What a finished training leaves beside its weights: what its images look like, and temperatures of its classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.learning.dataset import InputCache
from domains.medical.ultrasound.networks.input import normalise
from domains.medical.ultrasound.networks.network import LEVELS
from domains.medical.ultrasound.presets import UltrasoundConfig
from domains.medical.ultrasound.saved import load_run
from domains.medical.ultrasound.uncertainty.picture import PICTURE, picture_deviations, picture_numbers
from domains.medical.ultrasound.uncertainty.trust import ENCODER, PRIOR_DEVIATION, digest
from polyhead.model import MultiHeadModel
from polyhead.runs.identity import LIKENESS_FILE
from polyhead.runs.run import Run
from polyhead.system.memory import channels_last, to_channels_last
from polyhead.uncertainty.likeness import Likeness
from polyhead.uncertainty.temperature import Temperature, fit_temperature, write_calibrations

MOST = 2000
"""Rows that are looked at on either side, as evenly over the tasks as they have them."""

FEWEST = 10
"""Held-out rows below which a task keeps its probabilities as they are."""


@dataclass(frozen=True)
class Seen:
    """What a model makes of images.

    Attributes:
        levels: (n, m) means of the encoder's maps.
        pictures: (n, 12) numbers of the pictures.
        probabilities: for each classification task (rows, C), not calibrated.
        labels: for each such task (rows,).
    """

    levels: NDArray[np.float64]
    pictures: NDArray[np.float64]
    probabilities: Mapping[str, NDArray[np.float64]]
    labels: Mapping[str, NDArray[np.intp]]


def leave_companions(
    run: Run,
    training: Sequence[Row],
    held_out: Sequence[Row],
    config: UltrasoundConfig,
    *,
    device: torch.device | str = "cpu",
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Writes ``likeness.safetensors`` and ``calibration.json`` into the folder of a finished run.

    Images are seen as in prediction, without augmentation. The held-out rows chose the epoch whose weights are kept,
    which makes the model look a little surer of them than it is of others.
    """
    model, _ = load_run(run.path)
    to_channels_last(model.to(device))
    channels = cast(tuple[int, ...], cast(nn.Module, model.backbone.encoder).channels)
    learned, others = (see(model, spread(side), config) for side in (training, held_out))
    temperatures, notes = fit_temperatures(others.probabilities, others.labels)
    for line in notes:
        say(line)
    if temperatures:
        said = ", ".join(f"{task} {each.temperature:.2f}" for task, each in temperatures.items())
        say(f"temperatures of class probabilities: {said}")
        kept = spread(held_out)
        images = {task: [digest(row.image_path) for row in kept if row.task == task] for task in temperatures}
        write_calibrations(run.path, temperatures, split="validation", images=images, notes=notes)
    try:
        likeness = Likeness.fit(
            {ENCODER: learned.levels, PICTURE: learned.pictures},
            {ENCODER: others.levels, PICTURE: others.pictures},
            deviations={
                ENCODER: level_deviations(learned.levels, channels),
                PICTURE: picture_deviations(learned.pictures),
            },
        )
    except ValueError as refused:
        say(f"images unlike the training will not be told: {refused}")
    else:
        likeness.save(run.path / LIKENESS_FILE)
        of = f"{len(likeness.held)} {'held-out' if likeness.held_out else 'training and held-out'} images"
        say(f"images unlike the training are told by {of}; false alarms at most {likeness.false_alarms:.1%}")


def fit_temperatures(
    probabilities: Mapping[str, NDArray], labels: Mapping[str, NDArray]
) -> tuple[dict[str, Temperature], list[str]]:
    """A temperature for each task that has rows enough of two classes or more, and a line for each that has not."""
    found, notes = {}, []
    for task, shares in probabilities.items():
        classes = len(np.unique(labels[task]))
        if len(shares) < FEWEST or classes < 2:
            rows = f"{len(shares)} held-out row{'s' * (len(shares) != 1)} of {classes} class{'es' * (classes != 1)}"
            notes.append(f"{task}: not calibrated: {rows} say too little of its probabilities")
        else:
            found[task] = fit_temperature(task, shares, labels[task], fewest=FEWEST, deviation=PRIOR_DEVIATION)
    return found, notes


def level_deviations(levels: NDArray, channels: Sequence[int]) -> NDArray[np.float64]:
    """What the means of maps are divided by (m,): one number a map, so that each map has a variance of 1 in all.

    Channels that hardly ever fire in training would outweigh all others if each had a deviation of its own.
    """
    variances = np.split(levels.var(axis=0), np.cumsum(channels)[:-1])
    return np.concatenate([np.full(len(each), max(float(np.sqrt(each.sum())), 1e-9)) for each in variances])


def see(model: MultiHeadModel, rows: Sequence[Row], config: UltrasoundConfig, *, batch: int = 16) -> Seen:
    """What a model in evaluation mode makes of the images of rows, each once."""
    size, device = config.network.image_size, next(model.parameters()).device
    cache = InputCache(size, keep_aspect=config.network.keep_aspect, megabytes=0)
    asked: dict[Path, list[Row]] = {}
    for row in rows:
        asked.setdefault(row.image, []).append(row)
    classes = {name: task for name, task in model.tasks.items() if task.kind == "classification"}
    reads = sorted({task.reads for task in classes.values()})
    levels: list[NDArray] = []
    pictures: list[NDArray] = []
    probabilities: dict[str, list[NDArray]] = {name: [] for name in classes}
    labels: dict[str, list[int]] = {name: [] for name in classes}
    images = list(asked)
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        read = [cache.image(path) for path in part]
        pictures += [picture_numbers(pixels[: frame.inner_height, : frame.inner_width]) for pixels, frame in read]
        inputs = torch.from_numpy(np.stack([pixels for pixels, _ in read])).to(device)
        with torch.inference_mode():
            features = model.encode(channels_last(normalise(inputs)), dict.fromkeys([LEVELS, *reads]))
            levels.append(features[LEVELS].cpu().double().numpy())
            answers = model.answer(features, list(classes))
        shares = {name: raw.cpu().double().softmax(dim=1).numpy() for name, raw in answers.items()}
        for index, path in enumerate(part):
            for row in asked[path]:
                if row.task in classes and row.label is not None:
                    probabilities[row.task].append(shares[row.task][index])
                    labels[row.task].append(row.label)
    return Seen(
        np.concatenate(levels) if levels else np.empty((0, 0)),
        np.stack(pictures) if pictures else np.empty((0, 0)),
        {name: np.array(values).reshape(-1, classes[name].outputs) for name, values in probabilities.items()},
        {name: np.array(values, dtype=np.intp) for name, values in labels.items()},
    )


def spread(rows: Sequence[Row], most: int = MOST) -> list[Row]:
    """At most `most` rows or one a task: each task's evenly spaced by name, small tasks whole."""
    tasks: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.image_path, row.task)):
        tasks.setdefault(row.task, []).append(row)
    chosen, left = [], most
    for place, members in enumerate(sorted(tasks.values(), key=lambda rows: (len(rows), rows[0].task))):
        count = min(len(members), max(1, left // (len(tasks) - place)))
        left -= count
        chosen += [members[index * len(members) // count] for index in range(count)]
    return chosen
