"""Drawing of masks, outlines, boxes and points on images: pure functions from array to array.

Every function takes an image (H, W, 3) uint8 and returns a new one of the same shape. Sizes of lines and letters
follow the image, so that a drawing reads the same at 256 and at 2048 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

_STRIP = 1 << 20
"""Pixels that are mixed at once: of a large image all of them would take many times its memory."""

PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
)
"""Okabe and Ito's colours, told apart with the common forms of colour blindness (Wong, Nat. Methods 8, 441, 2011).

Blue comes last: it is the darkest, and most of an ultrasound image is dark.
"""


def colour(index: int) -> Colour:
    """Colour of structure `index`, counted from 0; the palette repeats after its end."""
    return PALETTE[index % len(PALETTE)]


def class_colours(classes: int) -> dict[int, Colour]:
    """Colours of the classes 1 .. classes - 1; the background, 0, has none."""
    return {index: colour(index - 1) for index in range(1, classes)}


def line_width(shape: Sequence[int]) -> int:
    """Width of a line, in pixels, for an image of shape (H, W, ...)."""
    return max(1, round(min(shape[0], shape[1]) / 200))


def blend(image: np.ndarray, mask: np.ndarray, colours: Mapping[int, Colour], opacity: float) -> np.ndarray:
    """Lays the classes of an index mask over an image.

    Args:
        image: (H, W, 3) uint8.
        mask: (H, W) integers.
        colours: class to colour; a class that is not named stays undrawn.
        opacity: 0 leaves the image, 1 covers it.
    """
    _check(image, mask)
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must lie in [0, 1], got {opacity}")
    drawn = image.copy()
    rows = max(1, _STRIP // image.shape[1])
    for start in range(0, len(image), rows):
        part, classes, strip = image[start : start + rows], mask[start : start + rows], drawn[start : start + rows]
        for index, paint in colours.items():
            inside = classes == index
            mixed = (1 - opacity) * part[inside].astype(np.float32) + opacity * np.asarray(paint, np.float32)
            strip[inside] = np.rint(mixed).astype(np.uint8)
    return drawn


def outline(region: np.ndarray, width: int = 1) -> np.ndarray:
    """Inner border of a region: its pixels whose distance to the outside is at most `width` steps of 4-neighbours.

    Args:
        region: (H, W) bool. Beyond the edge of the image lies the outside.
        width: in pixels, at least 1.
    """
    if width < 1:
        raise ValueError(f"an outline is at least 1 pixel wide, got {width}")
    core = np.array(region, bool)
    padded = np.zeros((core.shape[0] + 2, core.shape[1] + 2), bool)
    for _ in range(width):
        padded[1:-1, 1:-1] = core
        for neighbour in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
            core &= neighbour
    return np.greater(region, core)


def contours(
    image: np.ndarray, mask: np.ndarray, colours: Mapping[int, Colour], width: int | None = None
) -> np.ndarray:
    """Draws the border of each named class of an index mask (H, W), on the class's own pixels."""
    _check(image, mask)
    drawn = image.copy()
    for index, paint in colours.items():
        region = mask == index
        # Outlines are inside: the rows and columns around the region hold none of it.
        rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
        if not len(rows):
            continue
        around = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        drawn[around][outline(region[around], width or line_width(image.shape))] = paint
    return drawn


def boxes(
    image: np.ndarray,
    corners: Sequence[tuple[float, float, float, float]],
    labels: Sequence[str] = (),
    paint: Colour = PALETTE[0],
    width: int | None = None,
) -> np.ndarray:
    """Draws boxes (x1, y1, x2, y2) in pixels, each with its label above it, or inside where there is no room."""
    _check(image)
    canvas, draw, letters = _canvas(image)
    stroke = width or line_width(image.shape)
    for position, (x1, y1, x2, y2) in enumerate(corners):
        if x2 < x1 or y2 < y1:
            raise ValueError(f"box {position} is inverted: {(x1, y1, x2, y2)}")
        draw.rectangle((x1, y1, x2, y2), outline=paint, width=stroke)
        if position < len(labels) and labels[position]:
            height = draw.textbbox((0, 0), labels[position], font=letters)[3] + 2 * stroke
            _tag(
                draw, (x1, y1 - height if y1 >= height else y1 + stroke), labels[position], paint, letters, image.shape
            )
    return np.asarray(canvas).copy()


def points(
    image: np.ndarray,
    places: Sequence[tuple[float, float]],
    labels: Sequence[str] = (),
    paint: Colour = PALETTE[0],
    joined: bool = False,
) -> np.ndarray:
    """Draws points (x, y) in pixels as ringed crosses with their labels; `joined` draws the line between each pair."""
    _check(image)
    canvas, draw, letters = _canvas(image)
    stroke = line_width(image.shape)
    radius = 3 * stroke + 1
    if joined:
        for (x1, y1), (x2, y2) in zip(places[::2], places[1::2], strict=False):
            draw.line((x1, y1, x2, y2), fill=paint, width=stroke)
    for position, (x, y) in enumerate(places):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(0, 0, 0), width=stroke + 2)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=paint, width=stroke)
        draw.line((x - radius, y, x + radius, y), fill=paint, width=stroke)
        draw.line((x, y - radius, x, y + radius), fill=paint, width=stroke)
        if position < len(labels) and labels[position]:
            _tag(draw, (x + radius + stroke, y + stroke), labels[position], paint, letters, image.shape)
    return np.asarray(canvas).copy()


def _check(image: np.ndarray, mask: np.ndarray | None = None) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"an image is (H, W, 3) uint8, got {image.shape} {image.dtype}")
    if mask is not None and mask.shape != image.shape[:2]:
        raise ValueError(f"the mask is {mask.shape}, the image {image.shape[:2]}: they must agree")


def _canvas(image: np.ndarray) -> tuple[Image.Image, ImageDraw.ImageDraw, ImageFont.ImageFont | ImageFont.FreeTypeFont]:
    canvas = Image.fromarray(image)
    size = max(10, round(min(image.shape[:2]) / 28))
    return canvas, ImageDraw.Draw(canvas), ImageFont.load_default(size)


def _tag(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    paint: Colour,
    letters: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    shape: Sequence[int],
) -> None:
    """Letters on the structure's colour, moved inside the image."""
    _, _, right, bottom = draw.textbbox((0, 0), text, font=letters)
    x = min(max(place[0], 0), max(shape[1] - right - 4, 0))
    y = min(max(place[1], 0), max(shape[0] - bottom - 2, 0))
    draw.rectangle((x, y, x + right + 4, y + bottom + 2), fill=paint)
    draw.text((x + 2, y), text, fill=contrasting(paint), font=letters)


def luminance(paint: Colour) -> float:
    """Relative luminance in [0, 1] (WCAG 2.2, definition of contrast ratio)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in paint)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrasting(paint: Colour) -> Colour:
    """Black or white, whichever stands out more on `paint`."""
    light = luminance(paint)
    return (0, 0, 0) if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else (255, 255, 255)
