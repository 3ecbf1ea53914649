"""Tissues that several regions of the body share: skin and fat, muscle, bone, fluid, vessels."""

from __future__ import annotations

import numpy as np

from domains.medical.ultrasound.simulator.probe import Probe
from domains.medical.ultrasound.simulator.scene import Scene, everywhere
from domains.medical.ultrasound.simulator.shapes import Array, Point, Shape, below, blob, common, rim, stroke, wavy

FLUID = -34.0
"""Echo of clear fluid, dB: what is seen in it is the receiver's noise and the side of the beam."""


def ripples(rng: np.random.Generator, strength: float, orders: range = range(2, 6)) -> list[tuple[int, float, float]]:
    """Waves for `blob`: an irregular but smooth outline of about `strength` relative height."""
    return [(n, float(rng.normal() * strength / n * 2), float(rng.uniform(0, 2 * np.pi))) for n in orders]


def organic(rng: np.random.Generator, centre: Point, a: float, b: float, angle: float, strength: float = 0.06) -> Shape:
    """An ellipse with an irregular outline."""
    return blob(centre, a, b, angle, ripples(rng, strength))


def beneath(probe: Probe, depth: float) -> Shape:
    """All that lies deeper than `depth` along the beams."""

    def distance(x: Array, y: Array) -> Array:
        return np.float32(depth) - probe.beam(x, y)[0]

    return distance


def between_beams(probe: Probe, middle: float, half: float) -> Shape:
    """All between two beams: `middle` and `half` in lateral position (-1 to 1)."""

    def distance(x: Array, y: Array) -> Array:
        return (np.abs(probe.beam(x, y)[1] - np.float32(middle)) - np.float32(half)) * np.float32(0.5)

    return distance


def body_wall(scene: Scene, rng: np.random.Generator, probe: Probe, thickness: float) -> None:
    """Skin, fat and muscle under the probe, down to about `thickness` along the beams."""
    scene.paint(everywhere, 0.0, texture=1.5)
    skin = thickness * 0.15
    scene.paint(common(beneath(probe, skin), without_deep(probe, thickness)), -4.0, texture=2.5)
    scene.paint(without_deep(probe, skin), 7.0, wall=8.0)
    for depth in np.sort(rng.uniform(skin * 1.5, thickness, 3)):
        scene.paint(rim(beneath(probe, float(depth)), 0.006), 7.0, wall=6.0)


def without_deep(probe: Probe, depth: float) -> Shape:
    """All that lies shallower than `depth` along the beams."""
    deep = beneath(probe, depth)
    return lambda x, y: -deep(x, y)


def muscle(scene: Scene, rng: np.random.Generator, top: float, bottom: float) -> None:
    """A hypoechoic band with bright fascia and fibre streaks, across the field of a linear probe."""
    slope, phase = float(rng.normal(0, 0.03)), float(rng.uniform(0, 6))
    curve = [wavy(depth, slope, 0.01, 0.9, phase) for depth in (top, bottom)]
    upper, lower = below(curve[0]), below(curve[1])
    scene.paint(common(upper, lambda x, y: -lower(x, y)), -7.0, texture=2.0)
    for depth in np.linspace(top + 0.02, bottom - 0.01, max(int((bottom - top) / 0.035), 2)):
        start = float(rng.uniform(-0.9, 0.2))
        streak = wavy(float(depth), slope, 0.01, 0.9, phase)
        ends = [(start, float(streak(np.array(start)))), (start + 0.7, float(streak(np.array(start + 0.7))))]
        scene.paint(stroke(ends, 0.003), 0.0, soft=0.008)
    for edge in (upper, lower):
        scene.paint(rim(edge, 0.008), 8.0, wall=10.0)


def bone(scene: Scene, shape: Shape, attenuation: float = 14.0) -> Shape:
    """A bright strongly attenuating body: all behind it lies in shadow."""
    return scene.paint(shape, 15.0, attenuation=attenuation, wall=22.0, texture=0.5)


def vessel(scene: Scene, shape: Shape, wall: float = 12.0) -> Shape:
    """A lumen with bright walls where they face the beam."""
    scene.paint(rim(shape, 0.012), 4.0, wall=wall - 4)
    return scene.paint(shape, -30.0, attenuation=0.12, wall=wall, texture=0.3)


def cyst(scene: Scene, shape: Shape, wall: float = 8.0, echo: float = FLUID) -> Shape:
    """Fluid in a thin wall: dark inside, the tissue behind it enhanced since fluid hardly attenuates."""
    return scene.paint(shape, echo, attenuation=0.05, wall=wall, texture=0.3)
