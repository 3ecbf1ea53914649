"""A contact sheet of answers: one image for each task, drawn as it was answered."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from domains.medical.ultrasound.predicting.write import RESULT_FILE, summary
from polyhead.application import RESEARCH_USE
from polyhead.batch.case import Case
from polyhead.system.files import write_whole

_TILE, _CAPTION, _GAP = 216, 34, 8
_PAPER, _INK, _GREY = (255, 255, 255), (27, 38, 44), (90, 104, 112)


def write_gallery(out: Path, cases: Iterable[Case], path: Path, *, columns: int = 7) -> None:
    """Writes a PNG with the first done case of each task of `cases`, sorted by kind and name.

    Args:
        out: folder of a batch.
        cases: cases of that batch, in the order of preference.
        path: the PNG to write.
        columns: tiles a line.

    Raises:
        ValueError: none of the cases is done.
    """
    chosen: dict[str, tuple[Case, dict[str, Any]]] = {}
    for case in cases:
        result = out / case.id / RESULT_FILE
        if not result.is_file():
            continue
        tasks = json.loads(result.read_text(encoding="utf-8"))["tasks"]
        for task, entry in tasks.items():
            chosen.setdefault(task, (case, entry))
    if not chosen:
        raise ValueError(f"{out} holds the results of none of these cases")
    order = sorted(chosen, key=lambda task: (_KINDS.index(chosen[task][1]["kind"]), task))
    lines = -(-len(order) // columns)
    width = columns * (_TILE + _GAP) + _GAP
    height = lines * (_TILE + _CAPTION + _GAP) + _GAP + 22
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font, small = ImageFont.load_default(13), ImageFont.load_default(11)
    for index, task in enumerate(order):
        case, entry = chosen[task]
        left = _GAP + index % columns * (_TILE + _GAP)
        top = _GAP + index // columns * (_TILE + _CAPTION + _GAP)
        tile = (
            _tile(out / case.id / entry["overlay"], entry["overlay_place"]) if "overlay" in entry else _tile(case.path)
        )
        sheet.paste(tile, (left, top))
        draw.text((left, top + _TILE + 2), task, fill=_INK, font=font)
        draw.text((left, top + _TILE + 18), summary(entry), fill=_GREY, font=small)
    draw.text((_GAP, height - 20), RESEARCH_USE, fill=_GREY, font=small)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    write_whole(path, buffer.getvalue())


_KINDS = ("segmentation", "classification", "detection", "keypoints")


def _tile(path: Path, place: Sequence[int] | None = None) -> Image.Image:
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    if place is not None:
        left, top, right, bottom = place
        picture = picture.crop((left, top, right, bottom))
    picture.thumbnail((_TILE, _TILE))
    tile = Image.new("RGB", (_TILE, _TILE), (0, 0, 0))
    tile.paste(picture, ((_TILE - picture.width) // 2, (_TILE - picture.height) // 2))
    return tile
