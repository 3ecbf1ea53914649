"""The FM_UIA baseline's procedure of prediction and training, as its description gives it, on our weights.

Prediction: batches of 8 in the order of the tables; for each task present in a batch one forward of its images alone;
logits to the host; argmax, softmax and resizing image by image in NumPy. Training: task-homogeneous
batches drawn uniformly, all of the decoder's gradients computed though it is never updated, a loop over the samples of
a detection batch, two reads of the loss a step, every image decoded anew, default memory format, float32; then a
validation that again runs one forward for each task of a mixed batch.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from domains.medical.ultrasound.data.geometry import Frame, nearest
from domains.medical.ultrasound.predicting.decode import TaskAnswer
from polyhead.model import MultiHeadModel

BATCH = 8


def predict(
    model: MultiHeadModel, images: Sequence[Tensor], frames: Sequence[Frame], asked: Sequence[str]
) -> list[TaskAnswer]:
    """One answer for each row: an image (3, 256, 256), where it lies, and the task asked of it."""
    answers: list[TaskAnswer | None] = [None] * len(images)
    with torch.no_grad():
        for start in range(0, len(images), BATCH):
            rows = range(start, min(start + BATCH, len(images)))
            batch = torch.stack([images[row] for row in rows])
            tasks = [asked[row] for row in rows]
            for task in sorted(set(tasks)):
                indices = [index for index, name in enumerate(tasks) if name == task]
                outputs = model(batch[indices], task)
                for position, index in enumerate(indices):
                    raw = outputs[position].cpu().numpy()
                    answers[start + index] = _answer(raw, model.tasks[task].kind, frames[start + index])
    return [answer for answer in answers if answer is not None]


def _answer(raw: np.ndarray, kind: str, frame: Frame) -> TaskAnswer:
    if kind == "segmentation":
        mask = np.argmax(raw, axis=0).astype(np.uint8)
        return TaskAnswer(kind, (), mask=nearest(mask, (frame.height, frame.width)))
    if kind == "classification":
        exponent = np.exp(raw - raw.max())
        return TaskAnswer(kind, (), probabilities=(exponent / exponent.sum()).tolist())
    if kind == "detection":
        row, column = np.unravel_index(np.argmax(raw[4]), raw[4].shape)
        x_min, y_min, x_max, y_max = raw[:4, row, column].tolist()
        width, height = frame.width, frame.height
        return TaskAnswer(kind, (), box=(x_min * width, y_min * height, x_max * width, y_max * height))
    points = [(x * frame.width, y * frame.height) for x, y in raw.reshape(-1, 2).tolist()]
    return TaskAnswer(kind, (), points=points)


def detection_cells(outputs: Tensor, box: Tensor) -> Tensor:
    """The five numbers at the cell of each box's centre, gathered sample by sample."""
    height, width = outputs.shape[-2:]
    rows = ((box[:, 1] + box[:, 3]) / 2 * height).long().clamp(0, height - 1)
    columns = ((box[:, 0] + box[:, 2]) / 2 * width).long().clamp(0, width - 1)
    found = torch.zeros(len(outputs), 5, device=outputs.device)
    for index in range(len(outputs)):
        found[index] = outputs[index, :, rows[index], columns[index]]
    return found


def detection_loss(outputs: Tensor, box: Tensor) -> Tensor:
    """BCE of the score at the centre cell against 1, plus 8 x L1 of the box there."""
    cells = detection_cells(outputs, box)
    score = nn.functional.binary_cross_entropy_with_logits(cells[:, 4], torch.ones_like(cells[:, 4]))
    return score + 8 * nn.functional.l1_loss(cells[:, :4], box)


def train_epoch(
    model: MultiHeadModel,
    optimizer: torch.optim.Optimizer,
    losses: Mapping[str, Callable[[Tensor, Tensor], Tensor]],
    sizes: Mapping[str, int],
    load: Callable[[str, int], tuple[Tensor, Tensor]],
    batch_size: int,
    generator: random.Random,
) -> set[tuple[str, int]]:
    """One epoch of training; returns the rows that were seen.

    Args:
        load: decodes row `i` of a task anew.
    """
    model.train()
    order = {task: generator.sample(range(size), size) for task, size in sizes.items()}
    cursor = dict.fromkeys(sizes, 0)
    seen: set[tuple[str, int]] = set()
    for _ in range(sum(sizes.values()) // batch_size):
        task = generator.choice(sorted(sizes))
        rows = []
        while len(rows) < batch_size:
            if cursor[task] == sizes[task]:
                order[task], cursor[task] = generator.sample(range(sizes[task]), sizes[task]), 0
            rows.append(order[task][cursor[task]])
            cursor[task] += 1
        seen |= {(task, row) for row in rows}
        samples = [load(task, row) for row in rows]
        images, targets = torch.stack([s[0] for s in samples]), torch.stack([s[1] for s in samples])
        outputs = model(images, task)
        loss = losses[task](outputs, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        loss.item()
    return seen
