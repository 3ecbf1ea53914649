"""Answers drawn over their picture: one, or a sheet of several, each under the name of its task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from domains.medical.export import overlay

if TYPE_CHECKING:
    from domains.medical.ultrasound.predicting.decode import TaskAnswer

Corners = tuple[int, int, int, int]
"""(left, top, right, bottom) of a part of a sheet, in its pixels."""

SHEET_SIDE = 1600
"""Longest side of what is drawn, in pixels: of one picture, or of a sheet without its captions."""

_OPACITY = 0.35
_CAPTION, _GAP = 20, 6
_PAPER, _INK = (16, 22, 26), (230, 236, 240)


def has_drawing(answer: TaskAnswer) -> bool:
    """Whether there is anything to draw: an empty mask and classes leave the picture as it is."""
    if answer.mask is not None:
        return bool(answer.mask.any())
    return answer.box is not None or bool(answer.points)


def draw(image: np.ndarray, answer: TaskAnswer, longest: int | None = None) -> np.ndarray:
    """The answer over the image (H, W, 3) uint8, which is shrunk before where a side is longer than `longest`."""
    height, width = image.shape[:2]
    small = shrunk(image, longest or max(height, width))
    rows, columns = small.shape[:2]
    scale = np.array([columns / width, rows / height])
    if answer.mask is not None:
        mask = answer.mask
        if small.shape != image.shape:
            mask = np.asarray(Image.fromarray(mask).resize((columns, rows), Image.Resampling.NEAREST))
        colours = overlay.class_colours(int(answer.mask.max()) + 1)
        return overlay.contours(overlay.blend(small, mask, colours, _OPACITY), mask, colours)
    if answer.box is not None:
        (x1, y1), (x2, y2) = (np.array(answer.box).reshape(2, 2) * scale).tolist()
        text = "" if answer.score is None else f"{answer.score:.2f}"
        return overlay.boxes(small, [(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))], [text])
    if answer.points:
        names = answer.labels or tuple(str(index + 1) for index in range(len(answer.points)))
        return overlay.points(small, [(x, y) for x, y in (np.array(answer.points) * scale).tolist()], names)
    return small


def sheet(image: np.ndarray, answers: Mapping[str, TaskAnswer]) -> tuple[np.ndarray, dict[str, Corners]]:
    """The answers over the image: one fills the picture, several stand side by side, smaller, each under its name.

    Returns:
        the picture (H, W, 3) uint8, and for each task where in it its drawing stands.
    """
    columns = math.ceil(math.sqrt(len(answers)))
    longest = (SHEET_SIDE - (columns - 1) * _GAP) // columns
    if len(answers) == 1:
        ((task, answer),) = answers.items()
        drawing = draw(image, answer, longest)
        return drawing, {task: (0, 0, drawing.shape[1], drawing.shape[0])}
    drawings = {task: draw(image, answer, longest) for task, answer in answers.items()}
    height, width = next(iter(drawings.values())).shape[:2]
    lines = math.ceil(len(drawings) / columns)
    across, down = width + _GAP, height + _CAPTION + _GAP
    page = Image.new("RGB", (columns * across - _GAP, lines * down - _GAP), _PAPER)
    font = ImageFont.load_default(13)
    places: dict[str, Corners] = {}
    for number, (task, drawing) in enumerate(drawings.items()):
        left, top = number % columns * across, number // columns * down
        places[task] = (left, top + _CAPTION, left + width, top + _CAPTION + height)
        caption = Image.new("RGB", (width, _CAPTION), _PAPER)
        ImageDraw.Draw(caption).text((2, 2), task, fill=_INK, font=font)
        page.paste(caption, (left, top))
        page.paste(Image.fromarray(drawing), places[task][:2])
    return np.asarray(page), places


def shrunk(image: np.ndarray, longest: int) -> np.ndarray:
    """The image (H, W, 3) uint8 with no side longer than `longest`; smaller ones stay as they are."""
    if max(image.shape[:2]) <= longest:
        return image
    picture = Image.fromarray(image)
    picture.thumbnail((longest, longest), Image.Resampling.BOX, reducing_gap=2)
    return np.asarray(picture)
