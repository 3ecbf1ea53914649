"""Pictures and DICOM frames: values, spacing, and a named refusal for whatever cannot be read."""

import logging
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image as Pillow
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage, UltrasoundMultiFrameImageStorage, generate_uid

from domains.medical.intake import dicom
from domains.medical.intake.images import exif_orientation, frame_count, image_size, read_image
from domains.medical.intake.picture import pixel_limit
from polyhead.batch.case import InvalidInput

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 31), dtype=np.uint8)
RGB = RNG.integers(0, 256, (20, 31, 3), dtype=np.uint8)


def refused(path: Path, **options) -> str:
    with pytest.raises(InvalidInput) as caught:
        read_image(path, **options)
    assert "\n" not in str(caught.value) and caught.value.remedy
    return caught.value.code


@pytest.mark.parametrize(
    "name", ["a b, (c)+.png", "uterine fibroid\u00a0images_871.png", "甲状腺é.bmp", "x.tif", "no_suffix"]
)
def test_lossless_pictures_keep_their_pixels_whatever_their_name(tmp_path, name):
    path = tmp_path / name
    Pillow.fromarray(RGB).save(path, format={".bmp": "BMP", ".tif": "TIFF"}.get(path.suffix, "PNG"))
    image = read_image(path)
    assert np.array_equal(image.pixels, RGB)
    assert image.pixels.dtype == np.uint8 and image.spacing is None and image.info["warnings"] == []
    assert image_size(path) == image.size == (20, 31)


def test_the_content_counts_not_the_suffix(tmp_path):
    path = tmp_path / "really_png.jpg"
    Pillow.fromarray(RGB).save(path, format="PNG")
    assert np.array_equal(read_image(path).pixels, RGB)
    assert read_image(path).info["format"] == "PNG"


def test_grey_palette_and_one_bit_pictures(tmp_path):
    Pillow.fromarray(GREY).save(tmp_path / "grey.png")
    assert np.array_equal(read_image(tmp_path / "grey.png").pixels, np.stack([GREY] * 3, -1))
    indexed = Pillow.fromarray(GREY % 3)
    indexed = Pillow.frombytes("P", indexed.size, indexed.tobytes())
    indexed.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    indexed.save(tmp_path / "palette.png")
    table = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)
    assert np.array_equal(read_image(tmp_path / "palette.png").pixels, table[GREY % 3])
    Pillow.fromarray(GREY > 100).save(tmp_path / "bit.png")
    assert np.array_equal(read_image(tmp_path / "bit.png").pixels[..., 1], np.where(GREY > 100, 255, 0))


@pytest.mark.parametrize(("top", "depth"), [(255, 8), (1023, 10), (4095, 12), (65535, 16)])
def test_16_bit_grey_is_scaled_from_the_depth_that_holds_it(tmp_path, top, depth):
    values = np.linspace(0, top, 400).round().astype(np.uint16).reshape(20, 20)
    Pillow.fromarray(values).save(tmp_path / "deep.png")
    image = read_image(tmp_path / "deep.png")
    assert image.info["depth"] == depth
    assert np.array_equal(image.pixels[..., 0], values >> (depth - 8))


def test_transparency_lies_over_black(tmp_path):
    alpha = np.full((20, 31, 1), 255, np.uint8)
    Pillow.fromarray(np.concatenate([RGB, alpha], -1)).save(tmp_path / "opaque.png")
    assert np.array_equal(read_image(tmp_path / "opaque.png").pixels, RGB)
    alpha[:5] = 0
    Pillow.fromarray(np.concatenate([RGB, alpha], -1)).save(tmp_path / "clear.png")
    image = read_image(tmp_path / "clear.png")
    assert not image.pixels[:5].any() and np.array_equal(image.pixels[5:], RGB[5:])
    assert image.info["transparency"] == "laid over black"


def test_cmyk_becomes_rgb(tmp_path):
    Pillow.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=95)
    red, green, blue = read_image(tmp_path / "red.jpg").pixels.reshape(-1, 3).mean(0)
    assert red > 240 and green < 15 and blue < 15


@pytest.mark.parametrize("name", ["turned.jpg", "turned.png", "turned.tif", "packed.tif"])
def test_a_picture_is_turned_as_its_exif_orientation_says(tmp_path, name):
    exif = Pillow.Exif()
    straight = {3: RGB[::-1, ::-1], 6: np.rot90(RGB, -1), 8: np.rot90(RGB), 2: RGB[:, ::-1]}
    for orientation, shown in straight.items():
        exif[0x0112] = orientation
        packed = {"compression": "tiff_lzw"} if name.startswith("packed") else {}
        Pillow.fromarray(RGB).save(tmp_path / name, exif=exif, **packed, **({"quality": 95} if "jpg" in name else {}))
        image = read_image(tmp_path / name)
        assert image.size == image_size(tmp_path / name) == shown.shape[:2]
        assert image.info["exif_orientation"] == exif_orientation(tmp_path / name) == orientation
        assert image.info["warnings"] == ["exif-orientation-applied"]
        if not name.endswith("jpg"):
            assert np.array_equal(image.pixels, shown)
    del exif[0x0112]
    Pillow.fromarray(RGB).save(tmp_path / name)
    image = read_image(tmp_path / name)
    assert image.size == (20, 31) and image.info["warnings"] == [] and exif_orientation(tmp_path / name) == 1


def test_a_constant_picture_is_read_with_a_warning(tmp_path):
    Pillow.new("RGB", (40, 30), (7, 7, 7)).save(tmp_path / "flat.png")
    assert read_image(tmp_path / "flat.png").info["warnings"] == ["constant-image"]
    almost = np.full((40, 30), 7, np.uint8)
    almost[39, 29] = 8
    Pillow.fromarray(almost).save(tmp_path / "nearly.png")
    assert read_image(tmp_path / "nearly.png").info["warnings"] == []


def test_pages_of_a_tiff_are_frames(tmp_path):
    pages = [Pillow.fromarray(GREY), Pillow.fromarray(255 - GREY)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    assert frame_count(tmp_path / "pages.tif") == 2
    assert np.array_equal(read_image(tmp_path / "pages.tif", 1).pixels[..., 0], 255 - GREY)
    assert refused(tmp_path / "pages.tif") == "several-frames"
    assert refused(tmp_path / "pages.tif", frame=2) == "no-such-frame"


def test_broken_files_are_named(tmp_path):
    for name, data in {"empty.png": b"", "text.png": b"not an image at all", "gif.png": b"GIF89a" + bytes(300)}.items():
        (tmp_path / name).write_bytes(data)
    assert refused(tmp_path / "empty.png") == "empty-file"
    assert refused(tmp_path / "text.png") == "not-an-image"
    assert refused(tmp_path / "gif.png") == "unreadable-image"
    assert refused(tmp_path / "absent.png") == "missing-file"
    assert refused(tmp_path) == "not-a-file"
    for suffix in ("png", "jpg", "bmp", "tif"):
        whole = tmp_path / f"whole.{suffix}"
        Pillow.fromarray(np.tile(RGB, (9, 9, 1))).save(whole)
        cut = tmp_path / f"cut.{suffix}"
        cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
        assert refused(cut) in {"truncated-image", "unreadable-image"}
        (tmp_path / f"head.{suffix}").write_bytes(whole.read_bytes()[:9])
        assert refused(tmp_path / f"head.{suffix}") in {"truncated-image", "unreadable-image"}
    Pillow.new("L", (1, 1)).save(tmp_path / "dot.png")
    assert refused(tmp_path / "dot.png") == "too-small"


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    import zlib

    header = struct.pack(">IIBBBBB", 100_000, pixel_limit() // 100_000 + 1, 8, 0, 0, 0, 0)
    chunks = b""
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    assert refused(tmp_path / "bomb.png") == "too-large"


def region(delta=(0.02, 0.03), box=(0, 0, 31, 20), units=3, spatial=1) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = spatial, 1
    item.RegionLocationMinX0, item.RegionLocationMinY0, item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = units
    item.PhysicalDeltaX, item.PhysicalDeltaY = delta
    return item


def write_dicom(path: Path, frames: np.ndarray, model="MONOCHROME2", **elements) -> Path:
    """`frames`: (N, H, W) or (N, H, W, 3)."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage if len(frames) > 1 else UltrasoundImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.PatientName, data.Modality, data.PhotometricInterpretation = "Secret^Name", "US", model
    data.Rows, data.Columns = frames.shape[1:3]
    data.SamplesPerPixel = 3 if frames.ndim == 4 else 1
    if frames.ndim == 4:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = frames.dtype.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(frames.dtype.kind == "i")
    if len(frames) > 1:
        data.NumberOfFrames = len(frames)
    data.PixelData = frames.tobytes()
    for name, value in elements.items():
        setattr(data, name, value)
    data["PixelData"].VR = "OW" if data.BitsAllocated > 8 else "OB"
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


def test_dicom_colour_models(tmp_path):
    assert np.array_equal(read_image(write_dicom(tmp_path / "a", GREY[None])).pixels[..., 2], GREY)
    inverted = read_image(write_dicom(tmp_path / "b", GREY[None], "MONOCHROME1")).pixels
    assert np.array_equal(inverted[..., 0], 255 - GREY)
    assert np.array_equal(read_image(write_dicom(tmp_path / "c", RGB[None], "RGB")).pixels, RGB)
    ybr = np.zeros((1, 16, 16, 3), np.uint8) + np.array([76, 85, 255], np.uint8)
    red = read_image(write_dicom(tmp_path / "d", ybr, "YBR_FULL")).pixels
    assert np.abs(red.reshape(-1, 3).astype(int) - [254, 0, 0]).max() <= 2
    with pytest.raises(InvalidInput, match="colour model HSV"):
        read_image(write_dicom(tmp_path / "e", RGB[None], "HSV"))


def test_dicom_palette_agrees_with_its_tables(tmp_path):
    header = pydicom.dcmread(SHIPPED / "examples_palette.dcm")
    tables = [
        np.frombuffer(header[f"{colour}PaletteColorLookupTableData"].value, "<u2")
        for colour in ("Red", "Green", "Blue")
    ]
    expected = np.stack([table[header.pixel_array] >> 8 for table in tables], -1)
    assert np.array_equal(read_image(SHIPPED / "examples_palette.dcm").pixels, expected)


def test_deep_dicom_greys(tmp_path):
    values = np.arange(400, dtype=np.uint16).reshape(1, 20, 20) * 10
    assert np.array_equal(read_image(write_dicom(tmp_path / "a", values)).pixels[..., 0], values[0] >> 4)
    windowed = write_dicom(tmp_path / "b", values, WindowCenter=1000.5, WindowWidth=1001)
    grey = read_image(windowed).pixels[..., 0]
    assert not grey[values[0] <= 500].any() and (grey[values[0] > 1500] == 255).all()
    assert np.abs(grey.astype(float) - np.clip((values[0].astype(float) - 500) / 1000 * 255, 0, 255)).max() <= 1
    signed = read_image(write_dicom(tmp_path / "c", values.astype(np.int16) - 900)).pixels
    assert signed.min() == 0 and signed.max() == 255


def test_spacing_is_millimetres_row_first(tmp_path):
    image = read_image(write_dicom(tmp_path / "a", GREY[None], SequenceOfUltrasoundRegions=[region()]))
    assert image.spacing == pytest.approx((0.3, 0.2))
    assert image.info["regions"][0]["location"] == [0, 0, 31, 20]
    assert image.info["spacing_from"] == "SequenceOfUltrasoundRegions"
    plain = read_image(write_dicom(tmp_path / "b", GREY[None], PixelSpacing=[0.5, 0.25]))
    assert plain.spacing == (0.5, 0.25) and plain.info["spacing_from"] == "PixelSpacing"
    doppler = [region(), region((0.01, 0.5), units=4, spatial=3)]
    assert read_image(write_dicom(tmp_path / "c", GREY[None], SequenceOfUltrasoundRegions=doppler)).spacing == (
        pytest.approx((0.3, 0.2))
    )
    mirrored = [region((-0.02, -0.03))]
    assert read_image(write_dicom(tmp_path / "d", GREY[None], SequenceOfUltrasoundRegions=mirrored)).spacing == (
        pytest.approx((0.3, 0.2))
    )
    assert read_image(write_dicom(tmp_path / "e", GREY[None], PixelSpacing=[0, 0.25])).spacing is None


def test_a_spacing_that_cannot_be_trusted_is_not_given(tmp_path):
    two = [region(), region((0.05, 0.05), (16, 0, 31, 20))]
    image = read_image(write_dicom(tmp_path / "a", GREY[None], SequenceOfUltrasoundRegions=two))
    assert image.spacing is None and "several-spacings" in image.info["warnings"]
    resized = read_image(SHIPPED / "examples_palette.dcm")
    assert resized.spacing is None and "region-outside-image" in resized.info["warnings"]


def test_elements_that_make_no_sense(tmp_path):
    broken = region()
    del broken.PhysicalDeltaX
    broken.add_new("PhysicalDeltaX", "FD", [0.1, 0.2])
    image = read_image(write_dicom(tmp_path / "a", GREY[None], SequenceOfUltrasoundRegions=[broken]))
    assert image.spacing is None and "bad-calibration" in image.info["warnings"]
    assert refused(write_dicom(tmp_path / "b", GREY[None], WindowCenter=10, WindowWidth=-5)) == "unreadable-image"
    assert refused(write_dicom(tmp_path / "c", GREY[None], BitsAllocated=0)) == "unreadable-image"


def test_clips_are_read_frame_by_frame(tmp_path):
    clip = np.stack([GREY, 255 - GREY, GREY // 2])
    path = write_dicom(tmp_path / "clip", clip)
    assert dicom.frames(path) == frame_count(path) == 3
    assert dicom.image_size(path) == (20, 31)
    for k in range(3):
        assert np.array_equal(dicom.read_frame(path, k).pixels[..., 1], clip[k])
    assert refused(path) == "several-frames"
    with pytest.raises(InvalidInput, match="no-such-frame"):
        dicom.read_frame(path, 3)
    shipped = SHIPPED / "examples_ybr_color.dcm"
    whole = pydicom.dcmread(shipped).pixel_array
    assert dicom.frames(shipped) == len(whole) == 30
    assert np.array_equal(dicom.read_frame(shipped, 29).pixels, whole[29])


def test_a_wrong_number_of_frames_is_told(tmp_path):
    clip = np.stack([GREY, 255 - GREY, GREY // 2])
    few = write_dicom(tmp_path / "few", clip, NumberOfFrames=5)
    assert dicom.frames(few) == 5
    assert dicom.read_frame(few, 2).info["warnings"] == ["frame-count-mismatch"]
    with pytest.raises(InvalidInput, match=r"truncated-image.*announces 5 frames and holds 3"):
        dicom.read_frame(few, 3)
    many = write_dicom(tmp_path / "many", clip, NumberOfFrames=1)
    assert dicom.frames(many) == 3
    assert np.array_equal(dicom.read_frame(many, 2).pixels[..., 0], GREY // 2)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("rtplan.dcm", "no-picture"),
        ("test-SR.dcm", "no-picture"),
        ("liver_1frame.dcm", "no-picture"),
        ("MR_truncated.dcm", "truncated-image"),
        ("SC_rgb_small_odd.dcm", "too-small"),
    ],
)
def test_shipped_files_that_cannot_be_read(name, code):
    assert refused(SHIPPED / name) == code


@pytest.mark.parametrize("name", ["examples_rgb_color.dcm", "examples_jpeg2k.dcm", "SC_rgb_rle.dcm", "image_dfl.dcm"])
def test_shipped_files_agree_with_pydicom(name):
    shown = read_image(SHIPPED / name).pixels
    stored = pydicom.dcmread(SHIPPED / name).pixel_array
    assert np.array_equal(shown, stored if stored.ndim == 3 else np.stack([stored] * 3, -1))


def test_missing_pixel_data_and_garbage(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", GREY[None])
    data = pydicom.dcmread(path)
    del data.PixelData
    data.save_as(tmp_path / "b.dcm")
    assert refused(tmp_path / "b.dcm") == "not-an-image"
    (tmp_path / "c.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 50)
    assert refused(tmp_path / "c.dcm") in {"not-an-image", "unreadable-image"}
    (tmp_path / "d.dcm").write_bytes(b"nothing of the kind")
    assert refused(tmp_path / "d.dcm") in {"not-an-image", "unreadable-image"}
    path.write_bytes(path.read_bytes()[:-200])
    assert refused(path) == "truncated-image"


def test_no_patient_data_come_out(tmp_path, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    path = write_dicom(tmp_path / "a.dcm", GREY[None], BurnedInAnnotation="YES", PatientComments="Secret^Name")
    image = read_image(path)
    assert "burned-in-annotation" in image.info["warnings"]
    assert "Secret" not in repr(image.info) + caplog.text + "".join(capsys.readouterr())
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InvalidInput) as caught:
        read_image(path)
    assert "Secret" not in str(caught.value) + repr(caught.value.__cause__)
