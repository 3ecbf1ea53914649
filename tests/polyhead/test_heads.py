"""The heads that domains share, held against their formulas."""

import pytest
import torch

from polyhead.heads import DenseLogits, PooledLinear


def test_pooled_linear_is_a_linear_layer_on_the_mean():
    torch.manual_seed(0)
    head, feature = PooledLinear(3, 5).double(), torch.randn(2, 3, 4, 6, dtype=torch.float64)
    expected = feature.flatten(2).sum(-1) / 24 @ head.linear.weight.T + head.linear.bias
    torch.testing.assert_close(head(feature), expected)
    assert torch.autograd.gradcheck(head, (feature.requires_grad_(),))


def test_pooled_linear_drops_whole_channels_while_training_only():
    torch.manual_seed(0)
    head, feature = PooledLinear(400, 400, dropout=0.25), torch.ones(1, 400, 2, 2)
    with torch.no_grad():
        head.linear.weight.copy_(torch.eye(400))
        head.linear.bias.zero_()
        answer = head(feature)
        assert torch.unique(answer).tolist() == [0.0, torch.tensor(1 / 0.75).item()]
        assert abs((answer == 0).float().mean().item() - 0.25) < 0.07
        assert torch.equal(head.eval()(feature), torch.ones(1, 400))


def test_dense_logits_without_upsampling_are_a_linear_layer_of_each_pixel():
    torch.manual_seed(0)
    head, feature = DenseLogits(3, 2).double(), torch.randn(2, 3, 5, 7, dtype=torch.float64)
    weight = head.project.weight[:, :, 0, 0]
    expected = torch.einsum("oc,bchw->bohw", weight, feature) + head.project.bias[None, :, None, None]
    torch.testing.assert_close(head(feature), expected)


def test_dense_logits_upsample_linear_ramps_exactly_when_corners_are_aligned():
    head = DenseLogits(1, 1, scale=4, align_corners=True)
    with torch.no_grad():
        head.project.weight.fill_(2.0)
        head.project.bias.fill_(-1.0)
        ramp = torch.linspace(0, 1, 6).expand(1, 1, 3, 6)
        answer = head(ramp)
    assert answer.shape == (1, 1, 12, 24)
    torch.testing.assert_close(answer, 2 * torch.linspace(0, 1, 24).expand(1, 1, 12, 24) - 1)


def test_dense_logits_keep_constants_and_odd_sizes():
    head = DenseLogits(2, 3, scale=2).eval()
    feature = torch.full((1, 2, 5, 3), 0.5)
    with torch.no_grad():
        answer, small = head(feature), head.project(feature)
    assert answer.shape == (1, 3, 10, 6)
    torch.testing.assert_close(answer, small[:, :, :1, :1].expand_as(answer))


@pytest.mark.parametrize("shape", [(2, 3, 7), (2, 3, 4, 6), (2, 3, 2, 4, 5)])
def test_pooled_linear_takes_the_mean_over_every_axis_of_space(shape):
    torch.manual_seed(0)
    head, feature = PooledLinear(3, 5).double(), torch.randn(shape, dtype=torch.float64)
    expected = feature.flatten(2).mean(-1) @ head.linear.weight.T + head.linear.bias
    torch.testing.assert_close(head(feature), expected)


def test_pooled_linear_refuses_features_without_an_axis_of_space():
    with pytest.raises(ValueError, match=r"features of shape \(B, C, ...\), got \(2, 3\)"):
        PooledLinear(3, 5)(torch.zeros(2, 3))


def test_dense_logits_of_volumes_upsample_linear_ramps_exactly():
    head = DenseLogits(1, 1, scale=3, align_corners=True, dimensions=3)
    with torch.no_grad():
        head.project.weight.fill_(2.0)
        head.project.bias.fill_(-1.0)
        ramp = torch.linspace(0, 1, 5)[:, None, None].expand(1, 1, 5, 2, 4)
        answer = head(ramp)
    assert answer.shape == (1, 1, 15, 6, 12)
    expected = (2 * torch.linspace(0, 1, 15) - 1)[:, None, None].expand(1, 1, 15, 6, 12)
    torch.testing.assert_close(answer, expected)
