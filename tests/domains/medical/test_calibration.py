"""Where on a picture millimetres hold: one calibrated plane, and nothing else."""

import numpy as np
import pytest

from domains.medical.intake.calibration import Calibration, Region, plausible

FINE, COARSE = (0.1, 0.1), (0.3, 0.2)
PLANE = Region((10, 20, 109, 99), FINE)


def mask_of(*boxes, shape=(120, 240)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0 : y1 + 1, x0 : x1 + 1] = True
    return mask


def test_a_spacing_of_the_whole_holds_everywhere_and_without_one_nothing_is_told():
    assert Calibration(FINE).of_box((0, 0, 500, 500)) == (FINE, None)
    assert Calibration(FINE).of_mask(mask_of((0, 0, 5, 5))) == (FINE, None)
    assert Calibration().of_box((0, 0, 1, 1)) == (None, None) and Calibration().spacing is None


def test_an_answer_must_lie_wholly_in_the_region():
    one = Calibration(None, (PLANE,))
    assert one.spacing == FINE
    inside = (10, 20, 109, 99)
    assert one.of_mask(mask_of(inside)) == (FINE, None) == one.of_box(inside)
    outside = (None, "outside-calibrated-region")
    for x0, y0, x1, y1 in ((9, 20, 109, 99), (10, 19, 109, 99), (10, 20, 110, 99), (10, 20, 109, 100)):
        assert one.of_mask(mask_of((x0, y0, x1, y1))) == outside
    assert one.of_mask(mask_of((20, 30, 25, 35), (200, 5, 200, 5))) == outside
    assert one.of_box((50, 50, 115, 60)) == outside == one.of_box((200, 5, 210, 10))
    # The file's other spacing is of no use where regions are.
    assert Calibration(COARSE, (PLANE,)).of_box((200, 5, 210, 10)) == outside


def test_regions_of_several_scales_and_views_of_one_scale():
    other = Region((120, 20, 219, 99), COARSE)
    two = Calibration(None, (PLANE, other))
    assert two.spacing is None
    assert two.of_box((20, 30, 60, 60)) == (FINE, None) and two.of_box((130, 30, 160, 60)) == (COARSE, None)
    assert two.of_box((60, 30, 160, 60))[1] == "outside-calibrated-region"
    dual = Calibration(None, (PLANE, Region((120, 20, 219, 99), FINE)))
    assert dual.spacing == FINE
    assert dual.of_mask(mask_of((20, 30, 60, 60), (130, 30, 160, 60)))[1] == "outside-calibrated-region"


def test_a_box_of_colour_in_the_plane_changes_nothing_and_one_of_another_scale_is_doubted():
    colour = Region((40, 40, 80, 80), FINE)
    assert Calibration(None, (PLANE, colour)).of_box((20, 30, 60, 60)) == (FINE, None)
    zoomed = Calibration(None, (PLANE, Region((40, 40, 80, 80), COARSE)))
    assert zoomed.of_box((20, 30, 60, 60)) == (None, "overlapping-regions") == zoomed.of_box((50, 50, 60, 60))
    assert zoomed.of_box((12, 22, 30, 30)) == (FINE, None)
    assert zoomed.of_mask(mask_of((12, 22, 30, 90), (12, 90, 100, 95))) == (FINE, None)


@pytest.mark.parametrize("whole", [None, FINE])
def test_time_and_velocity_are_no_lengths(whole):
    trace = Region((0, 60, 239, 119), None, spatial=False)
    both = Calibration(whole, () if whole else (Region((0, 0, 239, 119), FINE),))
    both = Calibration(whole, (*both.regions, trace))
    assert both.of_box((20, 5, 60, 50)) == (FINE, None)
    assert both.of_box((20, 5, 60, 70)) == (None, "not-a-plane") == both.of_box((20, 70, 60, 90))
    assert both.of_mask(mask_of((20, 5, 60, 60))) == (None, "not-a-plane")
    assert Calibration(None, (trace,)).of_box((20, 70, 60, 90)) == (None, None)


def test_plausible_sizes():
    assert plausible((0.005, 2.0)) and plausible((0.3, 0.2))
    assert not any(plausible(each) for each in ((0.004, 0.1), (0.1, 2.1), (2000.0, 2000.0), (float("nan"), 0.1)))
