"""Cervix, ovary and uterus."""

from __future__ import annotations

import numpy as np

from domains.medical.ultrasound.simulator.anatomy.tissue import FLUID, body_wall, cyst, organic
from domains.medical.ultrasound.simulator.probe import Probe
from domains.medical.ultrasound.simulator.scene import Scene
from domains.medical.ultrasound.simulator.shapes import (
    Point,
    Shape,
    blob,
    common,
    ellipse,
    grown,
    place,
    rim,
    stroke,
    without,
)


def _cervix(rng: np.random.Generator, probe: Probe) -> tuple[Scene, Point, float, float, float, list[Point]]:
    """Bladder, amniotic fluid and a cervix lying across the picture.

    Returns the scene, the middle of the cervix, its angle, its half length, its half height, and its canal from the
    internal to the external os.
    """
    scene = Scene(grain=(0.25, 0.15))
    body_wall(scene, rng, probe, 0.08)
    half, tall = float(rng.uniform(0.24, 0.34)), float(rng.uniform(0.13, 0.17))
    centre = (float(rng.uniform(-0.08, 0.14)), float(rng.uniform(0.38, 0.6)))
    angle = float(rng.normal(0.0, 0.28))
    inner = place(centre, angle, -half * 1.25, 0.03)
    scene.paint(organic(rng, inner, 0.22, 0.19, angle, 0.08), FLUID, attenuation=0.1, wall=8.0)
    if rng.random() < 0.6:
        cyst(scene, organic(rng, place(centre, angle, -half * 0.7, -tall - 0.09), 0.13, 0.05, angle, 0.06))
    bend = float(rng.uniform(-0.035, 0.035))
    canal = [place(centre, angle, half * 0.9 * t, bend * (1 - t * t)) for t in np.linspace(-1, 1, 7, dtype=np.float64)]
    return scene, centre, angle, half, tall, canal


def cervix(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """The cervix along its canal: anterior lip (1) and posterior lip (2); two points: internal and external os.

    Variant 1 shows the anterior lip alone, the posterior one lying beneath a shadow of gas.
    """
    scene, centre, angle, half, tall, canal = _cervix(rng, probe)
    body = organic(rng, centre, half, tall, angle, 0.03)
    scene.paint(grown(body, 0.012), 7.0, wall=8.0)
    scene.paint(body, -6.0, texture=1.5, attenuation=0.5)
    line = _extended(canal)
    scene.paint(common(stroke(canal, 0.022), body), -10.0, soft=0.012)
    scene.paint(stroke(canal, 0.006), 9.0, wall=6.0)
    posterior = common(body, _under(line))
    scene.regions += [(1, without(body, _under(line)))]
    if variant == 1:
        gas = common(grown(body, 0.013), _under(line))
        scene.paint(gas, -24.0, attenuation=3.0)
    else:
        scene.regions.append((2, posterior))
    scene.points = [canal[0], canal[-1]]
    return scene


def cervix_whole(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """The same view with the whole cervix as region 1; variant 1 has no cervix in the plane."""
    if variant == 1:
        return _cervix(rng, probe)[0]
    scene = cervix(rng, probe, 0)
    scene.regions = [(1, shape) for _, shape in scene.regions]
    return scene


def _extended(canal: list[Point]) -> list[Point]:
    """The canal lengthened at both ends, so that it parts all of the cervix."""
    (x0, y0), (x1, y1) = canal[0], canal[1]
    (x2, y2), (x3, y3) = canal[-2], canal[-1]
    return [(x0 - 4 * (x1 - x0), y0 - 4 * (y1 - y0)), *canal, (x3 + 4 * (x3 - x2), y3 + 4 * (y3 - y2))]


def _under(line: list[Point]) -> Shape:
    """All deeper than a polyline that runs from left to right."""
    xs, ys = np.array([p[0] for p in line]), np.array([p[1] for p in line])
    return lambda x, y: np.asarray(np.interp(x, xs, ys) - y, np.float32)


def ovary_tumor(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """An ovarian mass (region 1): simple, septated, with a papilla, or solid; variant 1 is a normal ovary with
    follicles and no region."""
    scene = Scene(grain=(0.3, 0.2))
    body_wall(scene, rng, probe, float(rng.uniform(0.1, 0.14)))
    centre = (float(rng.uniform(-0.16, 0.16)), float(rng.uniform(0.44, 0.58)))
    if variant == 1:
        scene.paint(organic(rng, centre, 0.2, 0.13, float(rng.normal(0, 0.3)), 0.05), -7.0, wall=6.0)
        for _ in range(6):
            at = (centre[0] + float(rng.uniform(-0.14, 0.14)), centre[1] + float(rng.uniform(-0.07, 0.07)))
            cyst(scene, ellipse(at, float(rng.uniform(0.02, 0.032)), float(rng.uniform(0.02, 0.03))), 4.0)
        return scene
    a, b = float(rng.uniform(0.2, 0.34)), float(rng.uniform(0.15, 0.25))
    mass = organic(rng, centre, a, b, float(rng.normal(0, 0.4)), 0.07)
    scene.paint(grown(mass, 0.012), 6.0, wall=8.0)
    look = int(rng.integers(4))
    cyst(scene, mass, echo=(FLUID, -28.0, FLUID, -11.0)[look])
    if look == 1:
        for _ in range(3):
            turn = float(rng.uniform(0, np.pi))
            ends = [place(centre, turn, s * a * 1.4, float(rng.normal(0, 0.06))) for s in (-1, 1)]
            scene.paint(common(stroke(ends, 0.007), mass), 3.0, wall=6.0)
    elif look == 2:
        turn = float(rng.uniform(0, 2 * np.pi))
        at = (centre[0] + 0.75 * a * np.cos(turn), centre[1] + 0.75 * b * np.sin(turn))
        scene.paint(common(organic(rng, at, 0.09, 0.08, turn, 0.15), mass), 1.0, wall=6.0, texture=2.0)
    elif look == 3:
        scene.paint(mass, -11.0, attenuation=0.8, texture=3.0)
    scene.regions.append((1, mass))
    return scene


def uterine_fibroid(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """A uterus with its bright endometrium and one fibroid, the target: hypoechoic, whorled, shadowing at its edges."""
    scene = Scene(grain=(0.3, 0.2))
    body_wall(scene, rng, probe, float(rng.uniform(0.1, 0.15)))
    centre, angle = (float(rng.normal(0, 0.05)), float(rng.uniform(0.46, 0.56))), float(rng.normal(0, 0.25))
    cyst(scene, organic(rng, place(centre, angle, -0.34, -0.22), 0.2, 0.08, angle, 0.06))
    uterus = blob(centre, 0.42, 0.25, angle, [(1, 0.12, 0.0), (2, float(rng.normal(0, 0.04)), 0.3)])
    scene.paint(uterus, 2.0, wall=10.0, texture=1.5)
    lining = [place(centre, angle, t, 0.02 * float(np.cos(4 * t))) for t in (-0.26, -0.1, 0.05, 0.2)]
    scene.paint(stroke(lining, 0.035), -4.0)
    scene.paint(stroke(lining, 0.018), 9.0, soft=0.012)
    size = float(rng.uniform(0.085, 0.17))
    side = float(rng.choice([-1, 1]))
    at = place(centre, angle, float(rng.uniform(-0.26, 0.3)), side * float(rng.uniform(0.1, 0.16)))
    fibroid = organic(rng, at, size * float(rng.uniform(1.0, 1.25)), size, float(rng.uniform(0, 3)), 0.04)
    scene.paint(grown(fibroid, 0.012), 6.0)
    scene.paint(fibroid, float(rng.uniform(-16, -12)), attenuation=1.3, wall=8.0, texture=1.5)
    for scale in (0.72, 0.42):
        scene.paint(rim(ellipse(at, size * scale, size * scale * 0.85), 0.008), -8.0, soft=0.015)
    scene.target = fibroid
    return scene
