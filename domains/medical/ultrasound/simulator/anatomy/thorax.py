"""Heart and lung."""

from __future__ import annotations

import numpy as np

from domains.medical.ultrasound.simulator.anatomy.tissue import (
    FLUID,
    beneath,
    between_beams,
    body_wall,
    bone,
    organic,
    without_deep,
)
from domains.medical.ultrasound.simulator.probe import Probe
from domains.medical.ultrasound.simulator.scene import Scene, everywhere
from domains.medical.ultrasound.simulator.shapes import (
    Shape,
    common,
    ellipse,
    grown,
    place,
    rim,
    stroke,
    without,
)

A_LINES, B_LINES, CONSOLIDATION = 0, 1, 2


def heart_apical(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """The apical view: left ventricle (1), its myocardium (2), left atrium (3); variant 1 leaves the atrium deeper
    than the picture."""
    scene = Scene(grain=(0.3, 0.2))
    scene.paint(everywhere, -6.0, texture=3.0)
    tilt = float(rng.normal(0, 0.14))
    axis = np.pi / 2 + tilt
    length = float(rng.uniform(0.2, 0.25)) + (0.08 if variant == 1 else 0.0)
    wide, wall = float(rng.uniform(0.105, 0.15)), float(rng.uniform(0.05, 0.075))
    centre = (float(rng.normal(0.0, 0.03)), 0.14 + wall + length + (0.08 if variant == 1 else 0.0))
    ventricle = organic(rng, centre, length, wide, axis, 0.03)
    base = place(centre, axis, length * 0.82, 0.0)
    # The plane of the mitral valve cuts the ventricle off from the atrium.
    valve = _beyond(base, axis)
    cavity = without(ventricle, valve)
    myocardium = without(grown(ventricle, wall), valve)
    scene.paint(without(rim(grown(ventricle, wall + 0.012), 0.02), valve), 9.0, wall=10.0)
    right = place(centre, axis, length * 0.25, wide + wall + 0.09)
    scene.paint(organic(rng, right, length * 0.75, 0.085, axis - 0.1), -24.0, attenuation=0.2, wall=6.0)
    scene.paint(myocardium, 2.0, texture=2.0, wall=6.0)
    scene.paint(cavity, -26.0, attenuation=0.2, wall=8.0, texture=1.5)
    scene.regions += [(2, without(myocardium, cavity)), (1, cavity)]
    if variant != 1:
        deep = float(rng.uniform(0.1, 0.13))
        hall = place(base, axis, deep + 0.012, float(rng.normal(0, 0.015)))
        atrium = common(organic(rng, hall, deep, wide * float(rng.uniform(0.9, 1.15)), axis, 0.04), _beyond(base, axis))
        scene.paint(grown(atrium, 0.02), 3.0)
        scene.paint(atrium, -27.0, attenuation=0.2, wall=8.0, texture=1.0)
        scene.regions.append((3, atrium))
    gape = float(rng.uniform(0.15, 0.6))
    for side in (-1, 1):
        root = place(base, axis, 0.0, side * wide * 0.75)
        tip = place(base, axis, -0.05 * gape, side * wide * 0.75 * gape * 0.6)
        scene.paint(stroke([root, tip], 0.006), 7.0, wall=6.0)
    scene.paint(without_deep(probe, 0.05), 4.0)
    return scene


def _beyond(point: tuple[float, float], axis: float) -> Shape:
    """The half plane on the far side of `point` along `axis`."""
    c, s = np.float32(np.cos(axis)), np.float32(np.sin(axis))
    return lambda x, y: -((x - np.float32(point[0])) * c + (y - np.float32(point[1])) * s)


def _ribs(scene: Scene, rng: np.random.Generator, probe: Probe, depth: float) -> list[Shape]:
    """Paints a rib at either side above the pleura at `depth`, some left out; returns what their shadows close off."""
    shadows = []
    tilt = probe.half_angle if probe.geometry == "sector" else 0.0
    for side in (-1, 1):
        if rng.random() < 0.15:
            continue
        lateral = side * float(rng.uniform(0.72, 0.9))
        half = float(rng.uniform(0.1, 0.16))
        top = depth * float(rng.uniform(0.55, 0.7))
        x, y = probe.position(np.array(top + 0.02), np.array(lateral))
        width = half * probe.half_width_at(float(y)) * 0.9
        bone(scene, ellipse((float(x), float(y) + 0.02), width, 0.03, -lateral * tilt), 16.0)
        shadows.append(_outwards(probe, side, abs(lateral) - half * 0.95))
    return shadows


def _outwards(probe: Probe, side: int, lateral: float) -> Shape:
    """All further out than a beam at one side."""
    return lambda x, y: (np.float32(lateral) - side * probe.beam(x, y)[1]) * np.float32(0.5)


def lung_window(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """An intercostal window: A-lines (variant 0), B-lines (1) or a consolidation (2) behind the pleural line.

    A-lines repeat the pleural line at multiples of its depth; B-lines are bright rays along the beams from the pleura
    to the end of the picture that wipe A-lines out; a consolidation is tissue-like with air bronchograms and a
    shredded deep border. The region (1) is the lung seen between the ribs.
    """
    depth = float(rng.uniform(0.2, 0.32))
    scene = Scene(grain=(0.25, 0.15))
    body_wall(scene, rng, probe, depth * 0.85)
    lung = scene.paint(beneath(probe, depth), -15.0, texture=1.5, attenuation=0.5)
    if variant == A_LINES:
        for k in range(2, int(1 / depth) + 1):
            if k * depth < 0.97:
                scene.paint(rim(beneath(probe, k * depth), 0.014), 5.0 - 2.5 * k, soft=0.012)
                scene.paint(rim(beneath(probe, k * depth), 0.004), None, wall=12.0 - 3 * k)
    elif variant == B_LINES:
        for lateral in rng.choice(np.linspace(-0.55, 0.55, 7), int(rng.integers(3, 6)), replace=False):
            half = float(rng.uniform(0.025, 0.06))
            ray = common(between_beams(probe, float(lateral + rng.normal(0, 0.04)), half), beneath(probe, depth))
            scene.paint(ray, float(rng.uniform(1, 6)), soft=0.03, texture=0.5)
    else:
        lateral = float(rng.uniform(-0.3, 0.3))
        x, y = probe.position(np.array(depth + 0.12), np.array(lateral))
        size = float(rng.uniform(0.17, 0.24))
        patch = common(
            organic(rng, (float(x), float(y)), size * 1.3, size * 0.85, 0.0, 0.16), beneath(probe, depth + 0.015)
        )
        scene.paint(grown(patch, 0.02), 8.0, soft=0.02, texture=2.0)
        scene.paint(patch, -4.0, texture=2.0)
        for _ in range(int(rng.integers(4, 9))):
            at = (float(x) + float(rng.normal(0, size * 0.5)), float(y) + float(rng.normal(0, size * 0.3)))
            bronchus = common(ellipse(at, 0.022, 0.008, float(rng.uniform(-0.8, 0.8))), patch)
            scene.paint(bronchus, 11.0)
    scene.paint(rim(beneath(probe, depth), 0.014), 12.0, wall=16.0)
    shadows = _ribs(scene, rng, probe, depth)
    scene.label = variant
    scene.regions.append((1, without(lung, *shadows) if shadows else lung))
    return scene


def fetal_chest(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """A fetal chest across its axis with a four-chamber heart (region 1), ribs, spine and lungs; variant 1: no heart
    in the plane."""
    scene = Scene(label=None, grain=(0.3, 0.2))
    body_wall(scene, rng, probe, 0.14)
    middle = (float(rng.normal(0, 0.05)), float(rng.uniform(0.5, 0.58)))
    a, b = float(rng.uniform(0.3, 0.34)), float(rng.uniform(0.26, 0.3))
    turn = float(rng.uniform(0, 2 * np.pi))
    sac = ellipse((middle[0], middle[1]), a + 0.2, b + 0.1)
    scene.paint(sac, FLUID, attenuation=0.35, wall=6.0)
    chest = scene.paint(organic(rng, middle, a, b, 0.0, 0.03), 0.0, wall=12.0, texture=2.0)
    scene.paint(rim(chest, 0.03), 4.0)
    for k in range(5):
        at = turn + 0.9 + k * 1.1
        rib = ellipse((middle[0] + 0.93 * a * np.cos(at), middle[1] + 0.93 * b * np.sin(at)), 0.035, 0.012, at + 1.57)
        scene.paint(rib, 13.0, attenuation=2.0)
    spine = (middle[0] + 0.82 * a * np.cos(turn), middle[1] + 0.82 * b * np.sin(turn))
    for k in (-1, 0, 1):
        bone(scene, ellipse(place(spine, turn + 1.57, k * 0.035, 0.02 * abs(k)), 0.016, 0.016), 4.0)
    if variant == 1:
        return scene
    axis = turn + np.pi + float(rng.choice([-0.7, 0.7]))
    size = float(rng.uniform(0.13, 0.165))
    centre = place(middle, axis, 0.05, 0.0)
    heart = organic(rng, centre, size * 1.15, size * 0.95, axis, 0.03)
    scene.paint(heart, 3.0, wall=8.0)
    for along, across, long, wide in ((0.35, 0.42, 0.42, 0.27), (0.35, -0.42, 0.42, 0.27)):
        scene.paint(ellipse(place(centre, axis, size * along, size * across), size * long, size * wide, axis), -26.0)
        scene.paint(ellipse(place(centre, axis, -size * 0.5, size * across), size * 0.33, size * wide, axis), -26.0)
    aorta = place(middle, turn, 0.55 * a, 0.05)
    scene.paint(ellipse(aorta, 0.026, 0.026), -26.0, wall=6.0)
    scene.regions.append((1, heart))
    return scene
