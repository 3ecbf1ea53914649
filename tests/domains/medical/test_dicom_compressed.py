"""Compressed DICOM: what the encoders of the extra `dicom` wrote comes back; what cannot be read names the remedy."""

import warnings

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames

from domains.medical.intake import dicom_decoders
from domains.medical.intake.dicom_decoders import compressions, short_name
from domains.medical.intake.gdcm_jpeg import checked
from domains.medical.intake.images import frame_count, read_image
from polyhead.batch.case import InvalidInput

WAVES = np.sin(np.arange(40) / 7)[:, None] * np.cos(np.arange(48) / 9)
GREY = (127 + 120 * WAVES).astype(np.uint8)
DEEP = (2047 + 2000 * WAVES).astype(np.uint16)
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], -1)


def native(path, values: np.ndarray, model="MONOCHROME2", bits=None, syntax=uid.ExplicitVRLittleEndian):
    """An uncompressed file of (H, W) or (H, W, 3), or of several frames (N, H, W, 3)."""
    data, meta = Dataset(), FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = data.SOPClassUID = uid.UltrasoundImageStorage
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = uid.generate_uid()
    data.file_meta = meta
    data.Modality, data.PhotometricInterpretation, data.PatientName = "US", model, "Secret^Name"
    data.SamplesPerPixel = 1 if values.ndim == 2 else 3
    if values.ndim > 2:
        data.PlanarConfiguration = 0
    if values.ndim == 4:
        data.NumberOfFrames = len(values)
    data.Rows, data.Columns = values.shape[-3:-1] if values.ndim > 2 else values.shape
    data.BitsAllocated = values.dtype.itemsize * 8
    data.BitsStored = bits or data.BitsAllocated
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
    if syntax.is_encapsulated:
        data.PixelData = encapsulate([values.tobytes()])
    else:
        data.PixelData = values.tobytes()
    data["PixelData"].VR = "OW" if data.BitsAllocated > 8 else "OB"
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


def by_gdcm(path, target, syntax: str):
    """Compresses a file with GDCM."""
    gdcm = pytest.importorskip("gdcm")
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return target


LOSSLESS = {
    "JPEGLosslessProcess14": uid.JPEGLossless,
    "JPEGLosslessProcess14_1": uid.JPEGLosslessSV1,
    "JPEGLSLossless": uid.JPEGLSLossless,
    "JPEG2000Lossless": uid.JPEG2000Lossless,
    "RLELossless": uid.RLELossless,
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_frames_come_back(tmp_path, name):
    for values, model, bits in ((GREY, "MONOCHROME2", None), (DEEP, "MONOCHROME2", 12), (RGB, "RGB", None)):
        plain = native(tmp_path / f"{values.dtype}{values.ndim}.dcm", values, model, bits)
        packed = by_gdcm(plain, tmp_path / f"{values.dtype}{values.ndim}.packed.dcm", name)
        assert pydicom.dcmread(packed).file_meta.TransferSyntaxUID == LOSSLESS[name]
        assert np.array_equal(read_image(packed).pixels, read_image(plain).pixels)
        assert read_image(packed).info["transfer_syntax"] == LOSSLESS[name].name


def test_frames_of_a_compressed_clip(tmp_path):
    clip = np.stack([RGB, RGB[::-1], 255 - RGB])
    packed = by_gdcm(native(tmp_path / "a.dcm", clip, "RGB"), tmp_path / "b.dcm", "JPEGLosslessProcess14_1")
    assert frame_count(packed) == 3
    for index, frame in enumerate(clip):
        assert np.array_equal(read_image(packed, index).pixels, frame)


def test_near_lossless_frames_are_near(tmp_path):
    pytest.importorskip("jpeg_ls")
    data = pydicom.dcmread(native(tmp_path / "a.dcm", GREY))
    data.compress(uid.JPEGLSNearLossless, jls_error=3, encoding_plugin="pyjpegls")
    data.save_as(tmp_path / "b.dcm")
    error = np.abs(read_image(tmp_path / "b.dcm").pixels[..., 0].astype(int) - GREY)
    assert 0 < error.max() <= 3


def test_12_bit_jpeg(tmp_path):
    packed = by_gdcm(native(tmp_path / "a.dcm", DEEP, bits=12), tmp_path / "b.dcm", "JPEGExtendedProcess2_4")
    data = pydicom.dcmread(packed)
    assert data.file_meta.TransferSyntaxUID == uid.JPEGExtended12Bit and data.BitsStored == 12
    error = np.abs(read_image(packed).pixels[..., 0].astype(int) - (DEEP >> 4))
    assert error.max() <= 1
    cut = data.PixelData[: len(data.PixelData) // 2]
    data.PixelData = cut + b"\0" * (len(cut) % 2)
    data["PixelData"].is_undefined_length = True
    data.save_as(tmp_path / "c.dcm")
    with pytest.raises(InvalidInput, match=r"unreadable-image|truncated-image"):
        read_image(tmp_path / "c.dcm")


@pytest.mark.parametrize(("place", "value"), [(17, 216), (24, 200), (26, 9), (27, 4), (43, 255), (65, 7), (-30, 0)])
def test_damaged_frames_are_named_and_do_not_end_the_process(tmp_path, place, value):
    pytest.importorskip("gdcm")
    path = pydicom.data.get_testdata_file("SC_rgb_jpeg_gdcm.dcm", download=False)
    assert isinstance(path, str)
    data = pydicom.dcmread(path)
    frame = bytearray(next(generate_frames(data.PixelData, number_of_frames=1)))
    frame[place] = value
    data.PixelData = encapsulate([bytes(frame)])
    data["PixelData"].is_undefined_length = True
    data.save_as(tmp_path / "a.dcm")
    if place < 0:
        assert read_image(tmp_path / "a.dcm").size == (100, 100)
        return
    with pytest.raises(InvalidInput, match="unreadable-image"):
        read_image(tmp_path / "a.dcm")


def test_the_headers_of_a_frame_are_looked_through():
    tables = b"\xff\xc4" + (2 + 17 + 2).to_bytes(2) + bytes([0, 0, 2, *[0] * 14]) + bytes([3, 4])
    start = b"\xff\xc3" + (11).to_bytes(2) + bytes([12, 0, 40, 0, 48, 1, 1, 0x11, 0])
    scan = b"\xff\xda" + (8).to_bytes(2) + bytes([1, 1, 0, 1, 0, 0])
    size = {"rows": 40, "columns": 48, "samples": 1, "lossless": True}
    assert checked(b"\xff\xd8" + start + tables + scan, **size) == 12
    for broken in (
        b"\xff\xd8" + start + scan,  # no table
        b"\xff\xd8" + tables + scan,  # no frame
        b"\xff\xd8" + start + tables,  # no scan
        b"\xff\xd8" + start + start + tables + scan,
        b"\xff\xd8" + start + tables + scan[:-3] + bytes([8, 0, 0]),  # predictor 8
        start + tables + scan,
        b"",
    ):
        with pytest.raises(ValueError, match="headers are broken"):
            checked(broken, **size)
    with pytest.raises(ValueError, match="those of the data set"):
        checked(b"\xff\xd8" + start + tables + scan, **{**size, "rows": 41})


def test_the_12_bit_frames_that_pydicom_ships():
    pytest.importorskip("gdcm")
    path = pydicom.data.get_testdata_file("JPGExtended.dcm", download=False)
    assert isinstance(path, str)
    # Values that pydicom's own tests state for this file: 244 at [420, 140], 95 at [230, 120].
    image = read_image(path)
    window = image.info.get("scaling"), image.info.get("depth")
    grey = image.pixels[..., 0].astype(float)
    assert window == (None, 10) and (grey[420, 140], grey[230, 120]) == (244 >> 2, 95 >> 2)


@pytest.mark.parametrize(
    "syntax", [uid.JPEGLosslessSV1, uid.JPEGLossless, uid.JPEGLSLossless, uid.HTJ2KLossless, uid.JPEGExtended12Bit]
)
def test_without_a_decoder_the_error_says_what_to_install(tmp_path, monkeypatch, syntax):
    monkeypatch.setattr(dicom_decoders, "_plugins", lambda syntax, bits: [])
    monkeypatch.setattr(dicom_decoders, "find_spec", lambda module: None)
    path = native(tmp_path / "a.dcm", DEEP, bits=12, syntax=syntax)
    with pytest.raises(InvalidInput) as caught:
        read_image(path)
    assert caught.value.code == "unsupported-format" and str(syntax) in caught.value.reason
    assert "pip install 'polyhead[dicom]'" in caught.value.remedy and "export" not in caught.value.remedy
    assert "Secret" not in str(caught.value)


def test_a_decoder_that_is_there_but_not_for_these_bits_is_a_decoder_that_is_missing(tmp_path, monkeypatch):
    def incapable(*_, **__):
        raise NotImplementedError("Secret^Name")

    monkeypatch.setattr(dicom_decoders, "_plugins", lambda syntax, bits: ["pillow"])
    monkeypatch.setattr(dicom_decoders, "pixel_array", incapable)
    path = native(tmp_path / "a.dcm", DEEP, bits=12, syntax=uid.JPEG2000)
    for installed, advised in ((None, True), ("all", False)):
        monkeypatch.setattr(dicom_decoders, "find_spec", lambda module, installed=installed: installed)
        with pytest.raises(InvalidInput, match=r"unsupported-format.*JPEG 2000") as caught:
            read_image(path)
        assert ("polyhead[dicom]" in caught.value.remedy) is advised and "Secret" not in str(caught.value)


def test_a_video_is_said_to_be_one(tmp_path):
    with pytest.raises(InvalidInput, match=r"unsupported-format.*video") as caught:
        read_image(native(tmp_path / "a.dcm", RGB, "YBR_FULL", syntax=uid.MPEG4HP41))
    assert "pip" not in caught.value.remedy


def test_decoders_are_listed_and_those_of_the_base_installation_are_always_there():
    listed = {each.syntax: each.is_read for each in compressions()}
    assert len(listed) == 12
    assert all(listed[each] for each in (uid.RLELossless, uid.JPEGBaseline8Bit, uid.JPEG2000, uid.JPEG2000Lossless))
    assert short_name(uid.JPEGLosslessSV1) == "JPEG Lossless SV1 (1.2.840.10008.1.2.4.70)"


def test_with_the_extra_all_is_read():
    pytest.importorskip("gdcm")
    pytest.importorskip("jpeg_ls")
    pytest.importorskip("openjpeg")
    assert all(each.is_read for each in compressions())


def test_no_decoder_of_the_extra_changes_what_is_read_without_it(tmp_path):
    """Baseline JPEG keeps to Pillow, whose pixels an installation without the extra gives."""
    import io

    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.fromarray(GREY).save(buffer, format="JPEG", quality=60)
    path = native(tmp_path / "a.dcm", GREY, syntax=uid.JPEGBaseline8Bit)
    data = pydicom.dcmread(path)
    data.PixelData = encapsulate([buffer.getvalue()])
    data["PixelData"].is_undefined_length = True
    data.save_as(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(read_image(path).pixels[..., 0], np.asarray(Pillow.open(buffer)))
