"""A scene: tissues painted over each other, and the labels that the same shapes give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from domains.medical.ultrasound.simulator.probe import Frame, Probe
from domains.medical.ultrasound.simulator.shapes import Array, Point, Shape
from domains.medical.ultrasound.simulator.speckle import SOFT_TISSUE

INTERFACE_THICKNESS = 1.5
"""Profile of a specular interface, in samples along the beam."""


@dataclass(frozen=True)
class Tissue:
    """One layer of paint.

    Attributes:
        shape: where it lies.
        echo: backscatter in dB relative to soft tissue; None leaves what lies beneath.
        attenuation: dB / (cm MHz); None leaves what lies beneath.
        wall: specular reflection of its edge in dB, strongest where the edge faces the beam; None for no wall.
        texture: strength of its slow unevenness, dB.
        soft: width over which its edge fades, scene units.
    """

    shape: Shape
    echo: float | None = None
    attenuation: float | None = None
    wall: float | None = None
    texture: float = 1.0
    soft: float = 0.006


@dataclass
class Scene:
    """Tissues in painting order, and labels.

    Attributes:
        tissues: painted first to last.
        regions: (class, shape) for segmentation, later ones over earlier ones.
        label: class, for classification.
        target: what a detection box surrounds.
        points: scene coordinates, for keypoints.
        grain: scale of the slow unevenness of the tissues, scene units, across and along the depth.
    """

    tissues: list[Tissue] = field(default_factory=list)
    regions: list[tuple[int, Shape]] = field(default_factory=list)
    label: int | None = None
    target: Shape | None = None
    points: list[Point] | None = None
    grain: tuple[float, float] = (0.25, 0.15)

    def paint(
        self,
        shape: Shape,
        echo: float | None = None,
        *,
        attenuation: float | None = None,
        wall: float | None = None,
        texture: float = 1.0,
        soft: float = 0.006,
    ) -> Shape:
        """Adds a `Tissue` and returns its shape."""
        self.tissues.append(Tissue(shape, echo, attenuation, wall, texture, soft))
        return shape


def everywhere(x: Array, y: Array) -> Array:
    """The shape that holds all."""
    return np.full_like(x, -1)


def unevenness(
    rng: np.random.Generator, grain: tuple[float, float], waves: int = 12
) -> Callable[[Array, Array], Array]:
    """A smooth random field of zero mean and unit variance: plane waves of random direction, length and phase."""
    turns = rng.normal(size=(waves, 2)) * np.array([2.2 / grain[0], 2.2 / grain[1]])
    phases = rng.uniform(0, 2 * np.pi, waves)

    def value(x: Array, y: Array) -> Array:
        total = np.zeros_like(x)
        for (kx, ky), phase in zip(turns, phases, strict=True):
            total += np.cos(np.float32(kx) * x + np.float32(ky) * y + np.float32(phase))
        return total * np.float32(np.sqrt(2 / waves))

    return value


def acoustic_maps(
    scene: Scene, probe: Probe, rng: np.random.Generator, samples: int, lines: int
) -> tuple[Array, Array, Array]:
    """Echogenicity (dB), attenuation (dB / (cm MHz)) and interface amplitude on the beams, each (samples, lines)."""
    x, y = probe.grid(samples, lines)
    uneven = unevenness(rng, scene.grain)(x, y)
    echo = np.zeros_like(x)
    attenuation = np.full_like(x, SOFT_TISSUE)
    interface = np.zeros_like(x)
    step = np.float32(1 / (samples - 1))
    for tissue in scene.tissues:
        distance = tissue.shape(x, y)
        weight = np.clip(np.float32(0.5) - distance / np.float32(max(tissue.soft, 1e-4)), 0, 1)
        if tissue.echo is not None:
            value = np.float32(tissue.echo) + np.float32(tissue.texture) * uneven
            echo += weight * (value - echo)
            interface *= 1 - weight
        if tissue.attenuation is not None:
            attenuation += weight * (np.float32(tissue.attenuation) - attenuation)
        if tissue.wall is not None:
            # How squarely the edge faces the beam: the derivative of the distance along the beam.
            facing = np.clip(np.abs(np.gradient(distance, axis=0)) / step, 0, 1)
            profile = np.exp(-0.5 * (distance / (step * np.float32(INTERFACE_THICKNESS))) ** 2)
            interface += (
                np.float32(10 ** (tissue.wall / 20)) * profile * (np.float32(0.12) + np.float32(0.88) * facing**2)
            )
    return echo, attenuation, interface


def index_mask(scene: Scene, frame: Frame) -> np.ndarray:
    """Classes of the pixels, (height, width) uint8: 0 off the field and off every region."""
    x, y = frame.scene()
    mask = np.zeros(frame.shape, np.uint8)
    for number, shape in scene.regions:
        mask[shape(x, y) < 0] = number
    mask[~frame.field()[2]] = 0
    return mask


def tight_box(scene: Scene, frame: Frame) -> tuple[float, float, float, float]:
    """(x_min, y_min, x_max, y_max) in pixels around the target: first column and row, last ones plus one."""
    if scene.target is None:
        raise ValueError("the scene has no target to put a box around")
    x, y = frame.scene()
    inside = (scene.target(x, y) < 0) & frame.field()[2]
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        raise ValueError("the target of the scene lies outside the field")
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
