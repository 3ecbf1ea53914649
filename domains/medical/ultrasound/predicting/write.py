"""The files of one case: masks, overlays, a thumbnail and ``result.json``."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from domains.medical.export import overlay
from polyhead.application import RESEARCH_USE
from polyhead.batch.case import Record, Writer

if TYPE_CHECKING:
    from domains.medical.ultrasound.predicting.decode import Answers, TaskAnswer

RESULT_FILE = "result.json"
THUMBNAIL_FILE = "thumbnail.jpg"
_THUMBNAIL_SIDE = 160
_SUMMARISED = 4


def write_answers(answers: Answers, out: Writer, *, overlays: bool) -> Record:
    """Writes ``<task>.png`` (index mask), ``<task>.overlay.png``, ``thumbnail.jpg`` and ``result.json``.

    Returns:
        The record of the case: size, warnings, the files written, and for each task what fits in a table.
    """
    tasks: dict[str, Any] = {}
    drawn: np.ndarray | None = None
    for task, answer in answers.tasks.items():
        # Without dots, so that no task is named like another's overlay.
        name = quote(task, safe=" ()+,-").replace(".", "%2E")
        entry = _entry(answer)
        if answer.mask is not None:
            entry["mask"] = f"{name}.png"
            out.write_bytes(entry["mask"], _png(answer.mask))
        if overlays and answer.probabilities is None:
            drawing = draw(answers.image, answer)
            entry["overlay"] = f"{name}.overlay.png"
            out.write_bytes(entry["overlay"], _png(drawing))
            drawn = drawing if drawn is None else drawn
        tasks[task] = entry
    height, width = answers.image.shape[:2]
    out.write_bytes(THUMBNAIL_FILE, _thumbnail(answers.image if drawn is None else drawn))
    about = {
        "height": height,
        "width": width,
        "spacing_mm": list(answers.spacing) if answers.spacing else None,
        "warnings": list(answers.warnings),
        "unanswered_tasks": list(answers.unanswered),
    }
    out.write_json(RESULT_FILE, {"research_use": RESEARCH_USE, **about, "tasks": tasks})
    answered = "; ".join(f"{task}: {summary(entry)}" for task, entry in list(tasks.items())[:_SUMMARISED])
    if len(tasks) > _SUMMARISED:
        answered += f"; and {len(tasks) - _SUMMARISED} more"
    rows = {task: _row(entry) for task, entry in tasks.items()}
    return {"answer": answered, **about, "thumbnail": THUMBNAIL_FILE, "tasks": rows}


def summary(entry: dict[str, Any]) -> str:
    """An answer of ``result.json`` in a few words."""
    if "probabilities" in entry:
        name = entry.get("label", f"class {entry['class']}")
        return f"{name}, {entry['probabilities'][entry['class']]:.2f}"
    if entry["kind"] == "detection":
        return f"box, score {entry['score']:.2f}"
    if entry["kind"] == "keypoints":
        return f"{len(entry['points'])} points"
    found = sum(1 for measured in entry["measurements"] if measured["unit"] == "px2")
    return "nothing found" if found == 0 else f"{found} structure{'s' if found > 1 else ''}"


def draw(image: np.ndarray, answer: TaskAnswer, *, opacity: float = 0.35) -> np.ndarray:
    """The answer over the image (H, W, 3) uint8; class answers leave it as it is."""
    if answer.mask is not None:
        colours = overlay.class_colours(int(answer.mask.max()) + 1)
        return overlay.contours(overlay.blend(image, answer.mask, colours, opacity), answer.mask, colours)
    if answer.box is not None:
        x_min, x_max = sorted((answer.box[0], answer.box[2]))
        y_min, y_max = sorted((answer.box[1], answer.box[3]))
        text = "" if answer.score is None else f"{answer.score:.2f}"
        return overlay.boxes(image, [(x_min, y_min, x_max, y_max)], [text])
    if answer.points is not None:
        names = answer.labels or tuple(str(index + 1) for index in range(len(answer.points)))
        return overlay.points(image, answer.points, names)
    return image


def _entry(answer: TaskAnswer) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": answer.kind, "labels": list(answer.labels), "confidence": answer.confidence}
    if answer.probabilities is not None:
        best = int(np.argmax(answer.probabilities))
        entry |= {"class": best, "probabilities": answer.probabilities}
        if answer.labels:
            entry["label"] = answer.labels[best]
    if answer.box is not None:
        entry |= {"box": list(answer.box), "score": answer.score}
    if answer.points is not None:
        entry["points"] = [list(point) for point in answer.points]
    return entry | {"measurements": answer.measurements}


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    """What of an answer goes into the table of all cases: one value a column."""
    row = {"answer": summary(entry)}
    row |= {key: entry[key] for key in ("class", "label", "score", "confidence") if key in entry}
    if "probabilities" in entry:
        row["probability"] = entry["probabilities"][entry["class"]]
    for measured in entry["measurements"]:
        row[f"{measured['name']} [{measured['unit']}]"] = measured["value"]
    return row


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    # Fast compression: the files of a batch are written once and read seldom.
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _thumbnail(pixels: np.ndarray) -> bytes:
    picture = Image.fromarray(pixels)
    picture.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=80)
    return buffer.getvalue()
