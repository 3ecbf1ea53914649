"""12-bit JPEG (process 4) by GDCM, as a decoder plugin of pydicom, which gives GDCM 8 bits only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydicom.uid import JPEGExtended12Bit

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

DECODER_DEPENDENCIES = {JPEGExtended12Bit: ("python-gdcm>=3.0.10",)}


def is_available(uid: str) -> bool:
    """Whether GDCM is installed; called by pydicom."""
    from importlib.util import find_spec

    return uid == JPEGExtended12Bit and find_spec("gdcm") is not None


def decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """One encoded frame of grey values as little-endian uint16; called by pydicom.

    Raises:
        NotImplementedError: a frame of 8 bits or of several channels.
        ValueError: it is broken.
    """
    if runner.bits_stored <= 8 or runner.samples_per_pixel != 1:
        raise NotImplementedError("grey values of 9 to 12 bits only")
    from importlib import import_module

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
    grey = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    kind = gdcm.TransferSyntax.GetTSType(str(JPEGExtended12Bit))
    image.SetTransferSyntax(gdcm.TransferSyntax(kind))
    bits = runner.bits_stored
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits, bits - 1, runner.pixel_representation))
    buffer = image.GetBuffer()
    if buffer is None:
        raise ValueError("the frame is broken")
    # GDCM's char* comes as text.
    values = buffer.encode("utf-8", "surrogateescape")
    if len(values) != 2 * runner.rows * runner.columns:
        raise ValueError("the frame is broken")
    runner.set_option("bits_allocated", 16)
    return values
