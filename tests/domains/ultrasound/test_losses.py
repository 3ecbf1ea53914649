"""Losses against closed forms, hand-computed values and independent readings of their equations."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from domains.medical.ultrasound.learning.losses import LOSSES
from domains.medical.ultrasound.networks.heads import CenterDetection, GridDetection, HeatmapKeypoints, soft_argmax
from polyhead.registry import UnknownName


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def dice_by_loops(logits: np.ndarray, mask: np.ndarray) -> float:
    """1 - 2 |P T| / (|P| + |T|) for each class that is present, summed and divided by the number of all classes."""
    exponential = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponential / exponential.sum(axis=1, keepdims=True)
    total = 0.0
    for index in range(logits.shape[1]):
        truth = mask == index
        if truth.any():
            overlap = probabilities[:, index][truth].sum()
            total += 1 - 2 * overlap / (probabilities[:, index].sum() + truth.sum())
    return total / logits.shape[1]


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_dice_agrees_with_an_independent_computation(classes):
    rng = np.random.default_rng(classes)
    logits = rng.normal(0, 2, (3, classes, 5, 7))
    mask = rng.integers(0, max(2, classes - 1), (3, 5, 7))  # with more than two classes the last one is absent
    found = LOSSES["dice"](torch.from_numpy(logits), torch.from_numpy(mask))
    assert found.item() == pytest.approx(dice_by_loops(logits, mask), abs=1e-9)


def test_dice_of_perfect_wrong_and_uniform_predictions():
    mask = torch.tensor([[[0, 0, 0, 1]]])
    perfect = torch.nn.functional.one_hot(mask, 2).movedim(-1, 1) * 80.0
    dice = LOSSES["dice"]
    assert dice(perfect, mask).item() == pytest.approx(0, abs=1e-6)
    assert dice(-perfect, mask).item() == pytest.approx(1, abs=1e-6)
    # p = 1/2 everywhere: 1 - 2 * 1.5 / (2 + 3) = 0.4 for the background, 1 - 2 * 0.5 / (2 + 1) = 2/3 for the other.
    assert dice(torch.zeros(1, 2, 1, 4), mask).item() == pytest.approx((0.4 + 2 / 3) / 2)


def test_dice_of_an_absent_class_has_no_gradient_of_its_own():
    logits = torch.zeros(1, 3, 1, 4)
    assert LOSSES["dice"](logits, torch.tensor([[[0, 0, 1, 1]]])).item() == pytest.approx(
        2 * (1 - 2 / 3 / (2 / 3 + 1)) / 3
    )


def test_dice_with_cross_entropy_is_their_sum():
    torch.manual_seed(0)
    logits, mask = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    entropy = -torch.log_softmax(logits, 1).gather(1, mask[:, None]).mean()
    torch.testing.assert_close(LOSSES["dice-ce"](logits, mask), LOSSES["dice"](logits, mask) + entropy)


def test_cross_entropy_and_mse_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    found = LOSSES["cross-entropy"](logits, torch.tensor([0, 1])).item()
    assert found == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    points = torch.tensor([[[0.1, 0.2], [0.3, 0.4]]])
    assert LOSSES["mse"](points.flatten(1), points).item() == 0
    # The order of the numbers is x1, y1, x2, y2.
    assert LOSSES["mse"](torch.tensor([[0.1, 0.2, 0.3, 0.8]]), points).item() == pytest.approx(0.16 / 4)


def test_the_grid_loss_takes_the_centre_cell_with_the_published_weights():
    raw = torch.full((1, 5, 4, 8), 9.0)
    box = torch.tensor([[0.5, 0.25, 0.75, 0.5]])  # centre (0.625, 0.375): column 5 of 8, row 1 of 4
    raw[0, :, 1, 5] = torch.tensor([0.4, 0.25, 0.75, 0.8, logit(0.25)])
    expected = 1 * -math.log(0.25) + 8 * (0.1 + 0 + 0 + 0.3) / 4
    assert LOSSES["grid"](raw, box).item() == pytest.approx(expected, rel=1e-6)
    raw.requires_grad_()
    LOSSES["grid"](raw, box).backward()
    cells = raw.grad.abs().sum(dim=1)[0].nonzero().tolist()  # pyright: ignore[reportOptionalMemberAccess]
    assert cells == [[1, 5]]


def test_the_grid_loss_of_boxes_at_the_border_stays_on_the_map():
    raw = torch.zeros(2, 5, 4, 4)
    box = torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    assert LOSSES["grid"](raw, box).item() == pytest.approx(math.log(2) + 8 * 0.5)


def center_by_loops(raw: np.ndarray, box: np.ndarray) -> float:
    """Zhou et al. 2019, eq. 1, with one object an image, and L1 of size (weight 10) and offset."""
    total = 0.0
    _, _, height, width = raw.shape
    sizes, offsets = [], []
    for index, (x0, y0, x1, y1) in enumerate(box):
        w, h, cx, cy = x1 - x0, y1 - y0, (x0 + x1) / 2 * width, (y0 + y1) / 2 * height
        column, row = min(int(cx), width - 1), min(int(cy), height - 1)
        sigma = max(w * width, h * height, 1) / 6
        for i in range(height):
            for j in range(width):
                p = 1 / (1 + math.exp(-raw[index, 0, i, j]))
                if (i, j) == (row, column):
                    total -= (1 - p) ** 2 * math.log(p)
                else:
                    near = math.exp(-((i - row) ** 2 + (j - column) ** 2) / (2 * sigma**2))
                    total -= (1 - near) ** 4 * p**2 * math.log(1 - p)
        cell = 1 / (1 + np.exp(-raw[index, :, row, column]))
        sizes += [abs(cell[1] - w), abs(cell[2] - h)]
        offsets += [abs(cell[3] - (cx - column)), abs(cell[4] - (cy - row))]
    return total / len(box) + 10 * float(np.mean(sizes)) + float(np.mean(offsets))


def test_the_center_loss_agrees_with_an_independent_computation():
    rng = np.random.default_rng(0)
    raw, box = rng.normal(0, 1, (3, 5, 6, 9)), np.array([[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0], [0.9, 0.9, 1, 1]])
    found = LOSSES["center"](torch.from_numpy(raw), torch.from_numpy(box)).item()
    assert found == pytest.approx(center_by_loops(raw, box), rel=1e-6)


def ideal_center(box: list[float], side: int) -> Tensor:
    raw = torch.full((1, 5, side, side), -30.0)
    width, height = box[2] - box[0], box[3] - box[1]
    x, y = (box[0] + box[2]) / 2 * side, (box[1] + box[3]) / 2 * side
    raw[0, :, int(y), int(x)] = torch.tensor([30.0, *map(logit, (width, height, x - int(x), y - int(y)))])
    return raw


def test_the_center_loss_is_least_at_the_true_box():
    box = [0.2, 0.3, 0.6, 0.55]
    raw, target = ideal_center(box, 16), torch.tensor([box])
    least = LOSSES["center"](raw, target).item()
    assert least == pytest.approx(0, abs=1e-4)
    for channel in range(5):
        changed = raw.clone()
        changed[0, channel] *= 0.05
        assert LOSSES["center"](changed, target).item() > least + 1e-3
    elsewhere = raw.clone()
    elsewhere[0, 0, 1, 14] = 3.0
    assert LOSSES["center"](elsewhere, target).item() > least + 1


def test_negatives_near_the_centre_cost_less_than_far_ones():
    box = [0.21, 0.22, 0.81, 0.82]
    near, far = ideal_center(box, 16), ideal_center(box, 16)
    near[0, 0, 8, 9] = far[0, 0, 1, 1] = 2.0
    target = torch.tensor([box])
    assert LOSSES["center"](near, target).item() < 0.2 * LOSSES["center"](far, target).item()


@pytest.mark.parametrize("cell", [(0, 0), (3, 5), (6, 10)])
def test_soft_argmax_of_a_delta_is_the_centre_of_its_cell(cell):
    row, column = cell
    logits = torch.zeros(1, 1, 7, 11)
    logits[0, 0, row, column] = 200.0
    points, heat = soft_argmax(logits)
    torch.testing.assert_close(points[0, 0], torch.tensor([(column + 0.5) / 11, (row + 0.5) / 7]))
    assert heat.sum().item() == pytest.approx(1)


def test_soft_argmax_is_the_mean_position_and_stays_inside():
    torch.manual_seed(0)
    points, heat = soft_argmax(torch.zeros(2, 3, 5, 8))
    torch.testing.assert_close(points, torch.full((2, 3, 2), 0.5))
    assert heat.shape == (2, 3, 5, 8)
    wild, _ = soft_argmax(torch.randn(50, 2, 4, 4) * 1e4)
    assert ((wild > 0) & (wild < 1)).all()


def test_the_heatmap_loss_vanishes_on_its_own_gaussian_and_grows_away_from_it():
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    point = torch.tensor([[[(16 + 0.5) / 32, (12 + 0.5) / 32]]])
    logits = (-((x - 16) ** 2 + (y - 12) ** 2) / (2 * 1.5**2))[None, None]
    loss = LOSSES["heatmap"]
    assert loss(logits, point).item() == pytest.approx(0, abs=1e-5)
    values = [loss(logits.roll(shift, dims=3), point).item() for shift in (1, 3, 8)]
    assert 0.05 < values[0] < values[1] < values[2]
    # Far apart the divergence is at its upper bound log 2, and the distance is 8/32.
    assert values[2] == pytest.approx(2 * 8 / 32 + math.log(2), abs=0.03)


@pytest.mark.parametrize("name", ["dice", "dice-ce", "cross-entropy", "mse", "grid", "center", "heatmap"])
def test_gradients_are_those_of_finite_differences(name):
    torch.manual_seed(0)
    double = {"dtype": torch.float64}
    box = torch.tensor([[0.1, 0.2, 0.5, 0.9], [0.3, 0.3, 0.6, 0.55]], **double)
    outputs, target = {
        "dice": (torch.randn(2, 3, 3, 4, **double), torch.randint(0, 3, (2, 3, 4))),
        "dice-ce": (torch.randn(2, 3, 3, 4, **double), torch.randint(0, 3, (2, 3, 4))),
        "cross-entropy": (torch.randn(4, 3, **double), torch.tensor([0, 1, 2, 2])),
        "mse": (torch.randn(2, 4, **double), torch.rand(2, 2, 2, **double)),
        "grid": (torch.randn(2, 5, 3, 4, **double), box),
        "center": (torch.randn(2, 5, 3, 4, **double), box),
        "heatmap": (torch.randn(2, 2, 3, 4, **double), torch.rand(2, 2, 2, **double)),
    }[name]
    assert torch.autograd.gradcheck(lambda raw: LOSSES[name](raw, target), (outputs.requires_grad_(),))


@pytest.mark.parametrize("name", ["dice", "grid", "center", "heatmap"])
def test_half_precision_outputs_give_finite_float32_losses(name):
    torch.manual_seed(0)
    channels = {"dice": 3, "grid": 5, "center": 5, "heatmap": 2}[name]
    raw = (torch.randn(2, channels, 8, 8) * 40).bfloat16()
    target = {
        "dice": torch.randint(0, 3, (2, 8, 8)),
        "heatmap": torch.rand(2, 2, 2),
    }.get(name, torch.tensor([[0.1, 0.1, 0.6, 0.6], [0.0, 0.0, 1.0, 1.0]]))
    loss = LOSSES[name](raw, target)
    assert loss.dtype == torch.float32 and math.isfinite(loss.item())


def test_heads_begin_where_their_losses_are_small():
    torch.manual_seed(0)
    feature, box = torch.randn(2, 32, 16, 16), torch.tensor([[0.3, 0.3, 0.6, 0.6], [0.2, 0.2, 0.5, 0.5]])
    with torch.no_grad():
        assert LOSSES["center"](CenterDetection(32)(feature), box).item() < 10
        boxes = GridDetection(32)(feature)
        assert boxes.shape == (2, 5, 16, 16) and ((boxes[:, :4] > 0) & (boxes[:, :4] < 1)).all()
        assert LOSSES["heatmap"](HeatmapKeypoints(32, 3)(feature), torch.rand(2, 3, 2)).item() < 2.5


def test_an_unknown_loss_names_near_ones():
    with pytest.raises(UnknownName, match="dice"):
        LOSSES["dise"]
