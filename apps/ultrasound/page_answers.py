"""What the page makes of a model's answers: layers to draw, remarks in words, tables, and the files of the zip."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from PIL import Image

from apps.ultrasound.page_input import WARNINGS
from domains.medical.export import overlay
from polyhead.application import RESEARCH_USE
from polyhead.system.spreadsheet import table_text
from ui.viewer import Layer, render

LOW_CONFIDENCE = 0.5
"""Answers below this confidence (1 minus the normalised entropy) are pointed out for review."""

NO_REMARK = "no remark"

KINDS = {
    "segmentation": "outline",
    "classification": "class",
    "detection": "box",
    "keypoints": "points",
}
"""What each kind of task answers, in a word."""


class TaskAnswer(Protocol):
    """The answer to one task, in pixels of the original image; what the kind does not give is None or empty."""

    kind: str
    labels: tuple[str, ...]
    mask: np.ndarray | None
    probabilities: Sequence[float] | None
    box: Sequence[float] | None
    score: float | None
    points: Sequence[Sequence[float]] | None
    confidence: float | None
    measurements: Sequence[Mapping[str, Any]]
    warnings: Sequence[str]


def task_title(name: str, kind: str) -> str:
    """A task as people read it.

    >>> task_title("thyroid_nodule_det", "detection")
    'thyroid nodule det (box)'
    """
    return f"{name.replace('_', ' ')} ({KINDS.get(kind, kind)})"


def label(answer: TaskAnswer, index: int) -> str:
    """Name of class `index`; its number where the run names none."""
    return answer.labels[index] if index < len(answer.labels) else f"class {index}"


def layers(answers: Mapping[str, TaskAnswer]) -> list[Layer]:
    """A layer for each structure that was found, each with a colour of its own; classes of whole images have none.

    Areas come first, so that boxes and points are drawn over them.
    """
    made: list[Layer] = []
    order = sorted(answers.items(), key=lambda entry: (entry[1].mask is None, entry[1].box is None))

    def add(name: str, draw: Any) -> None:
        paint = overlay.colour(len(made))
        made.append(Layer(name, paint, lambda image, opacity: draw(image, opacity, paint)))

    for task, answer in order:
        title = task.replace("_", " ")
        if answer.mask is not None:
            for index in (int(value) for value in np.unique(answer.mask) if value):
                add(f"{title}: {label(answer, index)}", _region(answer.mask, index))
        elif answer.box is not None:
            text = title if answer.score is None else f"{title} {answer.score:.0%}"
            add(f"{title}: box", _box(tuple(answer.box), text))
        elif answer.points:
            add(f"{title}: points", _points(answer))
    return made


def _region(mask: np.ndarray, index: int) -> Any:
    def draw(image: np.ndarray, opacity: float, paint: overlay.Colour) -> np.ndarray:
        filled = overlay.blend(image, mask, {index: paint}, opacity)
        return overlay.contours(filled, mask, {index: paint})

    return draw


def _box(corners: tuple[float, ...], text: str) -> Any:
    x1, y1, x2, y2 = corners
    return lambda image, opacity, paint: overlay.boxes(image, [(x1, y1, x2, y2)], [text], paint)


def _points(answer: TaskAnswer) -> Any:
    places = [(float(x), float(y)) for x, y in answer.points or ()]
    # Names of points are longer than the distances between them; the numbers are those of the measurements.
    names = [str(number) for number in range(1, len(places) + 1)]
    return lambda image, opacity, paint: overlay.points(image, places, names, paint)


def finding(task: str, answer: TaskAnswer) -> str:
    """The answer to a task in a few words."""
    if answer.mask is not None:
        found = [label(answer, int(value)) for value in np.unique(answer.mask) if value]
        return ", ".join(found) if found else "nothing found"
    if answer.probabilities is not None:
        best = int(np.argmax(answer.probabilities))
        return f"{label(answer, best)}, {answer.probabilities[best]:.0%}"
    if answer.box is not None:
        return "one box" if answer.score is None else f"one box, score {answer.score:.0%}"
    if not answer.points:
        return "nothing found"
    names = [f"{number} {name}" for number, name in enumerate(answer.labels, start=1)]
    return f"{len(answer.points)} points" + (f": {', '.join(names)}" if names else "")


def remarks(answer: TaskAnswer, shape: Sequence[int]) -> list[str]:
    """Reasons, in words, why a person should look twice at an answer; `shape` is that of the image, (H, W, ...)."""
    found = []
    if answer.confidence is not None and answer.confidence < LOW_CONFIDENCE:
        found.append(f"low confidence ({answer.confidence:.0%})")
    if answer.mask is not None:
        if not answer.mask.any():
            found.append("nothing was found")
        elif answer.mask[[0, -1]].any() or answer.mask[:, [0, -1]].any():
            found.append("reaches the edge of the image: part of it may lie outside")
    found += [WARNINGS.get(code, code.replace("-", " ")) for code in answer.warnings if code != "touches-border"]
    if answer.box is not None:
        x1, y1, x2, y2 = answer.box
        if x1 <= 0 or y1 <= 0 or x2 >= shape[1] or y2 >= shape[0]:
            found.append("the box reaches the edge of the image")
    if answer.points and any(not (0 <= x < shape[1] and 0 <= y < shape[0]) for x, y in answer.points):
        found.append("a point lies outside of the image")
    return found


def overview(answers: Mapping[str, TaskAnswer], shape: Sequence[int]) -> list[dict[str, str]]:
    """A row for each task: what was found, how sure the model is, and what to review."""
    return [
        {
            "Task": task_title(task, answer.kind),
            "Answer": finding(task, answer),
            "Confidence": "not given" if answer.confidence is None else f"{answer.confidence:.0%}",
            "Review": "; ".join(remarks(answer, shape)) or NO_REMARK,
        }
        for task, answer in answers.items()
    ]


def measurements(name: str, answers: Mapping[str, TaskAnswer]) -> list[dict[str, Any]]:
    """A row for each measured value of an image."""
    return [
        {
            "Image": name,
            "Task": task.replace("_", " "),
            "Quantity": str(entry["name"]),
            "Value": float(entry["value"]),
            "Unit": str(entry["unit"]),
        }
        for task, answer in answers.items()
        for entry in answer.measurements
    ]


def to_json(answers: Mapping[str, TaskAnswer]) -> dict[str, Any]:
    """The answers as JSON values; masks are files of their own."""
    return {
        task: {
            "kind": answer.kind,
            "labels": list(answer.labels),
            "confidence": None if answer.confidence is None else float(answer.confidence),
            "probabilities": None if answer.probabilities is None else [float(p) for p in answer.probabilities],
            "box_pixels": None if answer.box is None else [float(v) for v in answer.box],
            "score": None if answer.score is None else float(answer.score),
            "points_pixels": [[float(x), float(y)] for x, y in answer.points] if answer.points else None,
            "measurements": [dict(entry) for entry in answer.measurements],
        }
        for task, answer in answers.items()
    }


def png(array: np.ndarray) -> bytes:
    """A uint8 array (H, W) or (H, W, 3) as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


def table_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows with equal keys as CSV."""
    return table_text(rows).encode("utf-8")


def image_files(image: np.ndarray, answers: Mapping[str, TaskAnswer], facts: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of one image: what was found, drawn and in numbers, and an index mask for each outline."""
    drawn = layers(answers)
    files = {
        "overlay.png": png(render(image, drawn, [layer.name for layer in drawn], 0.4)),
        "answers.json": json.dumps(
            {**facts, "research_use": RESEARCH_USE, "tasks": to_json(answers)}, indent=1, ensure_ascii=False
        ).encode(),
    }
    for task, answer in answers.items():
        if answer.mask is not None:
            files[f"{task}.mask.png"] = png(answer.mask)
    return files
