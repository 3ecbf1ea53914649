"""The transducer: where its beams run, how they map onto pixels, and how wide a pulse is.

Scene coordinates: x to the right from the middle of the probe's face, y downwards from it, both in units of the imaged
depth (y = 1 is the deepest sample under the middle of the probe). Pixel (column j, row i) has its centre at (j, i).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from domains.medical.ultrasound.simulator.shapes import Array, Point

SPEED_OF_SOUND = 1.54
"""Millimetres a microsecond in soft tissue."""


@dataclass(frozen=True)
class Probe:
    """A transducer and the settings of one picture.

    Attributes:
        geometry: "linear" (parallel beams) or "sector" (beams from a point behind the face).
        frequency: centre frequency, MHz.
        depth: imaged depth, cm.
        focus: depth of the transmit focus, scene units.
        f_number: focal depth over aperture; sets the beam width at the focus.
        cycles: length of the pulse in periods.
        half_width: half the face of a linear probe, scene units.
        radius: radius of curvature of a sector probe, scene units.
        half_angle: half the opening of a sector probe, radians.
    """

    geometry: Literal["linear", "sector"]
    frequency: float
    depth: float
    focus: float
    f_number: float = 2.5
    cycles: float = 2.5
    half_width: float = 0.5
    radius: float = 0.3
    half_angle: float = 0.6

    def __post_init__(self) -> None:
        positive = (self.frequency, self.depth, self.focus, self.f_number, self.cycles, self.half_width, self.radius)
        if min(positive) <= 0 or not 0 < self.half_angle < np.pi / 2:
            raise ValueError(f"a probe needs positive lengths and an opening below 90 degrees a side: {self}")

    @property
    def extent(self) -> tuple[float, float, float]:
        """(half width, top, bottom) of the insonified field, scene units."""
        if self.geometry == "linear":
            return self.half_width, 0.0, 1.0
        return (
            (self.radius + 1) * float(np.sin(self.half_angle)),
            self.radius * (float(np.cos(self.half_angle)) - 1),
            1.0,
        )

    def beam(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Depth along the beam (0 at the face, 1 at the end) and lateral position (-1 to 1) of points of the scene."""
        if self.geometry == "linear":
            return y, x / np.float32(self.half_width)
        reach = y + np.float32(self.radius)
        angle = np.arctan2(x, reach) / np.float32(self.half_angle)
        return np.hypot(x, reach) - np.float32(self.radius), angle

    def position(self, depth: Array, lateral: Array) -> tuple[Array, Array]:
        """Scene coordinates of a depth and a lateral position: the inverse of `beam`."""
        if self.geometry == "linear":
            return lateral * np.float32(self.half_width), depth
        angle = lateral * np.float32(self.half_angle)
        reach = depth + np.float32(self.radius)
        return reach * np.sin(angle), reach * np.cos(angle) - np.float32(self.radius)

    def grid(self, samples: int, lines: int) -> tuple[Array, Array]:
        """Scene coordinates of every sample of every beam, each (samples, lines)."""
        depth = np.linspace(0, 1, samples, dtype=np.float32)[:, None]
        lateral = np.linspace(-1, 1, lines, dtype=np.float32)[None, :]
        x, y = self.position(*np.broadcast_arrays(depth, lateral))
        return np.ascontiguousarray(x, np.float32), np.ascontiguousarray(y, np.float32)

    def half_width_at(self, y: float) -> float:
        """Half the width of the field at a height of the scene, scene units."""
        if self.geometry == "linear":
            return self.half_width
        side = (y + self.radius) * float(np.tan(self.half_angle))
        return min(side, float(np.sqrt(max((1 + self.radius) ** 2 - (y + self.radius) ** 2, 0.0))))

    def holds(self, point: Point, margin: float = 0.02) -> bool:
        """Whether a point of the scene lies in the field and at least about `margin` from its border."""
        depth, lateral = self.beam(np.asarray(point[0], np.float32), np.asarray(point[1], np.float32))
        across = margin / max(self.half_width_at(point[1]), 1e-6)
        return margin <= float(depth) <= 1 - margin and abs(float(lateral)) <= 1 - across

    def pulse_sigma(self, samples: int) -> float:
        """Standard deviation of the pulse envelope along the beam, in samples.

        The full width at half maximum is half the pulse length, cycles * wavelength / 2. Where the sampling is coarser
        than the pulse the width stays at 0.7 samples: the pixel, not the pulse, then limits the picture.
        """
        width = self.cycles * SPEED_OF_SOUND / self.frequency / 2
        return max(width / 2.355 / (10 * self.depth / (samples - 1)), 0.7)

    def beam_sigma(self, samples: int, lines: int) -> Array:
        """Standard deviation of the beam profile across lines at every depth, in lines, (samples,).

        At the focus the full width at half maximum is 1.2 * wavelength * f_number; away from it the width grows as
        that of a Gaussian beam of the same aperture, w(z) = w0 * sqrt(1 + ((z - focus) / range)^2).
        """
        depth = np.linspace(0, 1, samples, dtype=np.float32)
        wavelength = SPEED_OF_SOUND / self.frequency / (10 * self.depth)
        at_focus = 1.2 * wavelength * self.f_number / 2.355
        rayleigh_range = 4 * wavelength * self.f_number**2
        width = at_focus * np.sqrt(1 + ((depth - np.float32(self.focus)) / np.float32(rayleigh_range)) ** 2)
        if self.geometry == "linear":
            pitch = np.full_like(depth, 2 * self.half_width / (lines - 1))
        else:
            pitch = (depth + np.float32(self.radius)) * np.float32(2 * self.half_angle / (lines - 1))
        return np.clip(width / pitch, 0.6, 0.02 * lines).astype(np.float32)


@dataclass(frozen=True)
class Frame:
    """Where the field stands in an image of `shape` (height, width).

    Column = left + scale * x, row = top + scale * y.
    """

    probe: Probe
    shape: tuple[int, int]
    scale: float
    left: float
    top: float

    @classmethod
    def fitted(
        cls, probe: Probe, shape: tuple[int, int], margin: float = 0.03, shift: tuple[float, float] = (0.0, 0.0)
    ) -> Frame:
        """The field as large as it goes into the image with `margin` (a fraction) free at every side.

        `shift` (-1 to 1, to the right and downwards) moves it within what room is left.
        """
        height, width = shape
        if min(shape) < 32:
            raise ValueError(f"an image of {height} x {width} pixels is too small: use at least 32 x 32")
        half, top, bottom = probe.extent
        room = ((1 - 2 * margin) * (width - 1), (1 - 2 * margin) * (height - 1))
        scale = min(room[1] / (bottom - top), room[0] / (2 * half))
        left = (width - 1) / 2 + shift[0] * (room[0] / 2 - half * scale)
        middle = (height - 1) / 2 + shift[1] * (room[1] - (bottom - top) * scale) / 2
        return cls(probe, shape, scale, left, middle - scale * (top + bottom) / 2)

    def pixel(self, point: Point) -> Point:
        """(column, row) of a point of the scene, sub-pixel."""
        return self.left + self.scale * point[0], self.top + self.scale * point[1]

    def scene(self) -> tuple[Array, Array]:
        """Scene coordinates of every pixel centre, each (height, width)."""
        rows, columns = np.indices(self.shape, dtype=np.float32)
        return (columns - np.float32(self.left)) / np.float32(self.scale), (rows - np.float32(self.top)) / np.float32(
            self.scale
        )

    def field(self) -> tuple[Array, Array, np.ndarray]:
        """Depth, lateral position and whether the pixel is insonified, each (height, width)."""
        depth, lateral = self.probe.beam(*self.scene())
        return depth, lateral, (depth >= 0) & (depth <= 1) & (np.abs(lateral) <= 1)

    def convert(self, beams: Array, outside: float = 0.0) -> Array:
        """Scan conversion: (samples, lines) on the beams -> (height, width), bilinear, `outside` off the field."""
        from scipy.ndimage import map_coordinates

        depth, lateral, inside = self.field()
        at = np.stack(
            [depth[inside] * (beams.shape[0] - 1), (lateral[inside] + 1) * np.float32((beams.shape[1] - 1) / 2)]
        )
        image = np.full(self.shape, outside, np.float32)
        image[inside] = map_coordinates(beams, at, order=1, mode="nearest")
        return image
