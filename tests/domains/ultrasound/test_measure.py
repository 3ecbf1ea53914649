"""Areas and distances by hand, in pixels and, with anisotropic spacing, in mm."""

import math

import numpy as np
import pytest

from domains.medical.ultrasound.predicting.decode import TaskAnswer
from domains.medical.ultrasound.predicting.measure import measurements

SPACING = (0.5, 0.2)  # mm per row, mm per column


def found(answer: TaskAnswer, spacing) -> dict[tuple[str, str], float]:
    entries = measurements(answer, spacing)
    assert len({(entry["name"], entry["unit"]) for entry in entries}) == len(entries)
    return {(entry["name"], entry["unit"]): entry["value"] for entry in entries}


def test_areas_of_the_classes_that_are_there():
    mask = np.zeros((10, 12), np.uint8)
    mask[2:5, 1:8] = 1
    mask[6:8, 3:4] = 3
    answer = TaskAnswer("segmentation", ("background", "head", "symphysis", "cyst"), mask=mask)
    assert found(answer, None) == {("area head", "px2"): 21, ("area cyst", "px2"): 2}
    assert found(answer, SPACING) == {
        ("area head", "px2"): 21,
        ("area head", "mm2"): pytest.approx(2.1),
        ("area cyst", "px2"): 2,
        ("area cyst", "mm2"): pytest.approx(0.2),
    }


def test_classes_without_names_are_numbered_and_an_empty_mask_measures_nothing():
    mask = np.full((4, 4), 2, np.uint8)
    assert found(TaskAnswer("segmentation", (), mask=mask), None) == {("area class 2", "px2"): 16}
    assert found(TaskAnswer("segmentation", (), mask=np.zeros((4, 4), np.uint8)), SPACING) == {}


def test_width_and_height_of_a_box():
    box = TaskAnswer("detection", (), box=(10.0, 20.0, 40.0, 30.0))
    assert found(box, None) == {("width", "px"): 30, ("height", "px"): 10}
    assert found(box, SPACING) == {
        ("width", "px"): 30, ("width", "mm"): 6, ("height", "px"): 10, ("height", "mm"): 5,
    }  # fmt: skip


def test_distances_from_each_point_to_the_next():
    points = TaskAnswer("keypoints", (), points=[(0.0, 0.0), (30.0, 40.0), (30.0, 0.0)])
    assert found(points, None) == {("distance 1-2", "px"): 50, ("distance 2-3", "px"): 40}
    assert found(points, SPACING) == {
        ("distance 1-2", "px"): 50,
        ("distance 1-2", "mm"): round(math.hypot(30 * 0.2, 40 * 0.5), 3),
        ("distance 2-3", "px"): 40,
        ("distance 2-3", "mm"): 20,
    }


def test_one_point_and_a_class_have_nothing_to_measure():
    assert measurements(TaskAnswer("keypoints", (), points=[(1.0, 2.0)]), SPACING) == []
    assert measurements(TaskAnswer("classification", (), probabilities=[0.5, 0.5]), SPACING) == []
