"""The fetus: head, abdomen, femur, and the views of labour."""

from __future__ import annotations

import numpy as np

from domains.medical.ultrasound.simulator.anatomy.tissue import FLUID, body_wall, bone, cyst, organic, vessel
from domains.medical.ultrasound.simulator.probe import Probe
from domains.medical.ultrasound.simulator.scene import Scene
from domains.medical.ultrasound.simulator.shapes import (
    Point,
    Shape,
    arc,
    common,
    ellipse,
    grown,
    place,
    rim,
    stroke,
    union,
    without,
)

POSITIONS = (
    ("Left Occipital Anterior", 315),
    ("Left Occipital Posterior", 225),
    ("Left Occipital Transverse", 270),
    ("Normal Occipital Anterior", 0),
    ("Normal Occipital Posterior", 180),
    ("Right Occipital Anterior", 45),
    ("Right Occipital Posterior", 135),
    ("Right Occipital Transverse", 90),
)
"""Positions and where the landmark stands, degrees clockwise from the top; the mother's right is the image's left, so
that a left position stands at the right of the image after the sign in `_bearing`."""


def _bearing(variant: int, rng: np.random.Generator) -> float:
    """Angle from +x towards +y at which the landmark of a position stands, with up to 13 degrees of jitter."""
    clockwise = -POSITIONS[variant][1] + float(rng.uniform(-13, 13))
    return float(np.radians(clockwise - 90))


def womb(scene: Scene, rng: np.random.Generator, probe: Probe, centre: Point, reach: float) -> None:
    """Abdominal wall, uterus, placenta at one side, and amniotic fluid around `centre`."""
    body_wall(scene, rng, probe, float(rng.uniform(0.08, 0.13)))
    sac = organic(rng, (centre[0] * 0.5, centre[1]), reach * 1.5, reach * 1.12, 0.0, 0.06)
    scene.paint(sac, FLUID, attenuation=0.35, wall=8.0)
    side = float(rng.choice([-1, 1]))
    placenta = ellipse((centre[0] * 0.5 + side * reach * 1.3, centre[1] - reach * 0.4), reach * 0.55, reach * 0.9)
    scene.paint(common(placenta, sac), 2.0, texture=1.5)


def skull(scene: Scene, centre: Point, a: float, b: float, angle: float, brain: float = -11.0) -> Shape:
    """A skull: a bright ring, brain within; returns its outer border."""
    outer = ellipse(centre, a, b, angle)
    scene.paint(outer, 12.0, attenuation=1.5, wall=20.0)
    scene.paint(grown(outer, -0.02), brain, attenuation=0.4, texture=1.8)
    return outer


def _brain(scene: Scene, rng: np.random.Generator, centre: Point, a: float, b: float, angle: float) -> None:
    """Midline, cavum, thalami, and the choroid plexus of the far ventricle."""
    line = [place(centre, angle, s * a * 0.8, 0.0) for s in (-1, -0.15)]
    scene.paint(stroke(line, 0.005), 9.0, wall=4.0)
    scene.paint(stroke([place(centre, angle, s * a * 0.8, 0.0) for s in (0.5, 1)], 0.005), 9.0, wall=4.0)
    scene.paint(ellipse(place(centre, angle, 0.35 * a, 0.0), 0.11 * a, 0.07 * b, angle), -26.0, wall=8.0)
    for side in (-1, 1):
        scene.paint(ellipse(place(centre, angle, -0.02 * a, side * 0.2 * b), 0.2 * a, 0.15 * b, angle), -18.0)
        plexus = ellipse(place(centre, angle, -0.4 * a, side * 0.42 * b), 0.24 * a, 0.11 * b, angle + side * 0.3)
        scene.paint(plexus, 3.0 + float(rng.uniform(-2, 2)))


def head(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """The transthalamic view; the head within its skull is region 1."""
    scene = Scene()
    a = float(rng.uniform(0.24, 0.38))
    b, angle = a * float(rng.uniform(0.7, 0.82)), float(rng.normal(0, 0.45))
    centre = (float(rng.normal(0, 0.07)), float(rng.uniform(0.46, 0.58)))
    womb(scene, rng, probe, centre, a)
    outer = skull(scene, centre, a, b, angle)
    _brain(scene, rng, centre, a, b, angle)
    scene.regions.append((1, outer))
    return scene


def head_position(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """The head across the birth canal: the occiput (cerebellum) stands where the position says, the eyes opposite."""
    scene = Scene(label=variant)
    angle = _bearing(variant, rng)
    a = float(rng.uniform(0.31, 0.36))
    b = a * float(rng.uniform(0.78, 0.86))
    centre = (float(rng.normal(0, 0.04)), float(rng.uniform(0.5, 0.56)))
    womb(scene, rng, probe, centre, a)
    skull(scene, centre, a, b, angle)
    line = [place(centre, angle, s * a * 0.85, 0.0) for s in (-0.6, 0.5)]
    scene.paint(stroke(line, 0.006), 9.0, wall=4.0)
    for side in (-1, 1):
        lobe = ellipse(place(centre, angle, 0.66 * a, side * 0.22 * b), 0.17 * a, 0.2 * b, angle)
        scene.paint(grown(lobe, 0.012), 9.0)
        scene.paint(lobe, -3.0)
        eye = ellipse(place(centre, angle, -0.78 * a, side * 0.4 * b), 0.15 * a, 0.15 * a)
        scene.paint(grown(eye, 0.016), 13.0, wall=8.0)
        scene.paint(eye, FLUID)
    return scene


def sacral_position(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """Breech: the fetal sacrum (vertebrae with shadow) stands where the position says, bladder and thighs opposite."""
    scene = Scene(label=variant)
    angle = _bearing(variant, rng)
    a = float(rng.uniform(0.29, 0.34))
    b = a * float(rng.uniform(0.85, 0.95))
    centre = (float(rng.normal(0, 0.04)), float(rng.uniform(0.48, 0.55)))
    womb(scene, rng, probe, centre, a * 1.1)
    scene.paint(organic(rng, centre, a, b, angle, 0.02), -2.0, wall=12.0, texture=2.0)
    vertebrae: list[Shape] = []
    for k in (-1.5, -0.5, 0.5, 1.5):
        vertebrae.append(ellipse(place(centre, angle, a * (0.74 - 0.04 * k * k), k * 0.24 * b), 0.035, 0.03, angle))
    scene.paint(union(*vertebrae), 15.0, attenuation=2.5, wall=18.0)
    cyst(scene, ellipse(place(centre, angle, -0.3 * a, 0.0), 0.2 * a, 0.24 * a, angle))
    for side in (-1, 1):
        thigh = [place(centre, angle, -0.35 * a, side * 0.62 * b), place(centre, angle, -0.85 * a, side * 0.4 * b)]
        scene.paint(stroke(thigh, 0.013), 13.0, attenuation=2.0, wall=10.0)
        wing = [place(centre, angle, 0.45 * a, side * 0.3 * b), place(centre, angle, 0.1 * a, side * 0.75 * b)]
        scene.paint(stroke(wing, 0.01), 8.0, wall=6.0)
    return scene


def abdomen(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """The fetal abdomen across its axis: aorta (1), liver (2), stomach (3), umbilical vein (4); variant 1: stomach
    empty."""
    scene = Scene(grain=(0.3, 0.25))
    centre = (float(rng.normal(0, 0.05)), float(rng.uniform(0.5, 0.56)))
    a, b = float(rng.uniform(0.31, 0.37)), float(rng.uniform(0.28, 0.31))
    womb(scene, rng, probe, centre, a)
    side, turn = float(rng.choice([-1, 1])), float(rng.normal(0, 0.35))
    body = scene.paint(organic(rng, centre, a, b, 0.0, 0.02), -3.0, wall=14.0, texture=2.0)
    scene.paint(rim(body, 0.02), 7.0)

    def at(across: float, up: float) -> Point:
        return place(centre, turn, side * across * a, -up * b)

    liver_area = organic(rng, at(0.2, 0.12), 0.66 * a, 0.74 * b, turn, 0.04)
    stomach = organic(
        rng, at(-0.48, 0.08), 0.24 * a, float(rng.uniform(0.2, 0.3)) * b, turn + float(rng.normal(0, 0.3)), 0.08
    )
    spine = at(0.0, -0.78)
    shield = union(grown(stomach, 0.02), ellipse(spine, 0.4 * a, 0.34 * b, turn))
    liver = without(common(liver_area, grown(body, -0.03)), shield)
    scene.paint(liver, 5.0, texture=0.8, wall=4.0)
    vein_path = [at(0.02, 0.72), at(0.04, 0.4), at(0.18, 0.15), at(0.36, 0.08)]
    vein = stroke(vein_path, float(rng.uniform(0.022, 0.03)))
    scene.paint(grown(vein, 0.008), 8.0)
    scene.paint(vein, -28.0, wall=8.0)
    aorta = ellipse(at(-0.1, -0.42), 0.056, 0.052)
    vessel(scene, aorta, 10.0)
    scene.regions += [(2, liver), (4, vein), (1, aorta)]
    if variant != 1:
        cyst(scene, stomach)
        scene.regions.append((3, stomach))
    for k in (-1, 0, 1):
        bone(scene, ellipse(place(spine, turn, 0.045 * k, -0.03 * abs(k)), 0.02, 0.018), 3.0)
    return scene


def femur(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """The femur in its thigh; the two points are its ends, the left one first."""
    scene = Scene()
    length = float(rng.uniform(0.34, 0.62))
    centre = (float(rng.normal(0, 0.07)), float(rng.uniform(0.42, 0.62)))
    angle = float(rng.uniform(-0.55, 0.55))
    womb(scene, rng, probe, centre, length * 0.75)
    scene.paint(organic(rng, centre, length * 0.62, length * 0.26, angle, 0.04), -8.0, wall=8.0, texture=2.0)
    ends = [place(centre, angle, -length / 2, 0.0), place(centre, angle, length / 2, 0.0)]
    sag = place(centre, angle, 0.0, float(rng.uniform(-0.02, 0.02)))
    bone(scene, stroke([ends[0], sag, ends[1]], 0.015), 8.0)
    scene.points = sorted(ends)
    return scene


def labour(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """Transperineal view of labour: pubic symphysis (1) and fetal head (2); three points: the two ends of the
    symphysis, then where the tangent from its lower end touches the head (their angle is the angle of progression).
    Variant 1 shows the head alone."""
    scene = Scene()
    body_wall(scene, rng, probe, 0.07)
    a, b = float(rng.uniform(0.3, 0.36)), float(rng.uniform(0.24, 0.28))
    angle = float(rng.uniform(0.2, 0.9))
    centre = (float(rng.uniform(-0.02, 0.24)), float(rng.uniform(0.54, 0.68)))
    scene.paint(ellipse((centre[0], centre[1]), a + 0.03, b + 0.03, angle), -14.0, attenuation=0.4)
    outer = skull(scene, centre, a, b, angle, brain=-14.0)
    scene.regions.append((2, outer))
    if variant == 1:
        return scene
    tilt = float(rng.uniform(0.1, 1.1))
    middle = (float(rng.uniform(-0.42, -0.22)), float(rng.uniform(0.18, 0.34)))
    half = float(rng.uniform(0.095, 0.13))
    pubis = ellipse(middle, half, half * float(rng.uniform(0.36, 0.46)), tilt)
    scene.paint(grown(pubis, 0.014), 12.0, wall=12.0)
    scene.paint(pubis, -7.0, attenuation=1.0, texture=0.8)
    scene.regions.append((1, pubis))
    upper, lower = place(middle, tilt, -half, 0.0), place(middle, tilt, half, 0.0)
    touch = tangent_point(lower, centre, a, b, angle)
    if touch is not None:
        scene.points = [upper, lower, touch]
    return scene


def tangent_point(start: Point, centre: Point, a: float, b: float, angle: float) -> Point | None:
    """Where the right-hand tangent from `start` touches an ellipse; None from within it.

    In the ellipse's frame scaled to a circle, the contact points of (u, v) stand at atan2(v, u) +- acos(1 / |(u, v)|).
    The one that is further along +x of the scene is returned.
    """
    c, s = np.cos(angle), np.sin(angle)
    dx, dy = start[0] - centre[0], start[1] - centre[1]
    u, v = (c * dx + s * dy) / a, (c * dy - s * dx) / b
    reach = float(np.hypot(u, v))
    if reach <= 1:
        return None
    turn, swing = float(np.arctan2(v, u)), float(np.arccos(1 / reach))
    touching = [place(centre, angle, a * float(np.cos(turn + d)), b * float(np.sin(turn + d))) for d in (swing, -swing)]
    return max(touching)


def other(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """No standard plane: fluid, a hand or foot, the cord; what the class "other" holds."""
    scene = Scene()
    centre = (float(rng.normal(0, 0.1)), float(rng.uniform(0.45, 0.6)))
    womb(scene, rng, probe, centre, float(rng.uniform(0.25, 0.33)))
    turn = float(rng.uniform(0, 2 * np.pi))
    for k in range(int(rng.integers(3, 6))):
        root, tip = place(centre, turn + 0.35 * k, 0.06, 0.0), place(centre, turn + 0.35 * k, 0.15, 0.0)
        scene.paint(stroke([root, tip], 0.02), -2.0, wall=8.0)
        scene.paint(stroke([root, tip], 0.007), 11.0, attenuation=2.0)
    scene.paint(organic(rng, centre, 0.085, 0.075, turn, 0.1), 0.0, wall=8.0)
    cord = place(centre, turn + np.pi, 0.18, 0.0)
    scene.paint(arc(cord, 0.08, 0.05, turn, 0.0, 4.5, 0.018), 3.0, wall=6.0)
    scene.paint(arc(cord, 0.08, 0.05, turn, 0.0, 4.5, 0.007), -26.0)
    return scene
