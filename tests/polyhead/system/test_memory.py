"""Channels last by rank: the numbers stay, the strides move."""

import pytest
import torch
from torch import nn

from polyhead.system.memory import channels_last, to_channels_last


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize(
    ("shape", "strides"), [((2, 3, 4, 5), (60, 1, 15, 3)), ((2, 3, 4, 5, 6), (360, 1, 90, 18, 3)), ((2, 3, 4), None)]
)
def test_the_format_follows_the_rank(shape, strides, dtype):
    tensor = torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype)
    found = channels_last(tensor)
    assert torch.equal(found, tensor)
    assert found.stride() == (strides or tensor.stride())


def test_whole_numbers_stay_as_they_are():
    labels = torch.zeros(2, 3, 4, 5, dtype=torch.int64)
    assert channels_last(labels) is labels


def test_a_module_of_images_and_volumes_moves_weight_by_weight():
    torch.manual_seed(0)
    flat, deep, line = nn.Conv2d(3, 4, 3), nn.Conv3d(3, 4, 3), nn.Conv1d(3, 4, 3)
    module = nn.ModuleList([flat, deep, line, nn.BatchNorm3d(4)])
    image, volume = torch.randn(1, 3, 6, 6), torch.randn(1, 3, 6, 6, 6)
    before = flat(image), deep(volume)
    weights = list(module.parameters())
    assert to_channels_last(module) is module
    assert all(one is other for one, other in zip(weights, module.parameters(), strict=True))
    assert flat.weight.is_contiguous(memory_format=torch.channels_last)
    assert deep.weight.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(flat(channels_last(image)), before[0])
    torch.testing.assert_close(deep(channels_last(volume)), before[1])
    deep(channels_last(volume)).sum().backward()
    assert deep.weight.grad is not None and deep.weight.grad.shape == deep.weight.shape
