"""Rows to samples: a function of row and seed, each image decoded once, a missing label an error."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.learning import dataset
from domains.medical.ultrasound.learning.dataset import (
    InputCache,
    TaskRows,
    task_data,
    to_input,
)
from domains.medical.ultrasound.networks.input import IMAGENET_MEAN, IMAGENET_STD, normalise
from domains.medical.ultrasound.presets import resolve

HEIGHT, WIDTH = 70, 100


def config(augmentation: str = "geometric", **changes):
    values = {"data.augmentation": augmentation, "image_size": 64, **changes}
    return resolve("tiny", values)


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> dict[str, Row]:
    """One row of each kind on the same image: a bright ellipse, its mask, its box, and its centre and right end."""
    folder: Path = tmp_path_factory.mktemp("rows")
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    inside = ((x - 45) / 20) ** 2 + ((y - 33) / 12) ** 2 < 1
    image, mask = folder / "image.png", folder / "mask.png"
    Image.fromarray(np.where(inside, 220, 20).astype(np.uint8)).save(image)
    Image.fromarray(inside.astype(np.uint8) * 2).save(mask)
    common = {"image": image, "image_path": "../image.png", "table": "t.csv", "line": 2}
    return {
        "seg": Row("seg", "segmentation", 3, mask=mask, mask_path="../mask.png", **common),
        "cls": Row("cls", "classification", 4, label=3, **common),
        "det": Row("det", "detection", 1, box=(25, 21, 65, 45), **common),
        "reg": Row("reg", "keypoints", 2, points=((45, 33), (65, 33)), **common),
    }


@pytest.mark.parametrize("augmentation", ["none", "photometric", "geometric"])
def test_a_sample_is_a_function_of_row_and_seed(rows, augmentation):
    data, again = (task_data(list(rows.values()), config(augmentation)) for _ in range(2))
    assert list(data) == sorted(rows)
    for name in data:
        for seed in (None, 0, 1, 2**40):
            first, second = data[name].sample(0, seed), again[name].sample(0, seed)
            data[name].sample(0, 99)
            third = data[name].sample(0, seed)
            for one, two, three in zip(first, second, third, strict=True):
                assert torch.equal(one, two) and torch.equal(one, three)


def test_targets_without_variation_are_the_labels_in_fractions_of_the_input(rows):
    data = task_data(list(rows.values()), config())
    inner = round(HEIGHT * 64 / WIDTH)
    image, mask = data["seg"].sample(0, None)
    assert image.shape == (3, 64, 64) and image.dtype == torch.float32
    assert mask.shape == (64, 64) and mask.dtype == torch.int64 and mask.unique().tolist() == [0, 2]
    assert not mask[inner:].any()
    assert data["cls"].sample(0, None)[1].item() == 3
    scale = torch.tensor([1 / WIDTH, inner / 64 / HEIGHT])
    points = data["reg"].sample(0, None)[1]
    torch.testing.assert_close(points, torch.tensor([[45.0, 33.0], [65.0, 33.0]]) * scale)
    box = data["det"].sample(0, None)[1]
    torch.testing.assert_close(box, (torch.tensor([[25.0, 21.0], [65.0, 45.0]]) * scale).flatten())


@pytest.mark.parametrize("seed", range(6))
def test_all_labels_follow_the_picture(rows, seed):
    data = task_data(list(rows.values()), config())
    (picture, mask), (_, box), (_, points) = (data[name].sample(0, seed) for name in ("seg", "det", "reg"))
    y, x = np.mgrid[:64, :64] + 0.5
    for bright in (picture[0] > picture[0].amax() * 0.5, mask == 2):
        inside = bright.numpy()
        centre = np.array([x[inside].mean(), y[inside].mean()]) / 64
        np.testing.assert_allclose(points[0], centre, atol=1 / 64)
        extent = np.array([x[inside].min(), y[inside].min(), x[inside].max(), y[inside].max()]) / 64
        np.testing.assert_allclose(box, extent, atol=1.6 / 64)


def test_variation_differs_by_seed_and_validation_has_none(rows):
    data = task_data([rows["reg"]], config())["reg"]
    assert len({tuple(data.sample(0, seed)[1].flatten().tolist()) for seed in range(10)}) == 10
    still = task_data([rows["reg"]], config("none"))["reg"]
    assert torch.equal(still.sample(0, 5)[0], data.sample(0, None)[0])


def test_points_and_boxes_never_leave_the_input(rows):
    from dataclasses import replace

    corner = replace(rows["reg"], points=((0, 0), (WIDTH, HEIGHT)))
    edge = replace(rows["det"], box=(0, 0, 4, 4))
    data = task_data([corner, edge], config())
    for seed in range(30):
        for name in ("reg", "det"):
            target = data[name].sample(0, seed)[1]
            assert target.min() >= 0 and target.max() <= 1
        box = data["det"].sample(0, seed)[1]
        assert ((box[2:] - box[:2]) > 0.4 * 4 / WIDTH).all()


def test_each_image_is_decoded_once_for_all_tasks(rows, monkeypatch):
    reads = []
    read = dataset.read_image
    monkeypatch.setattr(dataset, "read_image", lambda path: reads.append(path) or read(path))
    data = task_data(list(rows.values()), config())
    for name in data:
        for seed in range(3):
            data[name].sample(0, seed)
    assert len(reads) == 1


def test_a_cache_without_room_gives_the_same(rows):
    small = InputCache(64, keep_aspect=True, megabytes=0)
    large = InputCache(64, keep_aspect=True, megabytes=10)
    for _ in range(2):
        for cache in (small, large):
            assert np.array_equal(cache.image(rows["seg"].image)[0], small.image(rows["seg"].image)[0])
            assert np.array_equal(cache.mask(rows["seg"]), small.mask(rows["seg"]))
    assert len(small._kept) == 0 and len(large._kept) == 2


def test_loader_processes_may_be_spawned(rows):
    data = task_data(list(rows.values()), config())
    expected = data["seg"].sample(0, 1)
    again = pickle.loads(pickle.dumps(data))
    for one, two in zip(again["seg"].sample(0, 1), expected, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(("name", "field"), [("seg", "mask"), ("cls", "label"), ("det", "box"), ("reg", "points")])
def test_a_missing_label_is_an_error_that_names_the_row(rows, name, field):
    from dataclasses import replace

    data = task_data([replace(rows[name], **{field: None})], config())
    with pytest.raises(ValueError, match=rf"t\.csv, line 2.*'{name}' has no label"):
        data[name].sample(0, 0)


def test_rows_of_two_tasks_are_not_one(rows):
    with pytest.raises(ValueError, match="exactly one task"):
        TaskRows([rows["seg"], rows["cls"]], config(), InputCache(64, keep_aspect=True, megabytes=1))


def test_training_and_prediction_normalise_alike():
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    expected = (image / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    np.testing.assert_allclose(to_input(image).permute(1, 2, 0), expected, atol=1e-5)
    np.testing.assert_allclose(normalise(torch.from_numpy(image[None]))[0].permute(1, 2, 0), expected, atol=1e-5)
