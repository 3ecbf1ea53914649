"""DICOM as machines write it: colour tables, unused bits, byte orders, functional groups, files without a picture."""

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from domains.medical.intake.dicom import frames, read_frame
from domains.medical.intake.images import read_image
from polyhead.batch.case import InvalidInput

RNG = np.random.default_rng(1)
GREY = RNG.integers(0, 256, (18, 26), dtype=np.uint8)
RGB = RNG.integers(0, 256, (18, 26, 3), dtype=np.uint8)
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def header(values: np.ndarray, model="MONOCHROME2", syntax=uid.ExplicitVRLittleEndian, **elements) -> Dataset:
    """A data set of one frame (H, W) or (H, W, 3), or of several grey ones (N, H, W), without its pixels' bytes."""
    data, meta = Dataset(), FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = data.SOPClassUID = uid.UltrasoundImageStorage
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = uid.generate_uid()
    data.file_meta = meta
    data.Modality, data.PatientName, data.PhotometricInterpretation = "US", "Secret^Name", model
    colours = values.ndim == 3 and values.shape[2] == 3
    data.SamplesPerPixel = 3 if colours else 1
    if colours:
        data.PlanarConfiguration = 0
    data.Rows, data.Columns = values.shape[:2] if colours else values.shape[-2:]
    if values.ndim == 3 and not colours:
        data.NumberOfFrames = len(values)
    data.BitsAllocated = data.BitsStored = values.dtype.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(values.dtype.kind == "i")
    for name, value in elements.items():
        setattr(data, name, value)
    return data


def saved(path, data: Dataset, content: bytes):
    data.PixelData = content + b"\0" * (len(content) % 2)
    data["PixelData"].VR = "OW" if data.BitsAllocated > 8 else "OB"
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


def tables(data: Dataset, reds: bytes, entries: int, bits: int, first=0, segmented=False) -> Dataset:
    """The same table for red, its reverse left out: green and blue are zero where they are not red."""
    for colour in ("Red", "Green", "Blue"):
        setattr(data, f"{colour}PaletteColorLookupTableDescriptor", [entries % 65536, first, bits])
        name = f"{'Segmented' if segmented else ''}{colour}PaletteColorLookupTableData"
        data.add_new(name, "OW", reds)
    return data


def words(*values: int) -> bytes:
    return np.array(values, "<u2").tobytes()


def test_segmented_colour_tables(tmp_path):
    # PS3.3 C.7.9.2: 64 discrete entries at 0x1000, a line of 64 up to 0x8000, then both again by an indirect segment.
    discrete = words(0, 64, *[0x1000] * 64)
    line = words(1, 64, 0x8000)
    indirect = words(2, 2, 0, 0)
    data = tables(header(RAMP, "PALETTE COLOR"), discrete + line + indirect, 256, 16, segmented=True)
    shown = read_image(saved(tmp_path / "a.dcm", data, RAMP.tobytes())).pixels
    climb = 0x1000 + (0x8000 - 0x1000) * np.arange(1, 65) / 64
    half = np.concatenate([np.full(64, 0x10), climb // 256])
    assert np.abs(shown[..., 0].ravel() - np.concatenate([half, half])).max() <= 1
    assert (shown == shown[..., :1]).all()


def test_a_segmented_table_is_the_plain_one(tmp_path):
    values = [index * 257 for index in range(256)]
    plain = tables(header(RAMP, "PALETTE COLOR"), words(*values), 256, 16)
    segments = words(0, 1, 0, 1, 255, 255 * 257)
    short = tables(header(RAMP, "PALETTE COLOR"), segments, 256, 16, segmented=True)
    one, other = (
        read_image(saved(tmp_path / name, data, RAMP.tobytes())).pixels
        for name, data in (("plain.dcm", plain), ("short.dcm", short))
    )
    assert np.array_equal(one[..., 0], RAMP) and np.array_equal(one, other)


def test_tables_of_8_bits_in_16_and_of_8_bits_and_with_an_offset(tmp_path):
    reverse = [255 - index for index in range(256)]
    wide = tables(header(RAMP, "PALETTE COLOR"), words(*reverse), 256, 8)
    assert np.array_equal(read_image(saved(tmp_path / "a.dcm", wide, RAMP.tobytes())).pixels[..., 1], 255 - RAMP)
    narrow = tables(header(RAMP, "PALETTE COLOR"), bytes(reverse), 256, 8)
    assert np.array_equal(read_image(saved(tmp_path / "b.dcm", narrow, RAMP.tobytes())).pixels[..., 1], 255 - RAMP)
    # Entries begin at 100: what lies below takes the first, what lies above the last.
    part = tables(header(RAMP, "PALETTE COLOR"), bytes(range(50)), 50, 8, first=100)
    shown = read_image(saved(tmp_path / "c.dcm", part, RAMP.tobytes())).pixels[..., 2]
    assert np.array_equal(shown, np.clip(RAMP.astype(int) - 100, 0, 49))


def test_16_bit_indices_into_a_full_table(tmp_path):
    values = np.array([[0, 65535], [256, 40000]], np.uint16).repeat(9, 0).repeat(9, 1)
    data = tables(header(values, "PALETTE COLOR"), np.arange(65536, dtype="<u2").tobytes(), 65536, 16)
    assert np.array_equal(read_image(saved(tmp_path / "a.dcm", data, values.tobytes())).pixels[..., 0], values >> 8)


def test_a_broken_colour_table_is_named(tmp_path):
    data = tables(header(RAMP, "PALETTE COLOR"), words(0, 64), 256, 16, segmented=True)
    with pytest.raises(InvalidInput, match=r"unreadable-image.*broken colour table"):
        read_image(saved(tmp_path / "a.dcm", data, RAMP.tobytes()))


@pytest.mark.parametrize(("kind", "high"), [("u", 11), ("i", 11), ("u", 15), ("i", 15)])
def test_bits_beside_the_value_are_no_part_of_it(tmp_path, kind, high):
    low = -2048 if kind == "i" else 0
    values = np.linspace(low, low + 4095, 18 * 26).round().astype(f"{kind}2").reshape(18, 26)
    shift = high - 11
    clean = ((values.astype(np.int32) & 0xFFF) << shift).astype(np.uint16)
    overlaid = clean | (RNG.integers(0, 16, clean.shape).astype(np.uint16) << (12 if shift == 0 else 0))
    elements = {"BitsStored": 12, "HighBit": high}
    stored = header(values, **elements)
    shown = read_image(saved(tmp_path / "a.dcm", stored, overlaid.tobytes())).pixels[..., 0]
    expected = np.rint((values.astype(float) - low) * 255 / 4095) if kind == "i" else values >> 4
    assert np.array_equal(shown, expected)


def test_colour_planes_subsampled_colours_and_byte_orders(tmp_path):
    planes = header(RGB, "RGB", PlanarConfiguration=1)
    assert np.array_equal(read_image(saved(tmp_path / "a.dcm", planes, RGB.transpose(2, 0, 1).tobytes())).pixels, RGB)
    # Y1 Y2 Cb Cr: 76, 85, 255 is red.
    pairs = np.tile(np.array([76, 76, 85, 255], np.uint8), 18 * 13)
    half = header(RGB, "YBR_FULL_422")
    red = read_image(saved(tmp_path / "b.dcm", half, pairs.tobytes())).pixels
    assert red.shape == RGB.shape and np.abs(red.reshape(-1, 3).astype(int) - [254, 0, 0]).max() <= 2
    deep = (GREY.astype(np.uint16) << 8) | 7
    for name, syntax, order in (
        ("big", uid.ExplicitVRBigEndian, ">u2"),
        ("implicit", uid.ImplicitVRLittleEndian, "<u2"),
        ("deflated", uid.DeflatedExplicitVRLittleEndian, "<u2"),
    ):
        path = saved(tmp_path / f"{name}.dcm", header(deep, syntax=syntax), deep.astype(order).tobytes())
        assert np.array_equal(read_image(path).pixels[..., 0], GREY), name
    inverse = saved(tmp_path / "mono1.dcm", header(deep, "MONOCHROME1"), deep.tobytes())
    assert np.array_equal(read_image(inverse).pixels[..., 0], 255 - GREY)


def test_files_without_preamble_with_private_junk_and_an_odd_frame_time(tmp_path):
    clip = np.stack([GREY, GREY[::-1]])
    data = header(clip, FrameTime="0", SOPClassUID=uid.UltrasoundMultiFrameImageStorage)
    block = data.private_block(0x0029, "SOME MACHINE", create=True)
    block.add_new(0x01, "OB", bytes(range(256)) * 40)
    block.add_new(0x02, "SQ", [Dataset()])
    path = saved(tmp_path / "clip.dcm", data, clip.tobytes())
    assert frames(path) == 2 and np.array_equal(read_frame(path, 1).pixels[..., 0], GREY[::-1])
    bare = tmp_path / "bare.dcm"
    bare.write_bytes(path.read_bytes()[132:])
    assert frames(bare) == 2 and np.array_equal(read_frame(bare, 1).pixels[..., 2], GREY[::-1])


def test_functional_groups_of_each_frame(tmp_path):
    clip = np.stack([GREY, GREY]).astype(np.uint16) * 4

    def group(spacing, centre, width) -> Dataset:
        item, measures, window = Dataset(), Dataset(), Dataset()
        measures.PixelSpacing = spacing
        window.WindowCenter, window.WindowWidth = centre, width
        item.PixelMeasuresSequence, item.FrameVOILUTSequence = [measures], [window]
        return item

    data = header(
        clip, PerFrameFunctionalGroupsSequence=[group([0.5, 0.25], 128.5, 257), group([0.1, 0.2], 512.5, 1025)]
    )
    path = saved(tmp_path / "a.dcm", data, clip.tobytes())
    first, second = read_frame(path, 0), read_frame(path, 1)
    assert first.spacing == (0.5, 0.25) and second.spacing == (0.1, 0.2)
    assert first.info["spacing_from"] == "PixelSpacing"
    expected = [np.clip(clip[0] / 256 * 255, 0, 255), np.clip(clip[0] / 1024 * 255, 0, 255)]
    for image, grey in zip((first, second), expected, strict=True):
        assert np.abs(image.pixels[..., 0] - grey).max() <= 1
    shared = header(clip, SharedFunctionalGroupsSequence=[group([0.3, 0.3], 512.5, 1025)])
    assert read_frame(saved(tmp_path / "b.dcm", shared, clip.tobytes()), 1).spacing == (0.3, 0.3)


def region(delta=(0.02, 0.03), box=(0, 0, 25, 17), units=3, spatial=1) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = spatial, 1
    item.RegionLocationMinX0, item.RegionLocationMinY0, item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = units
    item.PhysicalDeltaX, item.PhysicalDeltaY = delta
    return item


def calibrated(path, *regions, **elements):
    data = header(GREY, **elements)
    if regions:
        data.SequenceOfUltrasoundRegions = list(regions)
    image = read_image(saved(path, data, GREY.tobytes()))
    return image.scale, image.info["warnings"]


def test_sizes_of_pixels_that_nobody_believes(tmp_path):
    for delta in ((200.0, 200.0), (0.02, 0.0004), (1e-5, 1e-5)):
        scale, warnings = calibrated(tmp_path / "a.dcm", region(delta))
        assert scale.spacing is None and scale.of_box((1, 1, 5, 5)) == (None, None)
        assert warnings == ["implausible-spacing"]
    scale, warnings = calibrated(tmp_path / "b.dcm", PixelSpacing=[2000, 2000])
    assert scale.spacing is None and warnings == ["implausible-spacing"]
    # One region of two is believed.
    scale, warnings = calibrated(tmp_path / "c.dcm", region(box=(0, 0, 9, 17)), region((30, 30), (10, 0, 25, 17)))
    assert scale.of_box((1, 1, 8, 8))[0] == pytest.approx((0.3, 0.2)) and warnings == ["implausible-spacing"]
    assert scale.of_box((12, 1, 18, 8)) == (None, "outside-calibrated-region")
    # Nonsense in the region is not made good by the file's other size.
    scale, warnings = calibrated(tmp_path / "d.dcm", region((200.0, 200.0)), PixelSpacing=[0.2, 0.2])
    assert scale.spacing is None and warnings == ["implausible-spacing"]


def test_sizes_of_pixels_that_contradict_each_other(tmp_path):
    scale, warnings = calibrated(tmp_path / "a.dcm", region(), PixelSpacing=[0.3, 0.2])
    assert scale.spacing == pytest.approx((0.3, 0.2)) and warnings == []
    scale, warnings = calibrated(tmp_path / "b.dcm", region(), PixelSpacing=[0.6, 0.4])
    assert scale.spacing is None and warnings == ["calibrations-disagree"]


def test_traces_have_no_millimetres_whatever_else_the_file_says(tmp_path):
    trace = region((0.01, 0.01), (0, 10, 25, 17), spatial=2)
    scale, warnings = calibrated(tmp_path / "a.dcm", trace, PixelSpacing=[0.2, 0.2])
    assert scale.of_box((1, 1, 5, 5)) == ((0.2, 0.2), None) and warnings == []
    assert scale.of_box((1, 11, 5, 15)) == (None, "not-a-plane")
    velocity = region((0.01, 0.5), units=4, spatial=3)
    assert calibrated(tmp_path / "b.dcm", velocity)[0].of_box((1, 1, 5, 5)) == (None, None)


@pytest.mark.parametrize(
    ("sop", "words"),
    [
        (uid.BasicTextSRStorage, "Basic Text SR"),
        (uid.ComprehensiveSRStorage, "Comprehensive SR"),
        (uid.MediaStorageDirectoryStorage, "Media Storage Directory"),
        (uid.GrayscaleSoftcopyPresentationStateStorage, "Grayscale Softcopy Presentation State"),
        (uid.KeyObjectSelectionDocumentStorage, "Key Object Selection Document"),
        (uid.SegmentationStorage, "Segmentation"),
        (uid.RTStructureSetStorage, "RT Structure Set"),
        (uid.RTDoseStorage, "RT Dose"),
        (uid.EncapsulatedPDFStorage, "Encapsulated PDF"),
        (uid.RawDataStorage, "Raw Data"),
        (uid.GeneralECGWaveformStorage, "General ECG Waveform"),
        ("1.2.276.0.7230010.3.9.9", "private or unknown class"),
    ],
)
def test_files_that_hold_no_picture_are_called_by_their_kind(tmp_path, sop, words):
    data = header(GREY)
    pixels = words in ("Segmentation", "RT Dose")
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = sop
    if not pixels:
        for name in ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "PhotometricInterpretation"):
            delattr(data, name)
        pydicom.dcmwrite(tmp_path / "a.dcm", data, enforce_file_format=True)
    else:
        saved(tmp_path / "a.dcm", data, GREY.tobytes())
    for ask in (frames, read_image):
        with pytest.raises(InvalidInput, match=words) as caught:
            ask(tmp_path / "a.dcm")
        assert caught.value.code == "no-picture" and "Secret" not in str(caught.value)


@pytest.mark.parametrize("lost", ["Rows", "PixelData"])
def test_an_ultrasound_image_that_lost_its_picture_is_a_failure(tmp_path, lost):
    data = header(GREY)
    saved(tmp_path / "a.dcm", data, GREY.tobytes())
    delattr(data, lost)
    pydicom.dcmwrite(tmp_path / "b.dcm", data, enforce_file_format=True)
    with pytest.raises(InvalidInput, match="not-an-image"):
        read_image(tmp_path / "b.dcm")


def test_a_private_class_with_a_picture_is_read(tmp_path):
    data = header(GREY)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.276.0.7230010.3.9.9"
    assert np.array_equal(read_image(saved(tmp_path / "a.dcm", data, GREY.tobytes())).pixels[..., 0], GREY)


@pytest.mark.parametrize("element", [b"\x28\0\x10\0US", b"\x08\0\x60\0CS", b"\x08\0\x16\0UI", b"\x28\0\0\x01US"])
def test_elements_that_cannot_be_understood_are_named(tmp_path, element):
    """Rows, Modality, SOP Class UID, Bits Allocated with a value representation that there is not."""
    path = saved(tmp_path / "a.dcm", header(GREY), GREY.tobytes())
    content = path.read_bytes()
    assert content.count(element) == 1
    path.write_bytes(content.replace(element, element[:4] + b"ZZ"))
    with pytest.raises(InvalidInput, match="unreadable-image") as caught:
        read_image(path)
    assert "Secret" not in str(caught.value)
