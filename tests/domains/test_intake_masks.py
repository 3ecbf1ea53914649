"""Masks in every spelling that files have give the ids that were meant, or one line that names the file."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image as Pillow

from domains.medical.intake.masks import read_grey_mask, read_stored_mask
from polyhead.batch.case import InvalidInput

IDS = (np.indices((20, 31)).sum(0) // 7 % 4).astype(np.uint8)
TWO = (IDS > 1).astype(np.uint8)


def png(values: np.ndarray, bits: int, colour: int = 0) -> bytes:
    """A PNG of `bits` a sample, written by hand: Pillow writes none of 2 or 4 bits of grey and no deep colour."""
    height, width = values.shape[:2]
    if bits == 16:
        lines = [b"\0" + line.astype(">u2").tobytes() for line in values]
    else:
        pixels = values[..., None] >> np.arange(bits - 1, -1, -1) & 1
        lines = [b"\0" + np.packbits(line.reshape(-1)).tobytes() for line in pixels.astype(np.uint8)]
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = b""
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(lines))), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return b"\x89PNG\r\n\x1a\n" + chunks


def palette(colours: list[tuple[int, int, int]], indices: np.ndarray) -> Pillow.Image:
    image = Pillow.frombytes("P", (indices.shape[1], indices.shape[0]), indices.tobytes())
    image.putpalette([value for colour in colours for value in colour])
    return image


def stored(tmp_path, image: Pillow.Image | bytes, name: str = "m.png", **options) -> np.ndarray:
    if isinstance(image, bytes):
        (tmp_path / name).write_bytes(image)
    else:
        image.save(tmp_path / name, **options)
    return read_stored_mask(tmp_path / name).values


def test_class_ids_of_every_depth_and_mode(tmp_path):
    voc = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]
    spellings = {
        "grey.png": Pillow.fromarray(IDS),
        "voc.png": palette(voc, IDS),
        "rgb.bmp": Pillow.fromarray(np.stack([IDS] * 3, -1)),
        "rgba.png": Pillow.fromarray(np.stack([IDS] * 3 + [np.full_like(IDS, 255)], -1)),
        "la.png": Pillow.fromarray(np.stack([IDS, np.full_like(IDS, 255)], -1), "LA"),
        "deep.png": Pillow.fromarray(IDS.astype(np.uint16)),
        "deep.tif": Pillow.fromarray(IDS.astype(np.uint16)),
        "wide.tif": Pillow.fromarray(IDS.astype(np.int32)),
        "real.tif": Pillow.fromarray(IDS.astype(np.float32)),
        "two.png": png(IDS, 2),
        "four.png": png(IDS, 4),
    }
    for name, image in spellings.items():
        assert np.array_equal(stored(tmp_path, image, name), IDS), name
    assert np.array_equal(stored(tmp_path, Pillow.fromarray(TWO.astype(bool)), "bit.png"), TWO)
    assert np.array_equal(stored(tmp_path, png(TWO, 1), "one.png"), TWO)


def test_black_and_white_palettes_are_told_by_their_colours(tmp_path):
    for colours in ([(0, 0, 0), (255, 255, 255)], [(255, 255, 255), (0, 0, 0)]):
        indices = TWO if colours[0] == (0, 0, 0) else 1 - TWO
        assert np.array_equal(stored(tmp_path, palette(colours, indices)), 255 * TWO)


def test_what_is_transparent_is_background(tmp_path):
    white = np.full((*TWO.shape, 4), 255, np.uint8)
    white[..., 3] = 255 * TWO
    assert np.array_equal(stored(tmp_path, Pillow.fromarray(white)), 255 * TWO)


def test_colours_of_a_gif_are_no_numbers(tmp_path):
    """Writers of GIF number the colours that are used anew: of classes 0 and 2 the second would be 1."""
    skipped = np.where(IDS == 1, 0, IDS)
    assert np.array_equal(stored(tmp_path, Pillow.fromarray(skipped), "grey.gif"), skipped)
    colours = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (0, 0, 128)]
    assert np.array_equal(stored(tmp_path, palette(colours, 2 * TWO), "one.gif"), 255 * TWO)
    with pytest.raises(InvalidInput, match=r"more\.gif is a GIF, whose colours have no certain numbers"):
        stored(tmp_path, palette(colours, IDS), "more.gif")


@pytest.mark.parametrize(("grey", "alpha"), [(0 * TWO, 255 * TWO), (255 * TWO, 0 * TWO)])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_that_transparency_would_swallow_are_one_clear_line(tmp_path, grey, alpha, channels):
    image = Pillow.fromarray(np.dstack([grey] * channels + [alpha]), "LA" if channels == 1 else "RGBA")
    with pytest.raises(InvalidInput, match=r"m\.png is black wherever it is not transparent"):
        stored(tmp_path, image)


def test_an_empty_mask_with_a_channel_of_transparency_is_read(tmp_path):
    image = Pillow.fromarray(np.dstack([0 * TWO] * 3 + [np.full_like(TWO, 255)]))
    assert not stored(tmp_path, image).any()


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Pillow.fromarray(np.arange(20 * 31 * 3, dtype=np.uint8).reshape(20, 31, 3)), "holds colours"),
        (Pillow.fromarray(IDS + np.float32(0.5)), "no class ids"),
        (Pillow.fromarray(np.where(TWO, np.float32(np.inf), 0)), "no class ids"),
        (png(np.stack([IDS.astype(np.uint16)] * 3, -1), 16, 2), "16-bit colour"),
    ],
)
def test_what_are_no_ids_is_one_clear_line(tmp_path, image, words):
    name = "m.tif" if isinstance(image, Pillow.Image) and image.mode == "F" else "m.png"
    with pytest.raises(InvalidInput, match=rf"m\.\w+ .*{words}"):
        stored(tmp_path, image, name)


def test_deep_colour_of_black_and_white_is_read(tmp_path):
    assert np.array_equal(stored(tmp_path, png(np.stack([65535 * TWO.astype(np.uint16)] * 3, -1), 16, 2)), 255 * TWO)


def test_masks_are_turned_as_pictures_are(tmp_path):
    exif = Pillow.Exif()
    exif[0x0112] = 6
    assert np.array_equal(stored(tmp_path, Pillow.fromarray(IDS), exif=exif), np.rot90(IDS, -1))
    assert np.array_equal(read_grey_mask(tmp_path / "m.png"), np.rot90(IDS, -1))


def test_lossy_files_say_so_and_their_colour_noise_is_grey(tmp_path):
    buffer = io.BytesIO()
    Pillow.fromarray(np.stack([255 * TWO] * 3, -1)).save(buffer, "JPEG", quality=60)
    (tmp_path / "m.png").write_bytes(buffer.getvalue())
    found = read_stored_mask(tmp_path / "m.png")
    assert found.lossy and np.array_equal(found.values >= 128, TWO == 1)


def test_grey_as_opencv_reads_it(tmp_path):
    (tmp_path / "deep.png").write_bytes(png(IDS.astype(np.uint16) * 256 + 77, 16))
    assert np.array_equal(read_grey_mask(tmp_path / "deep.png"), IDS)
    palette([(0, 0, 0), (128, 0, 0), (0, 128, 0), (9, 9, 9)], IDS).save(tmp_path / "voc.png")
    assert np.array_equal(np.unique(read_grey_mask(tmp_path / "voc.png")), [0, 9, 38, 75])
    (tmp_path / "bit.png").write_bytes(png(TWO, 1))
    assert np.array_equal(read_grey_mask(tmp_path / "bit.png"), 255 * TWO)
    colour = Pillow.new("RGB", (9, 9), (94, 129, 193))
    for name, grey in (("colour.png", 125), ("colour.bmp", 126)):  # as OpenCV 4.12 gives them
        colour.save(tmp_path / name)
        assert (read_grey_mask(tmp_path / name) == grey).all()
    with pytest.raises(ValueError, match="not a readable image"):
        read_grey_mask(tmp_path / "absent.png")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("read", [read_grey_mask, read_stored_mask])
def test_a_pipe_in_the_place_of_a_mask_is_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "m.png")
    with pytest.raises((ValueError, InvalidInput), match="no regular file"):
        read(tmp_path / "m.png")
