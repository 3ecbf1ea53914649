"""One simulated picture with its label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domains.medical.ultrasound.simulator.probe import Frame, Probe
from domains.medical.ultrasound.simulator.scene import (
    INTERFACE_THICKNESS,
    Scene,
    acoustic_maps,
    index_mask,
    tight_box,
)
from domains.medical.ultrasound.simulator.speckle import Settings, envelope, log_compress
from domains.medical.ultrasound.simulator.tasks import Preset, Sheet, sheet


@dataclass(frozen=True)
class Simulated:
    """A picture and its label; what the task does not ask for is None.

    Attributes:
        image: (height, width) uint8, black off the insonified field.
        mask: (height, width) uint8 classes.
        label: class.
        box: (x_min, y_min, x_max, y_max) pixels: first column and row, last ones plus one.
        points: (x, y) pixels, sub-pixel; the centre of pixel (column j, row i) is (j, i).
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None = None
    label: int | None = None
    box: tuple[float, float, float, float] | None = None
    points: tuple[tuple[float, float], ...] | None = None


def phantom(
    task: str,
    seed: int | tuple[int, ...] = 0,
    size: tuple[int, int] | None = None,
    variant: int | None = None,
    picture: bool = True,
) -> Simulated:
    """Simulates one picture of a task.

    Args:
        task: an official task name.
        seed: seed or seeds; equal arguments give equal pictures.
        size: (height, width) in pixels; by default drawn between 256 and 512.
        variant: which of the task's variants: the class for classification; by default drawn.
        picture: False computes the label alone and leaves the image black, which is quick.

    Raises:
        ValueError: unknown task or variant, or an image too small.
    """
    plan = sheet(task)
    rng = np.random.default_rng(seed)
    if variant is None:
        variant = int(rng.choice(plan.cycle))
    elif variant not in plan.cycle:
        raise ValueError(f"{task} has no variant {variant}; it has {', '.join(map(str, sorted(set(plan.cycle))))}")
    shape = size or draw_size(rng, plan.probe)
    probe = draw_probe(rng, plan.probe, shape)
    shift = (float(rng.uniform(-1, 1)), float(rng.uniform(-1, 0.2)))
    frame = Frame.fitted(probe, shape, float(rng.uniform(0.0, 0.04)), shift)
    scene = draw_scene(rng, plan, probe, variant)
    image = take_picture(rng, scene, frame) if picture else np.zeros(shape, np.uint8)
    points = tuple(frame.pixel(point) for point in scene.points or ())
    return Simulated(
        image,
        index_mask(scene, frame) if plan.kind == "segmentation" else None,
        scene.label if plan.kind == "classification" else None,
        tight_box(scene, frame) if plan.kind == "detection" else None,
        points if plan.kind == "keypoints" else None,
    )


def draw_size(rng: np.random.Generator, preset: Preset, bounds: tuple[int, int] = (256, 512)) -> tuple[int, int]:
    """(height, width) within bounds, about as wide for its height as the preset's field."""
    low, high = bounds
    if not 32 <= low <= high:
        raise ValueError(f"sizes run from at least 32 pixels upwards, got {low} to {high}")
    ratio = {"wide": 0.42, "linear": 0.85, "phased": 0.95}.get(preset, 0.8) * float(rng.uniform(0.92, 1.15))
    width = int(rng.integers(low, high + 1))
    return int(np.clip(round(width * ratio), low, high)), width


def draw_probe(rng: np.random.Generator, preset: Preset, shape: tuple[int, int]) -> Probe:
    """A transducer of the preset with settings of a day; linear probes fill the image's form."""
    focus = float(rng.uniform(0.4, 0.65))
    if preset in ("linear", "wide"):
        aspect = np.clip(shape[1] / shape[0], 1.0, 2.4 if preset == "wide" else 1.5)
        depth = float(rng.uniform(3.0, 4.0))
        return Probe("linear", float(rng.uniform(8, 11)), depth, focus, half_width=float(aspect) / 2)
    if preset == "phased":
        return Probe("sector", float(rng.uniform(2.5, 3.5)), 15.0, focus, radius=0.03, half_angle=0.68)
    if preset == "endocavity":
        radius, angle = float(rng.uniform(0.1, 0.18)), float(rng.uniform(0.85, 1.0))
        return Probe("sector", float(rng.uniform(5, 7)), 8.0, focus, radius=radius, half_angle=angle)
    radius, angle = float(rng.uniform(0.35, 0.55)), float(rng.uniform(0.58, 0.68))
    return Probe(
        "sector", float(rng.uniform(3, 4.5)), float(rng.uniform(12, 16)), focus, radius=radius, half_angle=angle
    )


def draw_scene(rng: np.random.Generator, plan: Sheet, probe: Probe, variant: int) -> Scene:
    """A scene whose points and target lie in the field; the anatomy is drawn anew until they do."""
    for _ in range(200):
        scene = plan.draw(rng, probe, variant)
        if _fits(scene, plan, probe):
            return scene
    raise ValueError(f"no {plan.name} fits the field of {probe}; choose a wider image")


def _fits(scene: Scene, plan: Sheet, probe: Probe) -> bool:
    if plan.kind == "keypoints" and scene.points is None:
        return False
    if not all(probe.holds(point) for point in scene.points or ()):
        return False
    if plan.kind == "detection" and scene.target is not None:
        half, top, bottom = probe.extent
        x, y = np.meshgrid(
            np.linspace(-half * 1.2, half * 1.2, 97, dtype=np.float32),
            np.linspace(top - 0.1, bottom + 0.1, 97, dtype=np.float32),
        )
        inside = scene.target(x, y) < 0
        depth, lateral = probe.beam(x[inside], y[inside])
        return bool(inside.any() and (depth > 0.02).all() and (depth < 0.98).all() and (np.abs(lateral) < 0.97).all())
    return True


def take_picture(rng: np.random.Generator, scene: Scene, frame: Frame) -> NDArray[np.uint8]:
    """Images a scene: maps on the beams, echoes, log compression, scan conversion, side bars; (height, width) uint8."""
    probe = frame.probe
    samples = int(np.clip(round(frame.scale), 160, 400))
    lines = int(np.clip(round(2 * probe.extent[0] * frame.scale / 2.5), 96, 192))
    settings = Settings(
        dynamic_range=float(rng.uniform(54, 66)),
        gain=float(rng.normal(0, 2.5)),
        tgc=tuple(rng.normal(0, 1.5, 6)),
        noise=float(rng.uniform(-62, -52)),
        grey=float(rng.uniform(0.42, 0.52)),
    )
    echo, attenuation, interface = acoustic_maps(scene, probe, rng, samples, lines)
    amplitude = envelope(rng, echo, attenuation, interface, probe, settings, INTERFACE_THICKNESS)
    image = frame.convert(log_compress(amplitude, settings))
    image = np.rint(image * 255).astype(np.uint8)
    if rng.random() < 0.35:
        _side_bars(rng, image, frame)
    return image


def _side_bars(rng: np.random.Generator, image: NDArray[np.uint8], frame: Frame) -> None:
    """A grey scale at the left and depth marks at the right, only where the field leaves the image black."""
    height, width = frame.shape
    free = ~frame.field()[2]
    top, bottom = int(0.08 * height), int(0.42 * height)
    ramp = np.linspace(255, 0, bottom - top).astype(np.uint8)
    bar = (slice(top, bottom), slice(3, 3 + max(width // 60, 3)))
    if free[bar].all():
        image[bar] = ramp[:, None]
    for k in range(11):
        row = round(frame.top + frame.scale * k / 10)
        mark = (slice(row, row + 1), slice(width - (8 if k % 5 == 0 else 5), width - 2))
        if 0 <= row < height and free[mark].all():
            image[mark] = 190
