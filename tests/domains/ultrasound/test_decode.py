"""Raw outputs to answers in the pixels of each image, the published way and the mended way."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from domains.medical.ultrasound.data.geometry import Frame
from domains.medical.ultrasound.predicting.decode import decode
from domains.medical.ultrasound.presets import PRESETS
from polyhead.tasks import TaskSpec

PUBLISHED, MENDED = PRESETS["mh-mtl"].network, PRESETS["mh-mtl-plus"].network
SIDE = 64


def task(kind: str, outputs: int) -> TaskSpec:
    return TaskSpec("task", kind, "fpn", outputs)


def frames(sizes, network) -> list[Frame]:
    return [Frame.fit(h, w, SIDE, keep_aspect=network.keep_aspect) for h, w in sizes]


@pytest.fixture(scope="module")
def logits():
    return torch.randn(3, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


SIZES = [(100, 150), (64, 64), (37, 211)]


def test_mended_masks_are_upsampled_before_the_argmax(logits):
    placed = frames(SIZES, MENDED)
    for index, answer in enumerate(decode(logits, task("segmentation", 4), placed, MENDED)):
        frame = placed[index]
        inner = logits[index : index + 1, :, : frame.inner_height, : frame.inner_width]
        expected = functional.interpolate(inner, size=SIZES[index], mode="bilinear").argmax(1)[0].numpy()
        assert answer.mask is not None and answer.mask.dtype == np.uint8 and answer.mask.shape == SIZES[index]
        assert np.array_equal(answer.mask, expected)


def test_published_masks_are_argmax_then_nearest_neighbour(logits):
    for index, answer in enumerate(decode(logits, task("segmentation", 4), frames(SIZES, PUBLISHED), PUBLISHED)):
        height, width = SIZES[index]
        small = logits[index].argmax(0).numpy()
        rows, columns = np.arange(height) * SIDE // height, np.arange(width) * SIDE // width
        assert answer.mask is not None and np.array_equal(answer.mask, small[rows][:, columns])


@pytest.mark.parametrize("network", [PUBLISHED, MENDED])
def test_confidence_goes_from_0_for_uniform_to_1_for_certain(network):
    placed = frames([(50, 60)], network)
    for outputs in (2, 5):
        segmentation, classes = task("segmentation", outputs), task("classification", outputs)
        for value, expected in ((0.0, 0.0), (200.0, 1.0)):
            raw = torch.zeros(1, outputs, SIDE, SIDE)
            raw[:, 1] = value
            assert decode(raw, segmentation, placed, network)[0].confidence == expected
            raw[:, 1], raw[:, 0] = 0.0, value
            assert decode(raw, segmentation, placed, network)[0].confidence == expected
            assert decode(raw[:, :, 0, 0], classes, placed, network)[0].confidence == expected
    one = decode(torch.zeros(1, 1, SIDE, SIDE), task("segmentation", 1), placed, network)[0]
    assert one.confidence == 1 and not one.mask.any()  # pyright: ignore[reportOptionalMemberAccess]


def test_the_padding_has_no_say_in_the_confidence_of_a_mask():
    raw = torch.zeros(1, 2, SIDE, SIDE)
    raw[:, 0, 32:] = 200.0  # a wide image fills the upper half: certain padding, uncertain image
    wide = frames([(100, 200)], MENDED)
    assert decode(raw, task("segmentation", 2), wide, MENDED)[0].confidence == 0
    raw[:, 1, 32:] = 400.0  # padding that is called foreground
    assert decode(raw, task("segmentation", 2), wide, MENDED)[0].confidence == 0


def test_class_probabilities_are_the_softmax():
    raw = torch.tensor([[0.0, math.log(3.0)], [100.0, -100.0]])
    first, second = decode(raw, task("classification", 2), frames([(9, 9)] * 2, PUBLISHED), PUBLISHED)
    assert first.probabilities == pytest.approx([0.25, 0.75])
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(2)
    assert first.confidence == pytest.approx(1 - entropy, abs=1e-4)
    assert second.probabilities == pytest.approx([1, 0]) and sum(second.probabilities or ()) == pytest.approx(1)


def test_published_boxes_are_read_at_the_best_cell_and_scaled_to_the_image():
    raw = torch.zeros(2, 5, 16, 16)
    raw[:, 4] = -5.0
    raw[0, :, 3, 7] = torch.tensor([0.1, 0.2, 0.5, 0.9, 2.0])
    raw[1, :, 15, 15] = torch.tensor([0.6, 0.7, 0.4, 0.3, 1.0])  # the published head does not order the corners
    first, second = decode(raw, task("detection", 1), frames([(100, 400), (50, 50)], PUBLISHED), PUBLISHED)
    assert first.box == pytest.approx((40, 20, 200, 90), abs=1e-4)
    assert first.score == first.confidence == pytest.approx(1 / (1 + math.exp(-2)), abs=1e-4)
    assert second.box == pytest.approx((30, 35, 20, 15), abs=1e-4)


@pytest.mark.parametrize(("height", "width"), [(90, 120), (120, 90), (71, 71)])
def test_mended_boxes_are_centre_and_size_inside_the_image(height, width):
    frame = Frame.fit(height, width, SIDE, keep_aspect=True)
    box = np.array([0.1 * width, 0.3 * height, 0.7 * width, 0.8 * height])
    x0, y0, x1, y1 = frame.to_input(box.reshape(2, 2)).reshape(4)
    raw = torch.full((1, 5, 16, 16), -9.0)
    column, row = int((x0 + x1) / 2 * 16), int((y0 + y1) / 2 * 16)
    values = [x1 - x0, y1 - y0, (x0 + x1) / 2 * 16 - column, (y0 + y1) / 2 * 16 - row]
    raw[0, :, row, column] = torch.tensor([4.0, *(math.log(v / (1 - v)) if v else -30 for v in values)])
    answer = decode(raw, task("detection", 1), [frame], MENDED)[0]
    np.testing.assert_allclose(answer.box, box, atol=1e-3)
    raw[0, 1:3, row, column] = 30.0  # as large as the whole input
    clipped = decode(raw, task("detection", 1), [frame], MENDED)[0].box
    assert clipped is not None and min(clipped) >= 0 and clipped[2] <= width and clipped[3] <= height


def test_published_points_are_numbers_and_may_leave_the_image():
    raw = torch.tensor([[0.5, 0.25, 1.1, -0.2]])
    answer = decode(raw, task("keypoints", 2), frames([(100, 200)], PUBLISHED), PUBLISHED)[0]
    np.testing.assert_allclose(answer.points, [(100, 25), (220, -20)], atol=1e-4)
    assert answer.confidence is None


def test_mended_points_are_the_soft_argmax_clipped_to_the_image():
    raw = torch.zeros(1, 2, 16, 16)
    raw[0, 0, 2, 4] = raw[0, 1, 15, 9] = 300.0  # the second lies in the padding below a wide image
    answer = decode(raw, task("keypoints", 2), frames([(100, 200)], MENDED), MENDED)[0]
    np.testing.assert_allclose(answer.points, [(4.5 / 16 * 200, 2.5 / 16 * 200), (9.5 / 16 * 200, 100)], atol=1e-3)
    assert answer.confidence == 1
    assert decode(torch.zeros(1, 2, 16, 16), task("keypoints", 2), frames([(9, 9)], MENDED), MENDED)[0].confidence == 0


def test_answers_do_not_depend_on_the_rest_of_the_batch(logits):
    placed = frames(SIZES, MENDED)
    together = decode(logits, task("segmentation", 4), placed, MENDED)
    for index, whole in enumerate(together):
        alone = decode(logits[index : index + 1], task("segmentation", 4), placed[index : index + 1], MENDED)[0]
        assert np.array_equal(alone.mask, whole.mask) and alone.confidence == whole.confidence  # pyright: ignore
