"""An independent reading of the FM_UIA baseline: its state dict laid out by hand, its layers as plain functions.

Nothing of the product is used here: parameter names and shapes follow the published key layout, and the forward pass
is written from the layer equations (TensorFlow's "same" padding for an input of 380 pixels, batch normalisation with
epsilon 1e-3, squeeze and excitation, the pyramid with nearest-neighbour top-down steps and bilinear upsampling with
aligned corners).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

# (repeats, kernel, stride, expansion, channels) of the seven stages of EfficientNet-B4.
STAGES = [
    (2, 3, 1, 1, 24),
    (4, 3, 2, 6, 32),
    (4, 5, 2, 6, 56),
    (6, 3, 2, 6, 112),
    (6, 5, 1, 6, 160),
    (8, 5, 2, 6, 272),
    (2, 3, 1, 6, 448),
]
TAPS = (5, 9, 21, 31)


def blocks() -> list[tuple[int, int, int, int, int]]:
    """(kernel, stride, expansion, inputs, outputs) of the 32 blocks."""
    found, width = [], 48
    for repeats, kernel, stride, expansion, channels in STAGES:
        for index in range(repeats):
            found.append((kernel, stride if index == 0 else 1, expansion, width, channels))
            width = channels
    return found


def official_state(tasks: dict[str, tuple[str, int]], generator: torch.Generator) -> dict[str, Tensor]:
    """A random state dict in the baseline's layout, in float64."""
    state: dict[str, Tensor] = {}

    def normal(name: str, *shape: int, scale: float | None = None) -> None:
        fan_in = math.prod(shape[1:]) or 1
        state[name] = torch.randn(*shape, generator=generator, dtype=torch.float64) * (scale or fan_in**-0.5)

    def batch_norm(name: str, width: int) -> None:
        state[f"{name}.weight"] = 0.5 + torch.rand(width, generator=generator, dtype=torch.float64)
        normal(f"{name}.bias", width, scale=0.1)
        normal(f"{name}.running_mean", width, scale=0.1)
        state[f"{name}.running_var"] = 0.5 + torch.rand(width, generator=generator, dtype=torch.float64)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    normal("encoder._conv_stem.weight", 48, 3, 3, 3)
    batch_norm("encoder._bn0", 48)
    for index, (kernel, _, expansion, inputs, outputs) in enumerate(blocks()):
        base, middle = f"encoder._blocks.{index}", inputs * expansion
        if expansion > 1:
            normal(f"{base}._expand_conv.weight", middle, inputs, 1, 1)
            batch_norm(f"{base}._bn0", middle)
        normal(f"{base}._depthwise_conv.weight", middle, 1, kernel, kernel)
        batch_norm(f"{base}._bn1", middle)
        squeezed = max(1, int(inputs * 0.25))
        for part, shape in (("_se_reduce", (squeezed, middle)), ("_se_expand", (middle, squeezed))):
            normal(f"{base}.{part}.weight", *shape, 1, 1)
            normal(f"{base}.{part}.bias", shape[0], scale=0.1)
        normal(f"{base}._project_conv.weight", outputs, middle, 1, 1)
        batch_norm(f"{base}._bn2", outputs)
    normal("encoder._conv_head.weight", 1792, 448, 1, 1)
    batch_norm("encoder._bn1", 1792)

    for name, width in (("p5", 448), ("p4.skip_conv", 160), ("p3.skip_conv", 56), ("p2.skip_conv", 32)):
        normal(f"fpn_decoder.{name}.weight", 256, width, 1, 1)
        normal(f"fpn_decoder.{name}.bias", 256, scale=0.1)
    for index, doublings in enumerate((3, 2, 1, 0)):
        for layer in range(max(1, doublings)):
            base = f"fpn_decoder.seg_blocks.{index}.block.{layer}.block"
            normal(f"{base}.0.weight", 128, 256 if layer == 0 else 128, 3, 3)
            state[f"{base}.1.weight"] = 0.5 + torch.rand(128, generator=generator, dtype=torch.float64)
            normal(f"{base}.1.bias", 128, scale=0.1)

    for task, (kind, outputs) in tasks.items():
        base = f"heads.{task}"
        if kind == "segmentation":
            normal(f"{base}.0.weight", outputs, 128, 1, 1)
            normal(f"{base}.0.bias", outputs, scale=0.1)
        elif kind == "classification":
            normal(f"{base}.head.3.weight", outputs, 448)
            normal(f"{base}.head.3.bias", outputs, scale=0.1)
        elif kind == "keypoints":
            normal(f"{base}.linear.weight", 2 * outputs, 448)
            normal(f"{base}.linear.bias", 2 * outputs, scale=0.1)
        else:
            for layer in (0, 3):
                normal(f"{base}.conv_block.{layer}.weight", 128, 128, 3, 3)
                batch_norm(f"{base}.conv_block.{layer + 1}", 128)
            normal(f"{base}.conv_block.6.weight", 4 + outputs, 128, 1, 1)
            normal(f"{base}.conv_block.6.bias", 4 + outputs, scale=0.1)
    return state


def same_convolution(x: Tensor, weight: Tensor, stride: int, side: int, groups: int = 1) -> tuple[Tensor, int]:
    """Convolution padded as for a square input of `side` pixels; also the side of its output."""
    kernel = weight.shape[-1]
    out = math.ceil(side / stride)
    total = max((out - 1) * stride + kernel - side, 0)
    before, after = total // 2, total - total // 2
    x = functional.pad(x, (before, after, before, after))
    return functional.conv2d(x, weight, stride=stride, groups=groups), out


def batch_norm(state: dict[str, Tensor], name: str, x: Tensor, epsilon: float) -> Tensor:
    shape = (1, -1, 1, 1)
    scale = state[f"{name}.weight"] / torch.sqrt(state[f"{name}.running_var"] + epsilon)
    return (x - state[f"{name}.running_mean"].view(shape)) * scale.view(shape) + state[f"{name}.bias"].view(shape)


def swish(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def encode(state: dict[str, Tensor], images: Tensor) -> list[Tensor]:
    """Maps at strides 2, 4, 8, 16 and 32."""
    x, side = same_convolution(images, state["encoder._conv_stem.weight"], 2, 380)
    x = swish(batch_norm(state, "encoder._bn0", x, 1e-3))
    maps = [x]
    for index, (_, stride, expansion, inputs, outputs) in enumerate(blocks()):
        base, before = f"encoder._blocks.{index}", x
        if expansion > 1:
            x = functional.conv2d(x, state[f"{base}._expand_conv.weight"])
            x = swish(batch_norm(state, f"{base}._bn0", x, 1e-3))
        depthwise = state[f"{base}._depthwise_conv.weight"]
        x, side = same_convolution(x, depthwise, stride, side, groups=len(depthwise))
        x = swish(batch_norm(state, f"{base}._bn1", x, 1e-3))
        gate = x.mean(dim=(2, 3), keepdim=True)
        gate = swish(functional.conv2d(gate, state[f"{base}._se_reduce.weight"], state[f"{base}._se_reduce.bias"]))
        gate = functional.conv2d(gate, state[f"{base}._se_expand.weight"], state[f"{base}._se_expand.bias"])
        x = x / (1 + torch.exp(-gate))
        x = batch_norm(state, f"{base}._bn2", functional.conv2d(x, state[f"{base}._project_conv.weight"]), 1e-3)
        if stride == 1 and inputs == outputs:
            x = x + before
        if index in TAPS:
            maps.append(x)
    return maps


def group_norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    batch, width, height, breadth = x.shape
    groups = x.view(batch, 32, -1)
    mean, variance = groups.mean(-1, keepdim=True), groups.var(-1, unbiased=False, keepdim=True)
    x = ((groups - mean) / torch.sqrt(variance + 1e-5)).view(batch, width, height, breadth)
    return x * state[f"{name}.weight"].view(1, -1, 1, 1) + state[f"{name}.bias"].view(1, -1, 1, 1)


def pyramid(state: dict[str, Tensor], maps: list[Tensor]) -> Tensor:
    def lateral(name: str, feature: Tensor) -> Tensor:
        return functional.conv2d(feature, state[f"fpn_decoder.{name}.weight"], state[f"fpn_decoder.{name}.bias"])

    levels = [lateral("p5", maps[-1])]
    for name, feature in (("p4", maps[-2]), ("p3", maps[-3]), ("p2", maps[-4])):
        above = levels[-1].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        levels.append(above + lateral(f"{name}.skip_conv", feature))
    total = torch.zeros(())
    for index, (level, doublings) in enumerate(zip(levels, (3, 2, 1, 0), strict=True)):
        x = level
        for layer in range(max(1, doublings)):
            base = f"fpn_decoder.seg_blocks.{index}.block.{layer}.block"
            x = functional.conv2d(x, state[f"{base}.0.weight"], padding=1)
            x = group_norm(state, f"{base}.1", x).clamp_min(0)
            if layer < doublings:
                x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
        total = total + x
    return total


def forward(state: dict[str, Tensor], images: Tensor, task: str, kind: str) -> Tensor:
    """The raw output of one task of the baseline, in evaluation mode."""
    maps = encode(state, images)
    base = f"heads.{task}"
    if kind == "classification":
        return maps[-1].mean(dim=(2, 3)) @ state[f"{base}.head.3.weight"].T + state[f"{base}.head.3.bias"]
    if kind == "keypoints":
        return maps[-1].mean(dim=(2, 3)) @ state[f"{base}.linear.weight"].T + state[f"{base}.linear.bias"]
    x = pyramid(state, maps)
    if kind == "segmentation":
        x = functional.conv2d(x, state[f"{base}.0.weight"], state[f"{base}.0.bias"])
        return functional.interpolate(x, scale_factor=4.0, mode="bilinear", align_corners=True)
    for layer in (0, 3):
        x = functional.conv2d(x, state[f"{base}.conv_block.{layer}.weight"], padding=1)
        x = batch_norm(state, f"{base}.conv_block.{layer + 1}", x, 1e-5).clamp_min(0)
    x = functional.conv2d(x, state[f"{base}.conv_block.6.weight"], state[f"{base}.conv_block.6.bias"])
    return torch.cat([torch.sigmoid(x[:, :4]), x[:, 4:]], dim=1)
