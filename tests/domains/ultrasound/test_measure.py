"""Measures by hand, in pixels and, with pixels that are no squares, in mm; and where there are no mm."""

import math

import numpy as np
import pytest

from domains.medical.intake.calibration import Calibration, Region
from domains.medical.ultrasound.predicting.decode import TaskAnswer
from domains.medical.ultrasound.predicting.measure import angle_of_progression, measure, of_case

SPACING = (0.5, 0.2)  # mm per row, mm per column
MM = Calibration(SPACING)


def found(answer: TaskAnswer, calibration=None, task="any") -> dict[tuple[str, str], float]:
    entries = measure(task, answer, calibration or Calibration()).entries
    assert len({(entry["name"], entry["unit"]) for entry in entries}) == len(entries)
    return {(entry["name"], entry["unit"]): entry["value"] for entry in entries}


def test_areas_and_axes_of_the_classes_that_are_there():
    mask = np.zeros((10, 12), np.uint8)
    mask[2:5, 1:8] = 1
    mask[6:8, 3:4] = 3
    answer = TaskAnswer("segmentation", ("background", "head", "symphysis", "cyst"), mask=mask)
    pixels = found(answer)
    assert pixels[("area head", "px2")] == 21 and pixels[("area cyst", "px2")] == 2
    assert pixels[("long axis cyst", "px")] == 2 and pixels[("short axis cyst", "px")] == 1
    assert {unit for _, unit in pixels} == {"px", "px2"} and len(pixels) == 6
    both = found(answer, MM)
    assert both.items() >= pixels.items()
    assert both[("area head", "mm2")] == pytest.approx(2.1) and both[("area cyst", "mm2")] == pytest.approx(0.2)
    assert both[("long axis cyst", "mm")] == 1 and both[("short axis cyst", "mm")] == 0.2


def test_classes_without_names_are_numbered_and_an_empty_mask_measures_nothing():
    mask = np.full((4, 4), 2, np.uint8)
    assert found(TaskAnswer("segmentation", (), mask=mask))[("area class 2", "px2")] == 16
    assert found(TaskAnswer("segmentation", (), mask=np.zeros((4, 4), np.uint8)), MM) == {}


def test_width_and_height_of_a_box():
    box = TaskAnswer("detection", (), box=(10.0, 20.0, 40.0, 30.0))
    assert found(box) == {("width", "px"): 30, ("height", "px"): 10}
    assert found(box, MM) == {
        ("width", "px"): 30, ("width", "mm"): 6, ("height", "px"): 10, ("height", "mm"): 5,
    }  # fmt: skip


def test_distances_from_each_point_to_the_next():
    points = TaskAnswer("keypoints", (), points=[(0.0, 0.0), (30.0, 40.0), (30.0, 0.0)])
    assert found(points) == {("distance 1-2", "px"): 50, ("distance 2-3", "px"): 40}
    assert found(points, MM) == {
        ("distance 1-2", "px"): 50,
        ("distance 1-2", "mm"): round(math.hypot(30 * 0.2, 40 * 0.5), 3),
        ("distance 2-3", "px"): 40,
        ("distance 2-3", "mm"): 20,
    }


def test_one_point_and_a_class_have_nothing_to_measure():
    assert measure("any", TaskAnswer("keypoints", (), points=[(1.0, 2.0)]), MM).entries == []
    assert measure("any", TaskAnswer("classification", (), probabilities=[0.5, 0.5]), MM).entries == []


def head(spacing=(0.5, 0.25), half=(30.0, 24.0), centre=(50.0, 50.0)) -> TaskAnswer:
    """A head of half axes (along x, along y) in mm, in a picture of 100 x 100 mm."""
    height, width = (round(100 / step) for step in spacing)
    y, x = (np.indices((height, width)) + 0.5) * np.reshape(spacing, (2, 1, 1))
    mask = ((x - centre[1]) / half[0]) ** 2 + ((y - centre[0]) / half[1]) ** 2 <= 1
    return TaskAnswer("segmentation", ("background", "head"), mask=mask.astype(np.uint8))


def test_the_circumference_and_diameters_of_a_fetal_head():
    spacing = (0.5, 0.25)
    measured = found(head(spacing), Calibration(spacing), "fetal_head")
    h = (6 / 54) ** 2
    circumference = math.pi * 54 * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))
    assert measured["head circumference", "mm"] == pytest.approx(circumference, rel=1e-3)
    assert measured["biparietal diameter", "mm"] == pytest.approx(48, rel=1e-3)
    assert measured["occipitofrontal diameter", "mm"] == pytest.approx(60, rel=1e-3)
    # In pixels the head is another ellipse: of half axes 30 / 0.25 and 24 / 0.5.
    assert measured["biparietal diameter", "px"] == pytest.approx(96, rel=1e-3)
    assert measured["occipitofrontal diameter", "px"] == pytest.approx(240, rel=1e-3)
    assert ("head circumference", "px") not in found(head(spacing), Calibration(spacing), "thyroid_nodule")
    assert ("head circumference", "mm") not in found(head(spacing), Calibration(), "fetal_head")


def test_a_head_at_the_border_is_said_to_be_a_lower_bound():
    whole = measure("fetal_head", head(), Calibration())
    cut = measure("fetal_head", head(centre=(50.0, 20.0)), Calibration())
    assert whole.warnings == [] and cut.warnings == ["touches-border"]
    sizes = [{entry["name"]: entry["value"] for entry in each.entries} for each in (whole, cut)]
    assert sizes[1]["head circumference"] < sizes[0]["head circumference"]
    assert sizes[1]["long axis head"] < sizes[0]["long axis head"]
    assert of_case("fetal_head", cut.warnings) == ["touches-border"] and of_case("lung", cut.warnings) == []


def test_of_several_pieces_the_largest_is_measured_with_a_note():
    answer = head()
    assert answer.mask is not None
    lone = found(answer, task="fetal_head")
    answer.mask[2:22, 2:62] = 1
    measured = measure("fetal_head", answer, Calibration())
    assert measured.warnings == ["several-pieces"]
    sizes = {(entry["name"], entry["unit"]): entry["value"] for entry in measured.entries}
    assert sizes.pop(("area head", "px2")) == lone.pop(("area head", "px2")) + 20 * 60
    assert sizes == lone


@pytest.mark.parametrize("degrees", [0.0, 75.0, 90.0, 120.0, 180.0])
@pytest.mark.parametrize("turn", [0.0, 200.0])
def test_the_angle_of_progression_in_millimetres(degrees, turn):
    lower = np.array([30.0, 40.0])  # mm
    ends = [lower + length * np.array([math.cos(math.radians(a)), math.sin(math.radians(a))])
            for length, a in ((20, turn), (45, turn - degrees))]  # fmt: skip
    step = np.array([SPACING[1], SPACING[0]])
    points = [tuple((place / step).tolist()) for place in (ends[0], lower, ends[1])]
    answer = TaskAnswer("keypoints", (), points=points)
    measured = found(answer, MM, "IUGC")
    assert measured["angle of progression", "deg"] == pytest.approx(degrees, abs=1e-3)
    assert measured["symphysis length", "mm"] == pytest.approx(20, abs=1e-3)
    assert {name for name, _ in measured} == {"angle of progression", "symphysis length"}
    square = found(TaskAnswer("keypoints", (), points=[tuple(p) for p in (ends[0], lower, ends[1])]), task="IUGC")
    assert square["angle of progression", "deg"] == pytest.approx(degrees, abs=1e-3)


def test_an_angle_needs_two_rays():
    assert angle_of_progression((1.0, 1.0), (1.0, 1.0), (5.0, 5.0), (1.0, 1.0)) is None
    points = [(1.0, 1.0), (1.0, 1.0), (5.0, 5.0)]
    assert found(TaskAnswer("keypoints", (), points=points), task="IUGC") == {("symphysis length", "px"): 0}


def test_lengths_bear_the_fields_names():
    points = TaskAnswer("keypoints", (), points=[(0.0, 0.0), (3.0, 4.0)])
    assert found(points, task="FUGC") == {("cervical length", "px"): 5}
    assert found(points, task="fetal_femur") == {("femur length", "px"): 5}


def test_each_region_measures_by_its_own_scale():
    two = Calibration(None, (Region((0, 0, 99, 99), (0.1, 0.1)), Region((100, 0, 199, 99), (0.2, 0.4))))
    left = TaskAnswer("detection", (), box=(10.0, 10.0, 60.0, 40.0))
    right = TaskAnswer("detection", (), box=(110.0, 10.0, 160.0, 40.0))
    across = TaskAnswer("detection", (), box=(60.0, 10.0, 160.0, 40.0))
    assert found(left, two)["width", "mm"] == 5 and found(left, two)["height", "mm"] == 3
    assert found(right, two)["width", "mm"] == 20 and found(right, two)["height", "mm"] == 6
    assert found(across, two) == {("width", "px"): 100, ("height", "px"): 30}
    assert measure("any", across, two).warnings == ["outside-calibrated-region"]
    mask = np.zeros((100, 200), np.uint8)
    mask[10:20, 10:20], mask[10:20, 150:160] = 1, 2
    measured = found(TaskAnswer("segmentation", (), mask=mask), two)
    assert measured["area class 1", "mm2"] == 1 and measured["area class 2", "mm2"] == 8
    mask[mask > 0] = 1
    whole = measure("any", TaskAnswer("segmentation", (), mask=mask), two)
    assert [entry["unit"] for entry in whole.entries if entry["name"].startswith("area")] == ["px2"]
    assert whole.warnings == ["outside-calibrated-region", "several-pieces"]
    # Its largest piece, though, lies in one region.
    assert any(entry["unit"] == "mm" for entry in whole.entries)
