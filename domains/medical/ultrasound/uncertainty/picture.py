"""What a picture looks like in a few numbers: its grey levels, its sharpness, its colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PICTURE = "picture"
"""The part of `polyhead.uncertainty.likeness` that these numbers are."""

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_LEAST = 1e-3


def picture_numbers(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(12,) numbers of a picture (H, W, 3) uint8, as it lies in the network's input and without its border.

    Mean, deviation and five quantiles of grey in [0, 1]; logarithms of the mean absolute difference along rows and
    along columns and of the deviation of the discrete Laplacian, each plus 1e-3; the mean distance of the colours from
    grey; the share of pixels below 0.02; and of those above 0.98. Noise is far too sharp and a flat picture not at all.
    """
    grey = pixels.astype(np.float64).mean(axis=2) / 255
    across, down = np.abs(np.diff(grey, axis=1)), np.abs(np.diff(grey, axis=0))
    laplacian = np.zeros(1)
    if min(grey.shape) > 2:
        inner = grey[1:-1, 1:-1]
        laplacian = 4 * inner - grey[2:, 1:-1] - grey[:-2, 1:-1] - grey[1:-1, 2:] - grey[1:-1, :-2]
    colour = (pixels.max(axis=2).astype(np.float64) - pixels.min(axis=2)).mean() / 255
    sharpness = [each.mean() if each.size else 0.0 for each in (across, down)] + [laplacian.std()]
    return np.array(
        [
            grey.mean(),
            grey.std(),
            *np.quantile(grey, _QUANTILES),
            *np.log(np.array(sharpness) + _LEAST),
            colour,
            (grey < 0.02).mean(),
            (grey > 0.98).mean(),
        ]
    )


def picture_deviations(numbers: NDArray) -> NDArray[np.float64]:
    """What each of the numbers (n, 12) of training pictures is divided by (12,).

    Its own deviation, or a tenth of their root mean square where that is more: what hardly ever changes in training,
    as the colour of grey pictures, must not decide alone.
    """
    deviation = numbers.std(axis=0)
    return np.maximum(deviation, max(0.1 * float(np.sqrt((deviation**2).mean())), 1e-6))
