"""JPEG Lossless and 12-bit JPEG by GDCM, as a decoder plugin of pydicom.

GDCM ends the whole process on some damaged frames, so the headers of a frame are looked through before it gets one; and
pydicom gives it 8 bits only.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydicom.uid import JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

SYNTAXES = (JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)
DECODER_DEPENDENCIES = dict.fromkeys(SYNTAXES, ("python-gdcm>=3.0.24",))
_SOF = {0xC0, 0xC1, 0xC3}
_LOSSLESS = 0xC3


def is_available(uid: str) -> bool:
    """Whether GDCM is installed; called by pydicom."""
    return uid in SYNTAXES and find_spec("gdcm") is not None


def decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """The values of one encoded frame, in as many bytes as the data set says; called by pydicom.

    Raises:
        NotImplementedError: Extended JPEG of 8 bits, or of 12 in several channels.
        ValueError: the frame is broken, or is not what the data set says that it is.
    """
    if runner.transfer_syntax == JPEGExtended12Bit and (runner.bits_stored <= 8 or runner.samples_per_pixel != 1):
        raise NotImplementedError("grey values of 9 to 12 bits only")
    bits = checked(
        source,
        rows=runner.rows,
        columns=runner.columns,
        samples=runner.samples_per_pixel,
        lossless=runner.transfer_syntax != JPEGExtended12Bit,
    )
    if (8 if bits <= 8 else 16) != runner.bits_allocated:
        raise ValueError("the frame has other bits than the data set says")
    gdcm: Any = import_module("gdcm")
    # It tries 8 bits first and would say on the terminal that this was wrong.
    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(source)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetDataElement(element)
    model = gdcm.PhotometricInterpretation.GetPIType(str(runner.photometric_interpretation))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(model))
    if runner.samples_per_pixel > 1:
        image.SetPlanarConfiguration(runner.planar_configuration)
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(runner.transfer_syntax))))
    image.SetPixelFormat(
        gdcm.PixelFormat(
            runner.samples_per_pixel,
            runner.bits_allocated,
            runner.bits_stored,
            runner.bits_stored - 1,
            runner.pixel_representation,
        )
    )
    buffer = image.GetBuffer()
    # GDCM's char* comes as text.
    values = b"" if buffer is None else buffer.encode("utf-8", "surrogateescape")
    if len(values) != runner.rows * runner.columns * runner.samples_per_pixel * runner.bits_allocated // 8:
        raise ValueError("the frame is broken")
    return values


def checked(source: bytes, *, rows: int, columns: int, samples: int, lossless: bool) -> int:
    """Bits of a sample of a JPEG frame (ISO 10918-1, B.2), whose headers are whole and of the size that is expected.

    Raises:
        ValueError: they are not.
    """
    place, bits, components, tables = 2, 0, set[int](), set[int]()
    _require(source[:2] == b"\xff\xd8")
    while True:
        _require(place + 4 <= len(source) and source[place] == 0xFF)
        marker, size = source[place + 1], int.from_bytes(source[place + 2 : place + 4])
        if marker == 0xFF:
            place += 1
            continue
        body = source[place + 4 : place + 2 + size]
        _require(size >= 2 and len(body) == size - 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            _require(marker in _SOF and (marker == _LOSSLESS) is lossless and not bits and len(body) == 6 + 3 * samples)
            _require((int.from_bytes(body[1:3]), int.from_bytes(body[3:5]), body[5]) == (rows, columns, samples))
            bits, components = body[0], set(body[6::3])
            # 16 of Extended JPEG are not in the standard, but GDCM itself says so of its 12.
            _require(2 <= bits <= 16 and len(components) == samples)
            _require(all(factors == 0x11 for factors in body[7::3]))
        elif marker == 0xEE and body[:5] == b"Adobe":
            _require(len(body) == 12 and body[11] in (0, 1, 2))
        elif marker == 0xC4:
            tables |= _huffman_tables(body, 16 if lossless else 255)
        elif marker == 0xDA:
            # One scan of all components, or one a component, of which the first stands for all.
            count = body[0] if body else 0
            _require(bool(bits) and count in (1, samples) and len(body) == 4 + 2 * count)
            _require(set(body[1 : 1 + 2 * count : 2]) <= components)
            _require(all(used >> 4 in tables for used in body[2 : 2 + 2 * count : 2]))
            _require(not lossless or (1 <= body[-3] <= 7 and body[-2] == 0))
            return bits
        place += 2 + size


def _huffman_tables(body: bytes, highest: int) -> set[int]:
    """Numbers of the tables for differences (or for DC) in a segment of them."""
    found, place = set(), 0
    while place < len(body):
        counts = body[place + 1 : place + 17]
        total = sum(counts)
        symbols = body[place + 17 : place + 17 + total]
        kraft = sum(count << 16 - length for length, count in enumerate(counts, start=1))
        _require(len(counts) == 16 and 0 < total <= 256 and len(symbols) == total and kraft <= 1 << 16)
        if body[place] < 0x10:
            _require(max(symbols) <= highest)
            found.add(body[place])
        place += 17 + total
    return found


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError("the frame's headers are broken, or not those of the data set")
