"""Liver lesions and the organs of the upper abdomen and pelvis."""

from __future__ import annotations

import numpy as np

from domains.medical.ultrasound.simulator.anatomy.tissue import FLUID, body_wall, cyst, organic, vessel
from domains.medical.ultrasound.simulator.probe import Probe
from domains.medical.ultrasound.simulator.scene import Scene
from domains.medical.ultrasound.simulator.shapes import (
    arc,
    below,
    common,
    ellipse,
    grown,
    place,
    rim,
    stroke,
    wavy,
    without,
)

ORGANS = ("bladder", "bowel", "gallbladder", "kidney", "liver", "spleen")


def _parenchyma(rng: np.random.Generator, probe: Probe, echo: float) -> Scene:
    """Body wall over an even parenchyma that ends at the diaphragm."""
    scene = Scene(grain=(0.3, 0.2))
    top = float(rng.uniform(0.12, 0.17))
    body_wall(scene, rng, probe, top)
    scene.paint(below(wavy(top + 0.02, 0.0, 0.01, 0.8, float(rng.uniform(0, 6)))), echo, texture=0.7, wall=8.0)
    slope = float(rng.choice([-1, 1]) * rng.uniform(0.1, 0.3))
    dome = below(lambda x: np.float32(0.86) + np.float32(slope) * x - np.float32(0.25) * x * x)
    scene.paint(dome, -6.0, texture=2.0)
    scene.paint(rim(dome, 0.018), 12.0, wall=14.0)
    return scene


def _vessels(scene: Scene, rng: np.random.Generator, count: int) -> None:
    """Hepatic veins (dark, hardly any wall) and portal branches (bright walls)."""
    for k in range(count):
        start = (float(rng.uniform(-0.45, 0.45)), float(rng.uniform(0.3, 0.7)))
        turn, length = float(rng.uniform(-0.9, 0.9)), float(rng.uniform(0.12, 0.3))
        path = [start, place(start, turn, length / 2, 0.02), place(start, turn + 0.2, length, 0.0)]
        tube = stroke(path, float(rng.uniform(0.011, 0.02)))
        if k % 2:
            scene.paint(grown(tube, 0.012), 7.0)
        scene.paint(tube, -24.0, attenuation=0.2)


def liver_lesion(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """A liver with a hepatocellular carcinoma (variant 0) or a haemangioma (1).

    Carcinoma: darker than liver, uneven, with a dark halo and a mosaic within. Haemangioma: evenly bright, sharp.
    """
    scene = _parenchyma(rng, probe, float(rng.uniform(-3, 2)))
    scene.label = variant
    _vessels(scene, rng, int(rng.integers(2, 5)))
    size = float(rng.uniform(0.08, 0.15))
    centre = (float(rng.uniform(-0.28, 0.28)), float(rng.uniform(0.36, 0.64)))
    if variant == 0:
        lesion = organic(rng, centre, size * float(rng.uniform(1.0, 1.3)), size, float(rng.uniform(0, 3)), 0.07)
        scene.paint(grown(lesion, 0.018), -18.0)
        scene.paint(lesion, -8.0, texture=2.5, attenuation=0.6)
        for _ in range(5):
            at = (centre[0] + float(rng.normal(0, size * 0.4)), centre[1] + float(rng.normal(0, size * 0.35)))
            knot = ellipse(at, size * 0.24, size * 0.2, float(rng.uniform(0, 3)))
            scene.paint(common(knot, lesion), float(rng.choice([-17, -1])))
    else:
        lesion = organic(rng, centre, size, size * float(rng.uniform(0.8, 1.0)), float(rng.uniform(0, 3)), 0.04)
        scene.paint(lesion, float(rng.uniform(9, 12)), texture=0.6, attenuation=0.4)
    return scene


def organ(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """One of `ORGANS` in its usual view."""
    scene = (_bladder, _bowel, _gallbladder, _kidney, _liver, _spleen)[variant](rng, probe)
    scene.label = variant
    return scene


def _bladder(rng: np.random.Generator, probe: Probe) -> Scene:
    scene = Scene(grain=(0.3, 0.2))
    body_wall(scene, rng, probe, float(rng.uniform(0.12, 0.17)))
    centre = (float(rng.normal(0, 0.05)), float(rng.uniform(0.44, 0.52)))
    lumen = organic(rng, centre, float(rng.uniform(0.3, 0.4)), float(rng.uniform(0.2, 0.27)), 0.0, 0.05)
    scene.paint(grown(lumen, 0.025), 4.0, wall=8.0)
    cyst(scene, lumen, wall=12.0)
    return scene


def _bowel(rng: np.random.Generator, probe: Probe) -> Scene:
    """Loops with a dark muscular wall around bright gas that casts a dirty shadow."""
    scene = Scene(grain=(0.2, 0.15))
    body_wall(scene, rng, probe, float(rng.uniform(0.12, 0.17)))
    for x, y in ((-0.28, 0.36), (0.02, 0.42), (0.3, 0.36), (-0.15, 0.64), (0.18, 0.68)):
        centre = (x + float(rng.normal(0, 0.03)), y + float(rng.normal(0, 0.03)))
        a, b, angle = float(rng.uniform(0.12, 0.16)), float(rng.uniform(0.09, 0.11)), float(rng.normal(0, 0.4))
        loop = organic(rng, centre, a, b, angle, 0.06)
        scene.paint(grown(loop, 0.008), 5.0)
        scene.paint(loop, -18.0, wall=6.0)
        scene.paint(grown(loop, -0.03), -1.0, texture=3.0)
        gas = arc(centre, a * 0.55, b * 0.5, angle, float(np.pi) * 1.15, float(np.pi) * 1.85, 0.012)
        scene.paint(gas, 14.0, attenuation=2.5, wall=8.0)
    return scene


def _gallbladder(rng: np.random.Generator, probe: Probe) -> Scene:
    """A pear of bile under the liver, sometimes with a stone and its shadow."""
    scene = _parenchyma(rng, probe, 0.0)
    _vessels(scene, rng, 1)
    angle = float(rng.uniform(0.3, 1.1)) * float(rng.choice([-1, 1]))
    centre = (float(rng.normal(0, 0.08)), float(rng.uniform(0.45, 0.55)))
    long, wide = float(rng.uniform(0.2, 0.26)), float(rng.uniform(0.07, 0.095))
    neck = place(centre, angle, -long * 0.8, 0.0)
    lumen = common(
        lambda x, y: np.minimum(ellipse(centre, long, wide, angle)(x, y), stroke([neck, centre], wide * 0.5)(x, y))
    )
    scene.paint(grown(lumen, 0.014), 7.0)
    cyst(scene, lumen, wall=12.0)
    if rng.random() < 0.5:
        stone = ellipse(place(centre, angle, long * 0.45, 0.0), 0.03, 0.026)
        scene.paint(stone, 14.0, attenuation=10.0, wall=16.0)
    return scene


def _kidney(rng: np.random.Generator, probe: Probe) -> Scene:
    """A bean: dark cortex with darker pyramids around a bright sinus."""
    scene = _parenchyma(rng, probe, 1.0)
    angle = float(rng.normal(0, 0.3))
    centre = (float(rng.normal(0, 0.05)), float(rng.uniform(0.5, 0.58)))
    a, b = float(rng.uniform(0.3, 0.36)), float(rng.uniform(0.15, 0.18))
    kidney = organic(rng, centre, a, b, angle, 0.03)
    scene.paint(grown(kidney, 0.012), 8.0, wall=8.0)
    scene.paint(kidney, -9.0, texture=1.0)
    for k in range(10):
        turn = 2 * np.pi * k / 10 + 0.3
        at = place(centre, angle, 0.7 * a * float(np.cos(turn)), 0.64 * b * float(np.sin(turn)))
        scene.paint(ellipse(at, 0.035, 0.022, turn + angle), -17.0, soft=0.01)
    sinus = organic(rng, centre, a * 0.58, b * 0.36, angle, 0.12)
    scene.paint(sinus, 9.0, texture=2.5, soft=0.02)
    return scene


def _liver(rng: np.random.Generator, probe: Probe) -> Scene:
    scene = _parenchyma(rng, probe, 1.0)
    _vessels(scene, rng, int(rng.integers(5, 8)))
    if rng.random() < 0.5:
        vessel(scene, ellipse((float(rng.uniform(-0.2, 0.2)), 0.72), 0.07, 0.045, 0.3))
    return scene


def _spleen(rng: np.random.Generator, probe: Probe) -> Scene:
    """A crescent of even, rather bright pulp under the diaphragm, gas of the stomach beside it."""
    scene = Scene(grain=(0.25, 0.2))
    body_wall(scene, rng, probe, float(rng.uniform(0.12, 0.16)))
    side = float(rng.choice([-1, 1]))
    centre = (float(rng.normal(0, 0.04)), float(rng.uniform(0.4, 0.46)))
    angle = side * float(rng.uniform(0.1, 0.4))
    whole = organic(rng, centre, float(rng.uniform(0.34, 0.4)), float(rng.uniform(0.17, 0.2)), angle, 0.03)
    hilum = ellipse(place(centre, angle, 0.0, 0.26), 0.24, 0.17, angle)
    scene.paint(below(centre[1]), -8.0, texture=3.0, soft=0.1)
    scene.paint(without(whole, hilum), 4.0, texture=0.6, wall=12.0)
    gas = arc(place(centre, angle, 0.02, 0.27), 0.2, 0.13, angle, float(np.pi) * 1.2, float(np.pi) * 1.8, 0.014)
    scene.paint(gas, 12.0, attenuation=2.0, wall=8.0)
    artery = place(centre, angle, 0.0, 0.1)
    scene.paint(ellipse(artery, 0.05, 0.015, angle), FLUID + 6)
    return scene
