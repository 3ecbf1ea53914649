"""The published network to the letter: parameter counts, strides, routing, and one encoding for all tasks."""

import pytest
import torch
from torch import nn

from domains.medical.ultrasound.networks.encoders import ENCODERS, StochasticDepth
from domains.medical.ultrasound.networks.folded import FoldedPyramid, UpsampledConvolution
from domains.medical.ultrasound.networks.fpn import FeaturePyramid
from domains.medical.ultrasound.networks.network import PyramidBackbone, build_model, task_specs
from domains.medical.ultrasound.presets import PRESETS, resolve
from domains.medical.ultrasound.simulator.tasks import SHEETS, sheet
from polyhead.model import task_rows

FOUR = {"seg": ("segmentation", 3), "cls": ("classification", 4), "det": ("detection", 1), "reg": ("keypoints", 2)}
SMALL = {"network.encoder": "residual-tiny", "network.image_size": 64}


def official() -> dict[str, tuple[str, int]]:
    return {name: (sheet(name).kind, sheet(name).outputs) for name in SHEETS}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def published():
    config = PRESETS["mh-mtl"]
    with torch.device("meta"):
        return build_model(task_specs(official(), config), config.network)


def small(preset: str):
    config = resolve(preset, SMALL)
    torch.manual_seed(0)
    return build_model(task_specs(FOUR, config), config.network).eval(), config


def test_the_published_network_has_its_published_number_of_parameters(published):
    assert len(published.tasks) == 27
    assert count(published.backbone.encoder) == 17_548_616
    assert count(published.backbone.decoder) == 1_803_008
    assert count(published.heads) == 916_452
    assert count(published) == 20_268_076
    detection = [name for name, (kind, _) in official().items() if kind == "detection"]
    # Two 3x3 convolutions with normalisation, and five outputs.
    assert [count(published.head(name)) for name in detection] == [2 * (128 * 128 * 9 + 256) + 128 * 5 + 5] * 3


def test_the_published_network_has_its_published_shapes(published):
    images = torch.empty(2, 3, 256, 256, device="meta")
    with torch.no_grad():
        maps = published.eval().backbone.encoder(images)
        features = published.encode(images, {"fpn": None, "c5": None})
    assert [tuple(m.shape[1:]) for m in maps] == [
        (48, 128, 128), (32, 64, 64), (56, 32, 32), (160, 16, 16), (448, 8, 8),
    ]  # fmt: skip
    assert features["fpn"].shape == (2, 128, 64, 64) and features["c5"].shape == (2, 448, 8, 8)
    shapes = {
        task: tuple(published.head(task)(features[spec.reads]).shape[1:]) for task, spec in published.tasks.items()
    }
    for task, (kind, outputs) in official().items():
        expected = {
            "segmentation": (outputs, 256, 256),
            "classification": (outputs,),
            "detection": (5, 64, 64),
            "keypoints": (2 * outputs,),
        }[kind]
        assert shapes[task] == expected


@pytest.mark.parametrize("preset", list(PRESETS))
def test_tasks_are_routed_as_the_paper_says(preset):
    reads = {task: spec.reads for task, spec in task_specs(FOUR, PRESETS[preset]).items()}
    points = "c5" if preset == "mh-mtl" else "fpn"
    assert reads == {"seg": "fpn", "det": "fpn", "cls": "c5", "reg": points}


def test_heads_learn_at_the_rate_of_their_preset():
    assert {spec.lr_scale for spec in task_specs(FOUR, PRESETS["mh-mtl"]).values()} == {10.0}
    assert {spec.lr_scale for spec in task_specs(FOUR, PRESETS["tiny"]).values()} == {1.0}
    labels = task_specs(FOUR, PRESETS["tiny"], {"cls": ["a", "b", "c", "d"]})["cls"].labels
    assert labels == ("a", "b", "c", "d")


@pytest.mark.parametrize("preset", ["mh-mtl", "tiny"])
def test_a_mixed_batch_is_encoded_once_and_answers_like_each_task_alone(preset, monkeypatch):
    model, _ = small(preset)
    images = torch.randn(5, 3, 64, 96)
    asked = [("seg", "cls"), ("det",), ("reg", "seg"), (), ("cls", "cls", "reg", "det")]
    calls = []
    run = model.backbone.encoder.forward
    with torch.no_grad():
        expected = {task: model(images, task) for task in FOUR}
        monkeypatch.setattr(model.backbone.encoder, "forward", lambda x: calls.append(len(x)) or run(x))
        answers = model.answer_rows(images, task_rows(asked))
    assert calls == [5]
    for task, answer in answers.items():
        concerned = [index for index, tasks in enumerate(asked) if task in tasks]
        torch.testing.assert_close(answer, expected[task][concerned], rtol=1e-4, atol=1e-5)


def test_the_pyramid_runs_for_the_rows_that_need_it_only(monkeypatch):
    model, _ = small("mh-mtl")
    sizes = []
    run = model.backbone.decoder.forward
    monkeypatch.setattr(model.backbone.decoder, "forward", lambda maps: sizes.append(len(maps[0])) or run(maps))
    with torch.no_grad():
        model.answer_rows(torch.randn(4, 3, 64, 64), task_rows([("cls",), ("seg",), ("reg",), ("det", "seg")]))
        model.answer_rows(torch.randn(4, 3, 64, 64), task_rows([("cls",)] * 4))
    assert sizes == [2]
    with pytest.raises(ValueError, match="'c4'"):
        model.encode(torch.randn(1, 3, 64, 64), {"c4": None})


@pytest.mark.parametrize("name", ["residual-tiny", "residual-small"])
def test_small_encoders_halve_five_times_and_see_each_image_alone(name):
    torch.manual_seed(0)
    encoder = ENCODERS[name]().eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        maps, alone = encoder(images), encoder.train()(images[1:])
    assert [(m.shape[1], 64 // m.shape[2], 96 // m.shape[3]) for m in maps] == [
        (width, stride, stride) for width, stride in zip(encoder.channels, (2, 4, 8, 16, 32), strict=True)
    ]
    for whole, single in zip(maps, alone, strict=True):
        torch.testing.assert_close(whole[1:], single, rtol=1e-4, atol=1e-5)


def test_the_pyramid_against_its_equations():
    torch.manual_seed(0)
    pyramid = FeaturePyramid((2, 3, 4, 5), pyramid=8, outputs=4, dropout=0.5).double().eval()
    maps = [torch.randn(2, c, 16 // 2**k, 24 // 2**k, dtype=torch.float64) for k, c in enumerate((2, 3, 4, 5))]
    f = nn.functional

    def smooth(block, feature, double):
        feature = f.conv2d(feature, block.convolution.weight, padding=1)
        feature = f.relu(f.group_norm(feature, block.norm.num_groups, block.norm.weight, block.norm.bias))
        return f.interpolate(feature, scale_factor=2.0, mode="bilinear", align_corners=True) if double else feature

    levels = [f.conv2d(m, layer.weight, layer.bias) for m, layer in zip(maps, pyramid.lateral, strict=True)]
    for k in (2, 1, 0):
        levels[k] = levels[k] + levels[k + 1].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    total = torch.zeros(2, 4, 16, 24, dtype=torch.float64)
    for k, branch in enumerate(pyramid.branches):
        feature = levels[k]
        for block in branch:
            feature = smooth(block, feature, double=k > 0)
        total = total + feature
    with torch.no_grad():
        torch.testing.assert_close(pyramid(maps), total)


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    branch = torch.ones(4000, 2, 3, 3)
    layer = StochasticDepth(0.25)
    dropped = layer(branch)
    assert (dropped == dropped[:, :1, :1, :1]).all()
    assert torch.unique(dropped).tolist() == [0.0, pytest.approx(1 / 0.75)]
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert layer.eval()(branch) is branch


def test_the_backbone_is_the_encoder_and_the_pyramid():
    model, _ = small("tiny")
    assert isinstance(model.backbone, PyramidBackbone)
    assert count(model.backbone) + count(model.heads) == count(model)
    assert {id(p) for p in model.shared_parameters()} == {id(p) for p in model.backbone.parameters()}


@pytest.mark.parametrize(
    ("task", "message"),
    [(("detection", 2), "2 classes of objects, but rows name no class"), (("ranking", 2), "unknown kind 'ranking'")],
)
def test_tasks_that_no_head_answers_are_refused(task, message):
    with pytest.raises(ValueError, match=message):
        task_specs({"odd": task}, PRESETS["tiny"])


def test_the_signal_of_a_fresh_efficientnet_lives_through_its_32_blocks():
    torch.manual_seed(0)
    encoder = ENCODERS["efficientnet-b4"]().train()
    with torch.no_grad():
        maps = encoder(torch.randn(4, 3, 64, 64))
    assert [feature.shape[1] for feature in maps] == [48, 32, 56, 160, 448]
    assert all(0.1 < feature.std().item() < 10 for feature in maps)


@pytest.mark.parametrize("widths", [(32, 56, 160, 448), (5, 7, 9)])
def test_the_folded_pyramid_is_the_same_function(widths):
    torch.manual_seed(0)
    pyramid = FeaturePyramid(widths, pyramid=24, outputs=12).eval()
    for lateral in pyramid.lateral:
        torch.nn.init.normal_(lateral.bias)
    sides = [16 >> index for index in range(len(widths))]
    maps = [torch.randn(2, width, side, side + side // 2) for width, side in zip(widths, sides, strict=True)]
    with torch.no_grad():
        torch.testing.assert_close(FoldedPyramid(pyramid)(maps), pyramid(maps), rtol=1e-4, atol=1e-5)


def test_a_convolution_of_an_upsampled_map_needs_no_upsampling():
    torch.manual_seed(0)
    weight, feature = torch.randn(4, 3, 3, 3), torch.randn(2, 3, 5, 7)
    upsampled = torch.nn.functional.interpolate(feature, scale_factor=2, mode="nearest")
    expected = torch.nn.functional.conv2d(upsampled, weight, padding=1)
    torch.testing.assert_close(UpsampledConvolution(weight)(feature), expected, rtol=1e-4, atol=1e-5)
