"""Large pictures: the same answers as of small ones, in memory that has a bound."""

from __future__ import annotations

import gc
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from domains.medical.export import overlay
from domains.medical.intake import picture
from domains.medical.intake.calibration import Calibration
from domains.medical.intake.images import read_image
from domains.medical.ultrasound.predicting import decode
from domains.medical.ultrasound.predicting.decode import TaskAnswer
from domains.medical.ultrasound.predicting.measure import measure
from polyhead.batch.case import InvalidInput
from polyhead.system.memory_budget import MemoryBudget, total_memory


@pytest.mark.parametrize("classes", [1, 2, 5])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_the_highest_class_is_that_of_all_logits_at_once(classes, memory):
    generator = torch.Generator().manual_seed(classes)
    logits = torch.randn((2, classes, 64, 64), generator=generator).round(decimals=1).contiguous(memory_format=memory)
    logits[:, :, 20:30] = 0.5  # equal ones: the first class wins
    for size in ((203, 311), (64, 50), (17, 400)):
        inner = logits[1:, :, :48, :64]
        whole = functional.interpolate(inner.contiguous(), size=size, mode="bilinear", align_corners=False)
        found = decode._highest(inner[0], size)
        assert found.dtype == torch.uint8 and torch.equal(found.long(), whole.argmax(dim=1)[0])


def test_a_large_mask_is_kept_packed_and_is_the_same(monkeypatch):
    mask = np.zeros((400, 300), np.uint8)
    mask[50:90, 100:200] = 2
    labels = ("background", "a", "b")
    plain = TaskAnswer("segmentation", labels, mask=mask)
    monkeypatch.setattr(decode, "PACKED_FROM", 1000)
    packed = TaskAnswer("segmentation", labels, mask=mask)
    assert plain.mask is mask and packed.mask is not mask
    assert sum(len(part) for part in vars(packed)["_mask"] if isinstance(part, bytes)) < mask.size / 50
    again = replace(packed, measurements=measure("seg", packed, Calibration((0.5, 0.25))).entries)
    for answer in (packed, again):
        assert answer.mask is not None and np.array_equal(answer.mask, mask) and answer.mask.dtype == np.uint8
    assert (
        again.measurements == measure("seg", plain, Calibration((0.5, 0.25))).entries
        and again.measurements[0]["value"] == 4000
    )
    assert TaskAnswer("detection", ()).mask is None


def test_drawing_in_strips_is_drawing_at_once(monkeypatch):
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (90, 70, 3), np.uint8)
    mask = np.zeros((90, 70), np.uint8)
    mask[0:30, 0:20], mask[40:80, 30:70] = 1, 2
    colours = overlay.class_colours(3)
    expected = image.astype(np.float32)
    for index, paint in colours.items():
        mixed = np.float32(0.65) * image[mask == index] + np.float32(0.35) * np.asarray(paint, np.float32)
        expected[mask == index] = np.rint(mixed)
    monkeypatch.setattr(overlay, "_STRIP", 7 * 70)
    assert np.array_equal(overlay.blend(image, mask, colours, 0.35), expected.astype(np.uint8))
    drawn = overlay.contours(image, mask, colours, 2)
    inner = (mask == 1)[2:-2, 2:-2]
    assert (drawn[mask == 0] == image[mask == 0]).all() and inner.any()
    assert (drawn[0:2, 0:20] == colours[1]).all() and (drawn[2:28, 2:18] == image[2:28, 2:18]).all()
    assert (drawn[28:30, 0:20] == colours[1]).all() and (drawn[42:78, 32:68] == image[42:78, 32:68]).all()


def test_the_pixel_limit_follows_the_memory(monkeypatch, tmp_path):
    from PIL import Image as Pillow

    assert picture.pixel_limit() == int(total_memory() / 4 / picture.BYTES_A_PIXEL)
    Pillow.new("L", (400, 300), 7).save(tmp_path / "a.png")
    monkeypatch.setattr(picture, "total_memory", lambda: 100_000 * 4 * picture.BYTES_A_PIXEL)
    with pytest.raises(InvalidInput, match=r"\[too-large\] a.png claims 400 x 300 pixels; .*memory the limit is 0"):
        read_image(tmp_path / "a.png")


def test_a_large_page_behind_a_small_one_is_refused_before_it_is_decoded(monkeypatch, tmp_path):
    from PIL import Image as Pillow

    pages = [Pillow.new("L", (40, 30)), Pillow.new("L", (400, 300))]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:], compression="tiff_deflate")
    monkeypatch.setattr(picture, "total_memory", lambda: 100_000 * 4 * picture.BYTES_A_PIXEL)
    assert read_image(tmp_path / "a.tif", 0).size == (30, 40)
    with pytest.raises(InvalidInput, match="too-large"):
        read_image(tmp_path / "a.tif", 1)


def test_large_things_wait_for_one_another():
    budget, order = MemoryBudget(100), []
    first = np.zeros(3)
    budget.acquire(60)
    budget.release_with(first, 60)

    def second() -> None:
        budget.acquire(60, lambda: order.append("waits"), every=0.01)
        order.append("in")

    thread = threading.Thread(target=second)
    thread.start()
    while "waits" not in order:
        time.sleep(0.01)
    assert "in" not in order
    del first
    gc.collect()
    thread.join(5)
    assert order[-1] == "in" and budget.taken == 60
    budget.release(60)
    budget.acquire(1000)  # alone whatever it is
    assert budget.taken == 1000
