"""Foreign checkpoints give the outputs that an independent reading of the layers gives."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from domains.medical.ultrasound.networks.checkpoints import baseline_tasks, load_baseline, load_encoder, read_state_dict
from domains.medical.ultrasound.networks.encoders import EfficientNetB4
from domains.medical.ultrasound.networks.network import build_model, task_specs
from domains.medical.ultrasound.presets import PRESETS
from domains.medical.ultrasound.saved import import_baseline, load_run
from tests.domains.ultrasound import baseline_oracle as oracle

TASKS = {
    "cervix": ("segmentation", 2),
    "cervix_multi": ("segmentation", 3),
    "breast_3cls": ("classification", 3),
    "IUGC": ("keypoints", 3),
    "thyroid_nodule_det": ("detection", 1),
}


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return oracle.official_state(TASKS, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_baseline_checkpoint_gives_the_outputs_of_its_layer_equations(state, images):
    config = PRESETS["mh-mtl"]
    model = build_model(task_specs(TASKS, config), config.network).double().eval()
    load_baseline(model, state)
    with torch.inference_mode():
        for task, (kind, _) in TASKS.items():
            expected = oracle.forward(state, images, task, kind)
            torch.testing.assert_close(model(images, task), expected, rtol=1e-9, atol=1e-9)


def test_the_tasks_of_a_baseline_checkpoint_are_told_by_its_heads(state):
    assert baseline_tasks(state) == TASKS


def test_encoder_weights_load_with_and_without_prefix_and_classifier(tmp_path: Path, state, images):
    bare = {
        key.removeprefix("encoder."): value.float().contiguous() if value.is_floating_point() else value
        for key, value in state.items()
        if key.startswith("encoder.")
    }
    save_file(bare, tmp_path / "smp.safetensors")
    torch.save(
        {**bare, "_fc.weight": torch.zeros(1000, 1792), "_fc.bias": torch.zeros(1000)}, tmp_path / "lukemelas.pth"
    )
    expected = oracle.encode(state, images)
    for name in ("smp.safetensors", "lukemelas.pth"):
        encoder = EfficientNetB4().eval()
        load_encoder(encoder, tmp_path / name)
        with torch.inference_mode():
            for feature, truth in zip(encoder.double()(images), expected, strict=True):
                torch.testing.assert_close(feature, truth, rtol=1e-4, atol=1e-4)


def test_an_imported_run_loads_and_keeps_the_weights(tmp_path: Path, state):
    single = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    torch.save(single, tmp_path / "best_model.pth")
    import_baseline(tmp_path / "best_model.pth", tmp_path / "run")
    model, config = load_run(tmp_path / "run")
    assert config.preset == "mh-mtl"
    assert {name: (task.kind, task.outputs) for name, task in model.tasks.items()} == TASKS
    assert torch.equal(model.backbone.encoder.stem.convolution.weight, single["encoder._conv_stem.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("fpn_decoder.p5.weight"), "1 missing: .*lateral.3.weight"),
        (lambda s: s.update({"heads.cervix.0.weight": torch.zeros(4, 128, 1, 1)}), "1 of another shape: .*cervix"),
        (lambda s: s.update({"heads.unknown.0.weight": torch.zeros(1)}), "a task that this model lacks"),
        (lambda s: s.update({"optimizer.step": torch.zeros(1)}), "'optimizer.step' is not of the FM_UIA baseline"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_one_clear_line(state, change, message):
    config = PRESETS["mh-mtl"]
    model = build_model(task_specs(TASKS, config), config.network)
    changed = dict(state)
    change(changed)
    with pytest.raises(ValueError, match=message):
        load_baseline(model, changed)


class _Malicious:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path: Path):
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(_Malicious(tmp_path / "touched")))
    torch.save({"weights": _Malicious(tmp_path / "touched")}, tmp_path / "evil2.pth")
    for name in ("evil.pth", "evil2.pth"):
        with pytest.raises(ValueError, match=r"a damaged pickle|would be run"):
            read_state_dict(tmp_path / name)
    assert not (tmp_path / "touched").exists()


def test_an_unknown_source_is_named():
    with pytest.raises(ValueError, match="no such file, and no model of that name"):
        read_state_dict("nobody/nothing")
