"""Frames of single- and multi-frame DICOM as 8-bit RGB with their pixel spacing; a patient's data are never read."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, config, dcmread
from pydicom.encaps import parse_basic_offsets, parse_fragments
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_windowing
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from domains.medical.intake.dicom_calibration import calibration_of
from domains.medical.intake.dicom_decoders import decode
from domains.medical.intake.dicom_kinds import NO_PICTURE, kind_without_picture
from domains.medical.intake.picture import Image, check_size, is_constant, to_8bit
from polyhead.batch.case import InvalidInput

# Validation warnings quote the values that they complain about; those may name a patient.
config.settings.reading_validation_mode = config.IGNORE

_TAGS = [
    "Modality",
    "SOPClassUID",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "PixelRepresentation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "SequenceOfUltrasoundRegions",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "BurnedInAnnotation",
    "PixelData",
]
_COLOURS = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"}
_EXPORT = "export it again as an image, or convert it with a DICOM tool to Explicit VR Little Endian"
_FRAME_VALUES = {
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction"),
}
"""Elements that a frame of an enhanced object may have for itself (DICOM PS3.3 C.7.6.16)."""


def frames(path: Path) -> int:
    """Number of frames: the greater of `frame_counts`, which differ in damaged files; raises as that does."""
    return max(frame_counts(path))


def frame_counts(path: Path) -> tuple[int, int]:
    """Frames that the pixel data hold, and frames that the header announces.

    Raises:
        InvalidInput: ``no-picture`` (a report, a directory, ...), ``not-an-image``, ``unreadable-image``,
            ``too-large``, ``too-small``.
    """
    header, held, _ = _header(path)
    return held, _said(header)


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) in pixels; raises as `frames` does."""
    header, _, _ = _header(path)
    return int(header.Rows), int(header.Columns)


def read_frame(path: Path, index: int = 0) -> Image:
    """Reads one frame as RGB uint8.

    Grey values of 8 bits are kept; deeper ones go through the file's modality rescaling and window where it has them,
    else are scaled as in `picture.to_8bit` (signed ones from minimum to maximum). MONOCHROME1 is inverted, YBR_* and
    PALETTE COLOR become RGB.

    Sizes of pixels are as `dicom_calibration.calibration_of` finds them.

    Args:
        path: a DICOM file.
        index: frame from 0.

    Returns:
        `Image`; ``info`` holds format, modality, photometric, transfer_syntax, frame, frames, regions,
        spacing_from and warnings (``burned-in-annotation``, ``frame-count-mismatch``, ``not-ultrasound``,
        ``constant-image``, and those of `calibration_of`).

    Raises:
        InvalidInput: ``no-picture``, ``not-an-image``, ``unreadable-image``, ``truncated-image``, ``too-large``,
            ``too-small``, ``unsupported-format`` (no installed decoder, or an unknown colour model),
            ``no-such-frame``.
    """
    try:
        return _read_frame(Path(path), index)
    except InvalidInput:
        raise
    except Exception:  # elements are understood when they are asked for; their words may quote the data set
        raise InvalidInput("unreadable-image", f"{Path(path).name} has broken elements", _EXPORT) from None


def _read_frame(path: Path, index: int) -> Image:
    header, held, has_pixels = _header(path)
    said = _said(header)
    count = max(said, held)
    if not has_pixels:
        raise InvalidInput("not-an-image", f"{path.name} has no pixel data", _EXPORT)
    if not 0 <= index < count:
        reason = f"{path.name} has no frame {index}; frames go from 0 to {count - 1}"
        raise InvalidInput("no-such-frame", reason, "ask for one of its frames")
    if index >= held:
        reason = f"{path.name} announces {said} frames and holds {held}; frame {index} is missing"
        raise InvalidInput("truncated-image", reason, "copy or export it again")
    warnings = []
    if said != held:
        warnings.append("frame-count-mismatch")
    if header.get("BurnedInAnnotation") == "YES":
        warnings.append("burned-in-annotation")
    if header.get("Modality") not in {"US", "IVUS"}:
        warnings.append("not-ultrasound")
    stored = _decode(path, header, index, held)
    info: dict[str, Any] = {
        "format": "DICOM",
        "mode": str(header.get("PhotometricInterpretation", "")),
        "modality": str(header.get("Modality") or ""),
        "transfer_syntax": _syntax(header).name,
        "frame": index,
        "frames": count,
    }
    try:
        pixels = _rgb(path, _used_bits(stored, header), _of_frame(header, index), info)
    except InvalidInput:
        raise
    except Exception:  # a window, rescaling or bit depth that makes no sense
        reason = f"{path.name} has broken elements for its grey values"
        raise InvalidInput("unreadable-image", reason, _EXPORT) from None
    calibration, told = calibration_of(header, index, warnings)
    if is_constant(pixels):
        warnings.append("constant-image")
    return Image(pixels, calibration.spacing, info | told | {"warnings": warnings}, calibration)


def _header(path: Path) -> tuple[Dataset, int, bool]:
    """The elements of `_TAGS`, the number of frames that the pixel data hold, and whether there are pixel data."""
    path = Path(path)
    try:
        stamp = path.stat()
    except OSError:
        raise InvalidInput("missing-file", f"{path} does not exist", "check the path") from None
    return _read_header(path, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=8)
def _read_header(path: Path, _modified: int, _bytes: int) -> tuple[Dataset, int, bool]:
    try:
        # Named elements only, so no patient's data come into memory; pixel data stay on disk.
        header = dcmread(path, force=True, specific_tags=[*_TAGS], defer_size=4096)
    except Exception:  # broken files raise nearly anything
        raise InvalidInput("unreadable-image", f"{path.name} is a broken DICOM file", _EXPORT) from None
    try:
        size, kind = (header.get("Rows"), header.get("Columns")), kind_without_picture(header)
    except Exception:
        raise InvalidInput("unreadable-image", f"{path.name} has broken elements", _EXPORT) from None
    try:
        rows, columns = (int(side or 0) for side in size)
    except (TypeError, ValueError):
        rows, columns = 0, 0
    if kind is not None:
        reason = f"{path.name} is a DICOM {kind}, which holds no picture"
        raise InvalidInput(NO_PICTURE, reason, "nothing needs to be done")
    if rows < 1 or columns < 1:
        raise InvalidInput("not-an-image", f"{path.name} is DICOM without an image", "give an image or clip")
    check_size(path, rows, columns)
    try:
        held, has_pixels = _held(path, header)
    except Exception:
        raise InvalidInput("unreadable-image", f"{path.name} has broken pixel data", _EXPORT) from None
    return header, held, has_pixels


def _said(header: Dataset) -> int:
    try:
        return max(1, int(header.get("NumberOfFrames") or 1))
    except Exception:  # none that can be understood
        return 1


def _syntax(header: Dataset) -> Any:
    """The transfer syntax; where the file does not name one, the one that its header was found to be written in."""
    named = header.file_meta.get("TransferSyntaxUID") if hasattr(header, "file_meta") else None
    if named:
        return named
    implicit, little = header.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _held(path: Path, header: Dataset) -> tuple[int, bool]:
    """Frames in the pixel data, from lengths and offsets alone."""
    if "PixelData" not in header:
        return 0, False
    element: Any = header.get_item("PixelData", keep_deferred=True)
    syntax = _syntax(header)
    if not syntax.is_encapsulated:
        bits = int(header.BitsAllocated) * int(header.get("SamplesPerPixel") or 1)
        if header.get("PhotometricInterpretation") == "YBR_FULL_422":
            bits = bits * 2 // 3
        length = element.length if element.value is None else len(element.value)
        if element.value is None and syntax != DeflatedExplicitVRLittleEndian:
            # Deferred reading does not notice that a file ends before its pixel data do.
            length = min(length, path.stat().st_size - element.value_tell)
        return length * 8 // (bits * int(header.Rows) * int(header.Columns)), True
    said = _said(header)
    with path.open("rb") as file:
        file.seek(element.value_tell)
        offsets = parse_basic_offsets(file)
        fragments, _ = parse_fragments(file)
    if offsets:
        return min(len(offsets), fragments), True
    if syntax == RLELossless or fragments < said:
        return fragments, True
    return said, True


def _decode(path: Path, header: Dataset, index: int, held: int) -> np.ndarray:
    syntax = _syntax(header)
    bits = int(header.get("BitsStored") or header.get("BitsAllocated") or 8)
    try:
        source: Any = path
        if not header.file_meta.get("TransferSyntaxUID") or syntax == DeflatedExplicitVRLittleEndian:
            source = dcmread(path, force=True, specific_tags=[*_TAGS])
            source.file_meta.TransferSyntaxUID = syntax
        # `_used_bits` does it for files whose values end below or above as well.
        as_stored = {} if syntax.is_encapsulated else {"correct_unused_bits": False}
        return decode(path, source, syntax, bits, index=index, number_of_frames=held, **as_stored)
    except InvalidInput:
        raise
    except Exception as error:  # its words may quote the data set, so they go no further
        if "less than expected" in str(error) or isinstance(error, EOFError):
            raise InvalidInput("truncated-image", f"{path.name} ends too early (DICOM)", "export it again") from None
        reason = f"frame {index} of {path.name} cannot be decoded ({syntax.name})"
        raise InvalidInput("unreadable-image", reason, _EXPORT) from None


def _of_frame(header: Dataset, index: int) -> Dataset:
    """The header with what the functional groups say of the grey values of one frame."""
    own = list(header.get("PerFrameFunctionalGroupsSequence") or [])[index : index + 1]
    groups = [*(header.get("SharedFunctionalGroupsSequence") or []), *own]
    told = {}
    for group in groups:
        for sequence, names in _FRAME_VALUES.items():
            for item in list(group.get(sequence) or [])[:1]:
                told |= {name: item[name] for name in names if name in item}
    if not told:
        return header
    found = Dataset()
    found.update({element.tag: element for element in header if element.keyword != "PixelData"})
    found.update({element.tag: element for element in told.values()})
    return found


def _rgb(path: Path, stored: np.ndarray, header: Dataset, info: dict[str, Any]) -> np.ndarray:
    """uint8 (H, W, 3) of one decoded frame; notes in `info` how deeper values were scaled."""
    model = str(header.get("PhotometricInterpretation", ""))
    bits = int(header.get("BitsStored") or header.BitsAllocated)
    if model == "PALETTE COLOR":
        try:
            return _looked_up(stored, header)
        except Exception:
            reason = f"{path.name} has a broken colour table"
            raise InvalidInput("unreadable-image", reason, _EXPORT) from None
    if model in _COLOURS and stored.ndim == 3:
        return np.array(stored, np.uint8) if bits <= 8 else (stored >> (bits - 8)).astype(np.uint8)
    if model not in {"MONOCHROME1", "MONOCHROME2"} or stored.ndim != 2:
        reason = f"{path.name} has the colour model {model or 'none'}, which is not read"
        raise InvalidInput("unsupported-format", reason, _EXPORT)
    grey = _grey(stored, header, info)
    if model == "MONOCHROME1":
        grey = 255 - grey
    return np.repeat(grey[..., None], 3, axis=2)


def _looked_up(stored: np.ndarray, header: Dataset) -> np.ndarray:
    """Indices by the colour table, plain or segmented (DICOM PS3.3 C.7.6.3.1.5, C.7.9.2), as uint8 (H, W, 3)."""
    entries, first, _ = header.RedPaletteColorLookupTableDescriptor
    table = apply_color_lut(np.arange(first, first + (entries or 1 << 16)), header)[:, :3]
    coloured = table[np.clip(stored.astype(np.int64) - first, 0, len(table) - 1)]
    # Some machines keep 8 bits in entries of 16.
    return (coloured if table.max() < 256 else coloured >> 8).astype(np.uint8)


def _used_bits(stored: np.ndarray, header: Dataset) -> np.ndarray:
    """Without the bits beside those of the value, in which old files keep overlays (retired in DICOM 2004)."""
    allocated, bits = stored.dtype.itemsize * 8, int(header.get("BitsStored") or header.BitsAllocated)
    if stored.dtype.kind not in "iu" or bits >= allocated:
        return stored
    low = max(0, int(header.get("HighBit", bits - 1)) + 1 - bits) if not _syntax(header).is_encapsulated else 0
    up = max(0, allocated - bits - low)
    # Up to the last bit and down again: the sign comes along.
    return (stored << up) >> (up + low)


def _grey(stored: np.ndarray, header: Dataset, info: dict[str, Any]) -> np.ndarray:
    if stored.dtype == np.uint8 and not header.get("WindowWidth"):
        bits = int(header.get("BitsStored") or 8)
        return (stored.astype(np.uint16) * 255 // ((1 << bits) - 1)).astype(np.uint8) if bits < 8 else stored
    values = apply_modality_lut(stored, header)
    if header.get("WindowWidth") and header.get("WindowCenter") is not None:
        shown = apply_windowing(values, header)
        low, high = _window_range(header)
        info["scaling"] = "window"
        return np.clip(np.rint((shown - low) * (255 / (high - low))), 0, 255).astype(np.uint8)
    if np.issubdtype(stored.dtype, np.unsignedinteger) and values.dtype == stored.dtype:
        grey, info["depth"] = to_8bit(stored)
        return grey
    low, high = float(values.min()), float(values.max())
    info["scaling"] = "minimum to maximum"
    return np.rint((values - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)


def _window_range(header: Dataset) -> tuple[float, float]:
    """The range that `apply_windowing` maps the window to: that of the stored values after rescaling."""
    bits, signed = int(header.get("BitsStored") or header.BitsAllocated), bool(header.get("PixelRepresentation"))
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    slope, intercept = float(header.get("RescaleSlope") or 1), float(header.get("RescaleIntercept") or 0)
    return low * slope + intercept, high * slope + intercept
