"""Random variation of a sample, as a pure function of the sample and a seed."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image as PillowImage


def photometric(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The baseline's variation: brightness and contrast by up to 20 % (p 0.2), Gaussian noise of 0.2 to 0.44 (p 0.1).

    The noise level is what the baseline's pinned library applies by default: a fifth to nearly half of full range.

    Args:
        image: (H, W, 3) uint8.
    """
    values = image.astype(np.float32)
    if generator.random() < 0.2:
        contrast, brightness = 1 + generator.uniform(-0.2, 0.2), 255 * generator.uniform(-0.2, 0.2)
        values = values * contrast + brightness
    if generator.random() < 0.1:
        values = values + generator.normal(0, 255 * generator.uniform(0.2, 0.44), values.shape)
    return _to_bytes(values)


def ultrasound_photometric(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Gain, dynamic range and multiplicative grain, within what a sonographer's knobs do.

    Args:
        image: (H, W, 3) uint8.
    """
    values = image.astype(np.float32) / 255
    values = values ** math.exp(generator.uniform(-0.25, 0.25))
    values = values * generator.uniform(0.85, 1.15) + generator.uniform(-0.05, 0.05) * (values > 0)
    if generator.random() < 0.3:
        values = values * (1 + generator.normal(0, 0.08, values.shape[:2])[..., None])
    return _to_bytes(values * 255)


class Affine:
    """A rotation, scaling and shift of the square input about its centre, the same for image, mask, box and points.

    Args:
        size: side of the input in pixels.
        flip: whether mirroring left to right is allowed.
    """

    def __init__(self, size: int, generator: np.random.Generator, *, flip: bool):
        angle = math.radians(generator.uniform(-12, 12))
        scale = math.exp(generator.uniform(-0.12, 0.12))
        shift = generator.uniform(-0.06, 0.06, 2)
        mirror = -1.0 if flip and generator.random() < 0.5 else 1.0
        rotation = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        self.size = size
        self.matrix = rotation @ np.diag([mirror, 1.0])
        self.shift = 0.5 + shift - self.matrix @ np.array([0.5, 0.5])

    def points(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) as (x, y) in fractions of the input, moved."""
        return points @ self.matrix.T + self.shift

    def image(self, image: np.ndarray, *, nearest: bool = False) -> np.ndarray:
        """An image (size, size[, 3]) uint8, moved; what comes from outside is 0."""
        inverse = np.linalg.inv(self.matrix)
        offset = -inverse @ self.shift * self.size
        coefficients = (inverse[0, 0], inverse[0, 1], offset[0], inverse[1, 0], inverse[1, 1], offset[1])
        method = PillowImage.Resampling.NEAREST if nearest else PillowImage.Resampling.BILINEAR
        moved = PillowImage.fromarray(image).transform(
            (self.size, self.size), PillowImage.Transform.AFFINE, coefficients, resample=method
        )
        return np.asarray(moved)

    def box(self, box: np.ndarray) -> np.ndarray:
        """The upright box about the moved ellipse that fills `box` (4,), clipped to the input.

        The ellipse, not the corners: the box of a turned rectangle grows past the object it holds.
        """
        centre = self.points((box[:2] + box[2:]) / 2)
        half = (box[2:] - box[:2]) / 2
        extent = np.sqrt((self.matrix**2) @ (half**2))
        return np.clip(np.concatenate([centre - extent, centre + extent]), 0, 1)


def keeps(points: np.ndarray) -> bool:
    """Whether points in fractions of the input all lie inside it."""
    return bool(((points >= 0) & (points <= 1)).all())


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
