"""What a picture looks like in a few numbers: its grey levels, its sharpness, its colour."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

PICTURE = "picture"
"""The part of `polyhead.uncertainty.likeness` that these numbers are."""

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_LEAST = 1e-3
_WHITE = 3 * 255


def picture_numbers(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(12,) numbers of a picture (H, W, 3) uint8, as it lies in the network's input and without its border.

    Mean, deviation and five quantiles of grey in [0, 1]; logarithms of the mean absolute difference along rows and
    along columns and of the deviation of the discrete Laplacian, each plus 1e-3; the mean distance of the colours from
    grey; the share of pixels below 0.02; and of those above 0.98. Noise is far too sharp and a flat picture not at all.
    """
    red, green, blue = (pixels[:, :, channel] for channel in range(3))
    total = red.astype(np.int16) + green + blue  # grey in [0, 765]
    counts = np.bincount(total.ravel(), minlength=_WHITE + 1)
    levels, pixel_count = np.arange(_WHITE + 1) / _WHITE, total.size
    mean = float(counts @ levels) / pixel_count
    deviation = math.sqrt(float(counts @ (levels - mean) ** 2) / pixel_count)
    inner = total[1:-1, 1:-1]
    laplacian = 4 * inner - total[2:, 1:-1] - total[:-2, 1:-1] - total[1:-1, 2:] - total[1:-1, :-2]
    across, down = np.abs(np.diff(total, axis=1)), np.abs(np.diff(total, axis=0))
    sharpness = [each.mean() if each.size else 0.0 for each in (across, down)]
    sharpness.append(laplacian.std() if laplacian.size else 0.0)
    most, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    return np.array(
        [
            mean,
            deviation,
            *_quantiles(counts),
            *np.log(np.array(sharpness) / _WHITE + _LEAST),
            (most - least).mean() / 255,
            counts[levels < 0.02].sum() / pixel_count,
            counts[levels > 0.98].sum() / pixel_count,
        ]
    )


def _quantiles(counts: NDArray) -> NDArray[np.float64]:
    """The grey levels of `_QUANTILES`, linear between order statistics, of the counts of all levels."""
    places = np.array(_QUANTILES) * (counts.sum() - 1)
    below = np.searchsorted(np.cumsum(counts), np.floor(places), side="right")
    above = np.searchsorted(np.cumsum(counts), np.ceil(places), side="right")
    return (below + (places - np.floor(places)) * (above - below)) / _WHITE


def picture_deviations(numbers: NDArray) -> NDArray[np.float64]:
    """What each of the numbers (n, 12) of training pictures is divided by (12,).

    Its own deviation, or a tenth of their root mean square where that is more: what hardly ever changes in training,
    as the colour of grey pictures, must not decide alone.
    """
    deviation = numbers.std(axis=0)
    return np.maximum(deviation, max(0.1 * float(np.sqrt((deviation**2).mean())), 1e-6))
