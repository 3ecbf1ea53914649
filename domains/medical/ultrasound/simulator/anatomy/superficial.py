"""What a linear probe shows close under the skin: breast, thyroid, carotid artery, spinal cord."""

from __future__ import annotations

import numpy as np

from domains.medical.ultrasound.simulator.anatomy.tissue import FLUID, bone, cyst, muscle, organic, vessel
from domains.medical.ultrasound.simulator.probe import Probe
from domains.medical.ultrasound.simulator.scene import Scene, everywhere
from domains.medical.ultrasound.simulator.shapes import (
    Shape,
    below,
    blob,
    common,
    ellipse,
    grown,
    rim,
    stroke,
    union,
    wavy,
    without,
)

BENIGN, MALIGNANT, NORMAL = 0, 1, 2


def _skin(scene: Scene, depth: float = 0.035) -> None:
    scene.paint(without(everywhere, below(depth)), 8.0, wall=10.0)


def breast(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """Breast with a benign or malignant lesion or none (variant 0, 1, 2).

    Benign: a smooth ellipse lying along the skin, a thin bright capsule, enhancement behind. Malignant: a spiculated
    body about as tall as wide, a blurred bright halo, shadow behind.
    """
    scene = Scene(label=variant, grain=(0.22, 0.10))
    width = probe.half_width
    scene.paint(everywhere, 1.0, texture=2.5)
    gland = float(rng.uniform(0.16, 0.28))
    curve = wavy(gland, float(rng.normal(0, 0.04)), 0.03, float(rng.uniform(0.6, 1.2)), float(rng.uniform(0, 6)))
    scene.paint(without(everywhere, below(curve)), -8.0, texture=2.0, soft=0.03)
    for _ in range(int(rng.integers(3, 6))):
        x = float(rng.uniform(-width, width))
        end = (x + float(rng.normal(0, 0.12)), gland + 0.03)
        scene.paint(stroke([(x, 0.04), end], 0.003), 4.0, soft=0.008)
    _skin(scene)
    chest = float(rng.uniform(0.76, 0.86))
    muscle(scene, rng, chest, chest + 0.15)
    if variant == NORMAL:
        for _ in range(int(rng.integers(1, 4))):
            centre = (float(rng.uniform(-0.7, 0.7) * width), float(rng.uniform(gland + 0.08, chest - 0.12)))
            lobule = organic(rng, centre, float(rng.uniform(0.08, 0.16)), float(rng.uniform(0.02, 0.035)), 0.0, 0.1)
            scene.paint(lobule, -7.0, soft=0.03)
        return scene
    centre = (float(rng.uniform(-0.5, 0.5) * width), float(rng.uniform(gland + 0.12, chest - 0.17)))
    size = float(rng.uniform(0.09, 0.16))
    if variant == BENIGN:
        lesion = organic(
            rng, centre, size * 1.25, size * float(rng.uniform(0.62, 0.8)), float(rng.normal(0, 0.15)), 0.02
        )
        scene.paint(lesion, float(rng.uniform(-19, -14)), attenuation=0.05, wall=9.0, texture=0.8)
    else:
        waves = [
            (int(n), float(rng.uniform(0.07, 0.13)), float(rng.uniform(0, 6)))
            for n in rng.choice([6, 7, 9, 11, 13], 3, replace=False)
        ]
        waves += [(2, 0.07, float(rng.uniform(0, 6))), (3, 0.09, float(rng.uniform(0, 6)))]
        lesion = blob(centre, size * 0.9, size * float(rng.uniform(0.9, 1.15)), 0.0, waves, sharpness=2.0)
        scene.paint(grown(lesion, 0.012), 6.0, soft=0.03)
        scene.paint(
            lesion, float(rng.uniform(-20, -15)), attenuation=float(rng.uniform(1.1, 1.8)), texture=1.6, soft=0.012
        )
        for _ in range(int(rng.integers(0, 5))):
            x, y = centre[0] + float(rng.normal(0, size / 3)), centre[1] + float(rng.normal(0, size / 3))
            scene.paint(ellipse((x, y), 0.006, 0.005), 14.0)
    scene.regions.append((1, lesion))
    return scene


def _neck(rng: np.random.Generator, probe: Probe) -> tuple[Scene, float, float]:
    """Skin, strap muscles, trachea; returns the scene, the side of the lobe (-1 or 1) and the middle of the trachea."""
    scene = Scene(grain=(0.3, 0.12))
    scene.paint(everywhere, -3.0, texture=2.5)
    muscle(scene, rng, 0.08, float(rng.uniform(0.17, 0.22)))
    _skin(scene)
    side = float(rng.choice([-1, 1]))
    return scene, side, -side * probe.half_width * float(rng.uniform(0.55, 0.75))


def thyroid(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """A thyroid lobe beside the trachea and the carotid artery, with a nodule (variant 0) or without (1)."""
    scene, side, middle = _neck(rng, probe)
    lobe_centre = (side * probe.half_width * float(rng.uniform(-0.05, 0.12)), float(rng.uniform(0.42, 0.5)))
    lobe = organic(rng, lobe_centre, float(rng.uniform(0.32, 0.4)), float(rng.uniform(0.2, 0.25)), side * 0.1, 0.04)
    scene.paint(lobe, 4.0, texture=1.0, wall=8.0)
    trachea = (middle, 0.55)
    scene.paint(ellipse(trachea, 0.15, 0.2), -20.0, attenuation=4.0)
    bone(scene, common(rim(ellipse(trachea, 0.15, 0.2), 0.02), without(everywhere, below(0.5))), 3.0)
    carotid = (side * probe.half_width * float(rng.uniform(0.72, 0.82)), float(rng.uniform(0.5, 0.62)))
    vessel(scene, ellipse(carotid, 0.085, 0.08))
    if variant == 0:
        size = float(rng.uniform(0.07, 0.13))
        centre = (
            lobe_centre[0] + side * float(rng.uniform(0.0, 0.2)),
            lobe_centre[1] + float(rng.uniform(-0.08, 0.08)),
        )
        nodule = organic(rng, centre, size * float(rng.uniform(1.0, 1.35)), size, float(rng.normal(0, 0.3)), 0.05)
        halo = grown(nodule, 0.008)
        scene.paint(halo, -14.0)
        look = int(rng.integers(3))
        if look == 2:
            cyst(scene, nodule, echo=-26.0)
            scene.paint(ellipse((centre[0] + size * 0.3, centre[1] + size * 0.3), size * 0.4, size * 0.3), -3.0)
        else:
            scene.paint(nodule, -13.0 if look else -9.0, attenuation=0.7, wall=6.0, texture=1.5)
            for _ in range(int(rng.integers(2, 6)) * look):
                at = (centre[0] + float(rng.normal(0, size / 3)), centre[1] + float(rng.normal(0, size / 3)))
                scene.paint(ellipse(at, 0.007, 0.006), 14.0, attenuation=4.0)
        scene.regions.append((1, nodule))
        scene.target = nodule
    return scene


def carotid_artery(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """The common carotid artery across its axis, round and thick-walled, beside the flat jugular vein.

    Only the artery is labelled; in variant 1 it is left out of the picture and the vein stays.
    """
    scene, side, middle = _neck(rng, probe)
    scene.paint(organic(rng, (middle * 0.75, 0.45), 0.24, 0.17, 0.0), 4.0, wall=6.0)
    x = side * probe.half_width * float(rng.uniform(-0.1, 0.45))
    y, radius = float(rng.uniform(0.42, 0.66)), float(rng.uniform(0.1, 0.16))
    vein = (x + side * (radius + float(rng.uniform(0.12, 0.18))), y - float(rng.uniform(0.06, 0.14)))
    scene.paint(
        ellipse(vein, float(rng.uniform(0.11, 0.17)), float(rng.uniform(0.045, 0.07)), side * 0.4),
        -28.0,
        attenuation=0.1,
        wall=3.0,
    )
    if variant == 0:
        lumen = ellipse((x, y), radius * float(rng.uniform(1.0, 1.15)), radius, float(rng.normal(0, 0.3)))
        scene.paint(grown(lumen, 0.026), 1.0)
        scene.paint(grown(lumen, 0.016), -10.0)
        vessel(scene, lumen, 16.0)
        if rng.random() < 0.4:
            turn = float(rng.uniform(0, 2 * np.pi))
            plaque = ellipse((x + 0.8 * radius * np.cos(turn), y + 0.8 * radius * np.sin(turn)), 0.05, 0.03, turn)
            scene.paint(common(plaque, lumen), 2.0, texture=2.0)
        scene.regions.append((1, lumen))
    return scene


def spinal_cord(rng: np.random.Generator, probe: Probe, variant: int) -> Scene:
    """The exposed cord along its axis between bright dura lines; a haematoma is the target."""
    scene = Scene(grain=(0.4, 0.08))
    width = probe.half_width
    scene.paint(everywhere, -2.0, texture=2.5)
    slope, phase = float(rng.normal(0, 0.05)), float(rng.uniform(0, 6))
    period, height = float(rng.uniform(2.0, 4.0)), float(rng.uniform(0.0, 0.03))
    top, thick = float(rng.uniform(0.26, 0.36)), float(rng.uniform(0.24, 0.32))
    levels = [top - 0.07, top, top + thick, top + thick + 0.07]
    curves = [wavy(level, slope, height, period, phase) for level in levels]
    scene.paint(without(everywhere, below(levels[0] * 0.55)), FLUID, attenuation=0.05)
    scene.paint(common(below(curves[0]), without(everywhere, below(curves[3]))), FLUID, attenuation=0.1)
    cord = scene.paint(
        common(below(curves[1]), without(everywhere, below(curves[2]))), -11.0, wall=12.0, texture=1.0, attenuation=0.6
    )
    for curve in (curves[0], curves[3]):
        scene.paint(rim(below(curve), 0.018), 9.0, wall=16.0)
    canal = wavy(top + thick * 0.5, slope, height, period, phase)
    for shift in (-0.012, 0.012):
        line = rim(below(lambda x, s=shift: canal(x) + np.float32(s)), 0.006)
        scene.paint(line, 0.0, wall=4.0)
    bodies: list[Shape] = []
    for k in range(-6, 7):
        x = k * 0.32 + float(rng.normal(0, 0.01))
        bodies.append(ellipse((x, float(curves[3](np.array(x))) + 0.12), 0.12, 0.05, slope))
    bone(scene, union(*bodies), 3.0)
    x = float(rng.uniform(-0.68, 0.68) * width)
    centre = (x, float(canal(np.array(x))) + float(rng.uniform(-0.05, 0.05)))
    injury = organic(rng, centre, float(rng.uniform(0.12, 0.26)), thick * float(rng.uniform(0.26, 0.44)), slope, 0.1)
    scene.target = common(injury, cord)
    scene.paint(scene.target, float(rng.uniform(5, 9)), texture=2.0, soft=0.025, attenuation=0.8)
    return scene
