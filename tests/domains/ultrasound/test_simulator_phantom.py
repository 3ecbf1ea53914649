"""Phantoms: every task's label agrees with what is drawn."""

import numpy as np
import pytest
from scipy import ndimage

from domains.medical.ultrasound.simulator import phantom
from domains.medical.ultrasound.simulator.anatomy.obstetric import POSITIONS, _bearing, tangent_point
from domains.medical.ultrasound.simulator.probe import Frame, Probe
from domains.medical.ultrasound.simulator.scene import Scene, index_mask, tight_box
from domains.medical.ultrasound.simulator.shapes import blob, ellipse, place, stroke
from domains.medical.ultrasound.simulator.tasks import SHEETS

SIZE = (176, 208)


def mask_of(made):
    assert made.mask is not None
    return made.mask


OFFICIAL = {
    "breast_lesion": 2, "cardiac_multi": 4, "carotid_artery": 2, "cervix": 2, "cervix_multi": 3,
    "fetal_abdomen_multi": 5, "fetal_head": 2, "fetal_heart": 2, "head_symphysis_multi": 3, "lung": 2,
    "ovary_tumor": 2, "thyroid_nodule": 2, "breast_2cls": 2, "breast_3cls": 3, "fetal_head_pos_cls": 8,
    "fetal_plane_cls": 6, "fetal_sacral_pos_cls": 8, "liver_lesion_2cls": 2, "lung_2cls": 2, "lung_disease_3cls": 3,
    "organ_cls": 6, "spinal_cord_injury_loc": 1, "thyroid_nodule_det": 1, "uterine_fibroid_det": 1,
    "FUGC": 2, "IUGC": 3, "fetal_femur": 2,
}  # fmt: skip


def test_the_tasks_are_the_official_ones():
    assert {name: sheet.outputs for name, sheet in SHEETS.items()} == OFFICIAL


@pytest.mark.parametrize("task", SHEETS)
def test_labels_lie_in_the_picture(task):
    sheet = SHEETS[task]
    for seed in range(3):
        made = phantom(task, (seed, 8), SIZE)
        height, width = made.image.shape
        assert (height, width) == SIZE
        assert made.image.dtype == np.uint8
        assert 8 < made.image.mean() < 200
        given = [made.mask is not None, made.label is not None, made.box is not None, made.points is not None]
        assert given == [sheet.kind == k for k in ("segmentation", "classification", "detection", "keypoints")]
        if made.mask is not None:
            assert made.mask.shape == SIZE
            assert made.mask.max() < sheet.outputs
        if made.label is not None:
            assert 0 <= made.label < sheet.outputs
        if made.box is not None:
            x0, y0, x1, y1 = made.box
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
            assert made.image[int(y0) : int(y1), int(x0) : int(x1)].mean() > 0
        if made.points is not None:
            assert len(made.points) == sheet.outputs
            assert all(0 <= x <= width - 1 and 0 <= y <= height - 1 for x, y in made.points)


def test_equal_arguments_give_equal_pictures_and_others_do_not():
    first, again, other = (phantom("thyroid_nodule", seed, SIZE) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)
    quick = phantom("thyroid_nodule", 4, SIZE, picture=False)
    np.testing.assert_array_equal(mask_of(first), mask_of(quick))
    assert not quick.image.any()


@pytest.mark.parametrize("task", [name for name, sheet in SHEETS.items() if sheet.kind == "segmentation"])
def test_every_class_is_drawn_and_some_pictures_lack_one(task):
    sheet = SHEETS[task]
    full = [np.unique(mask_of(phantom(task, (k, 2), SIZE, sheet.cycle[0], picture=False))).size for k in range(4)]
    assert full == [sheet.outputs] * 4
    if sheet.cycle[-1] != sheet.cycle[0] and task not in ("breast_lesion", "lung"):
        lacking = mask_of(phantom(task, (9, 2), SIZE, sheet.cycle[-1], picture=False))
        assert np.unique(lacking).size == sheet.outputs - 1


@pytest.mark.parametrize(
    ("task", "number", "darker"),
    [
        ("carotid_artery", 1, True),
        ("cardiac_multi", 1, True),
        ("breast_lesion", 1, True),
        ("fetal_abdomen_multi", 3, True),
    ],
)
def test_what_is_labelled_stands_out_from_its_surroundings(task, number, darker):
    for seed in range(4):
        made = phantom(task, (seed, 3), (256, 300), 0)
        inside = mask_of(made) == number
        wide, near = (np.asarray(ndimage.binary_dilation(inside, iterations=n), bool) for n in (12, 2))
        around = wide & ~near
        difference = made.image[around].mean() - made.image[inside].mean()
        assert (difference > 20) == darker


def test_cyst_enhances_and_carcinoma_shadows():
    behind = {}
    for variant in (0, 1):
        values = []
        for seed in range(6):
            made = phantom("breast_lesion", (seed, 6), (256, 300), variant)
            rows, columns = np.nonzero(mask_of(made))
            under = slice(rows.max() + 4, rows.max() + 20)
            middle = int(columns.mean())
            beside = np.r_[0:20, -20:0]
            strip = made.image[under].astype(float)
            values.append(strip[:, middle - 8 : middle + 8].mean() - np.median(strip[:, beside][strip[:, beside] > 0]))
        behind[variant] = np.mean(values)
    assert behind[0] > behind[1] + 25
    assert behind[1] < -25


def test_positions_turn_clockwise_from_the_top():
    rng = np.random.default_rng(0)
    for variant, (name, _) in enumerate(POSITIONS):
        angle = _bearing(variant, rng)
        x, y = np.cos(angle), np.sin(angle)
        if "Transverse" not in name:
            assert (y < 0) == ("Anterior" in name)
        assert np.sign(round(x)) == (1 if "Left" in name and abs(x) > 0.5 else -1 if abs(x) > 0.5 else 0)


def test_the_tangent_touches_once():
    start, centre, a, b, angle = (-0.5, 0.1), (0.1, 0.6), 0.35, 0.25, 0.6
    touch = tangent_point(start, centre, a, b, angle)
    assert touch is not None
    along = np.array(touch) + np.linspace(-0.5, 0.5, 2001)[:, None] * (np.array(touch) - np.array(start))
    distance = ellipse(centre, a, b, angle)(along[:, 0], along[:, 1])
    assert distance.min() > -1e-4
    assert abs(int(distance.argmin()) - 1000) <= 5
    assert tangent_point(centre, centre, a, b, angle) is None


def test_shapes_are_negative_inside_and_near_the_distance():
    angles = np.linspace(0, 2 * np.pi, 50)
    edge = np.array([place((0.2, 0.3), 0.5, 0.3 * np.cos(t), 0.1 * np.sin(t)) for t in angles])
    np.testing.assert_allclose(ellipse((0.2, 0.3), 0.3, 0.1, 0.5)(edge[:, 0], edge[:, 1]), 0, atol=1e-6)
    assert ellipse((0.2, 0.3), 0.3, 0.1)(np.array(0.2), np.array(0.3)) == pytest.approx(-0.1, rel=1e-3)
    plain = blob((0.2, 0.3), 0.3, 0.1, 0.5, [])
    np.testing.assert_allclose(plain(edge[:, 0], edge[:, 1]), 0, atol=1e-6)
    bar = stroke([(0.0, 0.0), (1.0, 0.0)], 0.1)
    np.testing.assert_allclose(bar(np.array([0.5, 0.5, 2.0]), np.array([0.0, 0.3, 0.0])), [-0.1, 0.2, 0.9], atol=1e-6)
    with pytest.raises(ValueError, match="positive semi-axes"):
        ellipse((0, 0), 0.0, 1.0)


def test_masks_and_boxes_follow_the_geometry():
    frame = Frame.fitted(Probe("linear", 8.0, 4.0, 0.5, half_width=0.6), (300, 360), 0.0)
    target = ellipse((0.1, 0.5), 0.2, 0.1)
    scene = Scene(regions=[(1, ellipse((0.1, 0.5), 0.25, 0.2)), (2, target)], target=target)
    mask = index_mask(scene, frame)
    assert (mask == 2).sum() == pytest.approx(np.pi * 0.02 * frame.scale**2, rel=0.01)
    assert (mask > 0).sum() == pytest.approx(np.pi * 0.05 * frame.scale**2, rel=0.01)
    x0, y0, x1, y1 = tight_box(scene, frame)
    rows, columns = np.nonzero(mask == 2)
    assert (x0, y0, x1, y1) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert (x0 + x1 - 1) / 2 == pytest.approx(frame.pixel((0.1, 0.5))[0], abs=0.6)
    with pytest.raises(ValueError, match="no target"):
        tight_box(Scene(), frame)


def test_wrong_asks_are_refused():
    with pytest.raises(ValueError, match=r"no task 'fetal_hed'; known: .*fetal_head"):
        phantom("fetal_hed")
    with pytest.raises(ValueError, match="no variant 7"):
        phantom("breast_2cls", variant=7)
