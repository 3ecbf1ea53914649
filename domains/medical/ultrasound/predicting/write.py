"""The files of one case: masks, answers drawn over the image, a thumbnail and ``result.json``."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from domains.medical.ultrasound.predicting.drawing import draw, has_drawing, sheet, shrunk
from polyhead.application import RESEARCH_USE
from polyhead.batch.case import Record, Writer

if TYPE_CHECKING:
    from domains.medical.ultrasound.predicting.decode import Answers, TaskAnswer

RESULT_FILE, OVERLAY_FILE, THUMBNAIL_FILE, MASKS_FILE = "result.json", "overlay.jpg", "thumbnail.jpg", "masks.zip"
MASKS_APART = 4
"""Most masks of a case that lie in its folder as files of their own."""
_OVERLAY_QUALITY, _THUMBNAIL_QUALITY, _THUMBNAIL_SIDE = 85, 75, 160
_SUMMARISED = 4


def write_answers(answers: Answers, out: Writer) -> Record:
    """Writes ``result.json`` and, of what is saved, masks, what is drawn over the image, and ``thumbnail.jpg``.

    ``<task>.png`` is an index mask; a case that is asked more than `MASKS_APART` of them has them in one ``masks.zip``.
    ``overlay.jpg`` shows all answers with something to draw, see `domains.medical.ultrasound.predicting.drawing.sheet`.

    Returns:
        The record of the case: size, warnings, and for each task what fits in a table.
    """
    tasks = {task: _entry(answer) for task, answer in answers.tasks.items()}
    if out.saves("masks"):
        _write_masks(answers, tasks, out)
    drawn = {task: answer for task, answer in answers.tasks.items() if has_drawing(answer)}
    if drawn and out.saves("overlays"):
        drawing, places = sheet(answers.image, drawn)
        out.write_bytes(OVERLAY_FILE, _jpeg(drawing, _OVERLAY_QUALITY))
        for task, corners in places.items():
            tasks[task] |= {"overlay": OVERLAY_FILE, "overlay_place": list(corners)}
    height, width = answers.image.shape[:2]
    about = {
        "height": height,
        "width": width,
        "spacing_mm": list(answers.spacing) if answers.spacing else None,
        "warnings": list(answers.warnings),
        "unlikeness": None if answers.unlikeness is None else round(answers.unlikeness, 4),
        "unlikeness_percentile": None
        if answers.unlikeness_percentile is None
        else round(answers.unlikeness_percentile, 2),
        "unanswered_tasks": list(answers.unanswered),
    }
    out.write_json(RESULT_FILE, {"research_use": RESEARCH_USE, **about, "tasks": tasks})
    answered = "; ".join(f"{task}: {summary(entry)}" for task, entry in list(tasks.items())[:_SUMMARISED])
    if len(tasks) > _SUMMARISED:
        answered += f"; and {len(tasks) - _SUMMARISED} more"
    record: Record = {"answer": answered, **about, "tasks": {task: _row(entry) for task, entry in tasks.items()}}
    if out.saves("thumbnails"):
        out.write_bytes(THUMBNAIL_FILE, _jpeg(_thumbnail(answers.image, drawn), _THUMBNAIL_QUALITY))
        record["thumbnail"] = THUMBNAIL_FILE
    return record


def _write_masks(answers: Answers, tasks: Mapping[str, dict[str, Any]], out: Writer) -> None:
    """Writes all masks, empty ones too, and names them in the entries of their tasks."""
    # Without dots, so that no task is named like a file of the case.
    files = {
        task: (f"{quote(task, safe=' ()+,-').replace('.', '%2E')}.png", _png(answer.mask))
        for task, answer in answers.tasks.items()
        if answer.mask is not None
    }
    for task, (name, data) in files.items():
        tasks[task]["mask"] = name
        if len(files) <= MASKS_APART:
            out.write_bytes(name, data)
        else:
            tasks[task]["archive"] = MASKS_FILE
    if len(files) > MASKS_APART:
        out.write_bytes(MASKS_FILE, _archive(dict(files.values())))


def read_mask(folder: Path, entry: Mapping[str, Any]) -> np.ndarray:
    """The mask (H, W) uint8 that an entry of ``result.json`` names, of the case in `folder`; no mask is a `ValueError`.

    Raises:
        ValueError: the case was answered without masks.
    """
    if "mask" not in entry:
        raise ValueError(f"{folder} holds no masks: predict again, with masks in --save")
    if "archive" not in entry:
        return _read_png(folder / entry["mask"])
    with zipfile.ZipFile(folder / entry["archive"]) as archive, archive.open(entry["mask"]) as stream:
        return _read_png(stream)


def _read_png(source: Path | IO[bytes]) -> np.ndarray:
    with Image.open(source) as picture:
        return np.asarray(picture)


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
    return entry | {"measurements": answer.measurements, "warnings": list(answer.warnings)}


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    """What of an answer goes into the table of all cases: one value a column."""
    row = {"answer": summary(entry)}
    row |= {key: entry[key] for key in ("class", "label", "score", "confidence") if key in entry}
    if "probabilities" in entry:
        row["probability"] = entry["probabilities"][entry["class"]]
    for measured in entry["measurements"]:
        row[f"{measured['name']} [{measured['unit']}]"] = measured["value"]
    return row | ({"warnings": entry["warnings"]} if entry["warnings"] else {})


def _thumbnail(image: np.ndarray, drawn: Mapping[str, TaskAnswer]) -> np.ndarray:
    """The image, with the first answer that can be drawn."""
    first = next(iter(drawn.values()), None)
    return shrunk(image, _THUMBNAIL_SIDE) if first is None else draw(image, first, _THUMBNAIL_SIDE)


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def _jpeg(pixels: np.ndarray, quality: int) -> bytes:
    buffer = io.BytesIO()
    # Thin coloured lines need their colour in each pixel.
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def _archive(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            # Without the time of day, equal masks are equal files; PNG is compressed already.
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()
