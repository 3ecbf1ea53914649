"""Which compressions of DICOM this installation reads, in which order its decoders are tried, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array

from domains.medical.intake.gdcm_jpeg import SYNTAXES
from polyhead.batch.case import InvalidInput

EXTRA = "pip install 'polyhead[dicom]'"
_CONVERT = "convert it with a DICOM tool (dcmdjpeg, dcmdjpls, gdcmconv --raw) to Explicit VR Little Endian"
_MODULES = ("gdcm", "jpeg_ls", "pylibjpeg", "openjpeg")
_GDCM = "gdcm-checked"
_ORDER = ("pydicom", "pillow", "pylibjpeg", "pyjpegls", _GDCM)
"""Plugins from the first to be tried: those of the extra come last, so that it changes no pixel of other files."""

for _syntax in SYNTAXES:
    get_decoder(_syntax).add_plugin(_GDCM, ("domains.medical.intake.gdcm_jpeg", "decode_frame"))

_COMPRESSIONS = (
    uid.RLELossless,
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEGLSNearLossless,
    uid.JPEG2000Lossless,
    uid.JPEG2000,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.HTJ2K,
)
"""What can be read where the extra ``dicom`` is installed; uncompressed and deflated files always can."""


@dataclass(frozen=True)
class Compression:
    """A transfer syntax, how it is called, and whether it can be read here."""

    name: str
    syntax: str
    is_read: bool


def compressions() -> list[Compression]:
    """The compressed transfer syntaxes that polyhead knows; of Extended JPEG, whether its 12 bits are read."""
    found = []
    for syntax in _COMPRESSIONS:
        bits = 12 if syntax == uid.JPEGExtended12Bit else 8
        found.append(Compression(short_name(syntax), str(syntax), bool(_plugins(syntax, bits))))
    return found


def short_name(syntax: uid.UID) -> str:
    """A transfer syntax in a few words.

    >>> short_name(uid.JPEGLosslessSV1)
    'JPEG Lossless SV1 (1.2.840.10008.1.2.4.70)'
    """
    keyword = {
        uid.JPEGLossless: "JPEG Lossless",
        uid.JPEGLosslessSV1: "JPEG Lossless SV1",
        uid.JPEGExtended12Bit: "JPEG Extended 12 bit",
        uid.JPEGBaseline8Bit: "JPEG Baseline",
        uid.JPEGLSLossless: "JPEG-LS Lossless",
        uid.JPEGLSNearLossless: "JPEG-LS Near-Lossless",
        uid.JPEG2000Lossless: "JPEG 2000 Lossless",
        uid.JPEG2000: "JPEG 2000",
        uid.HTJ2KLossless: "HTJ2K Lossless",
        uid.HTJ2KLosslessRPCL: "HTJ2K Lossless RPCL",
        uid.HTJ2K: "HTJ2K",
        uid.RLELossless: "RLE Lossless",
    }.get(syntax, syntax.name)
    return f"{keyword} ({syntax})" if keyword != str(syntax) else keyword


def decode(path: Path, source: Any, syntax: uid.UID, bits: int, **options: Any) -> np.ndarray:
    """One frame, colours as RGB, by the first decoder that reads it.

    Args:
        path: names the file in what is raised.
        source: what `pydicom.pixels.pixel_array` takes.
        syntax: its transfer syntax.
        bits: Bits Stored.
        options: of `pixel_array`.

    Raises:
        InvalidInput: ``unsupported-format``: there is no decoder; what to install is named.
        Exception: the last decoder's; its words may quote the data set.
    """
    plugins = _plugins(syntax, bits) if syntax.is_encapsulated else [""]
    if not plugins:
        raise _missing(path, syntax)
    last: Exception | None = None
    incapable = False
    for plugin in plugins:
        try:
            return pixel_array(source, decoding_plugin=plugin, **options)
        except Exception as error:
            incapable = incapable or isinstance(error, NotImplementedError)
            last = error
    if incapable:
        raise _missing(path, syntax) from None
    assert last is not None
    raise last


def _plugins(syntax: uid.UID, bits: int) -> list[str]:
    """The installed decoders, in the order in which they are tried."""
    try:
        # pydicom's own plugin gives GDCM whatever comes, and damaged frames end the process in it.
        found = [name for name in get_decoder(syntax).available_plugins if name != "gdcm"]
    except NotImplementedError:
        return []
    if syntax == uid.JPEGExtended12Bit and bits > 8:
        found = [name for name in found if name != "pillow"]
    return sorted(found, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))


def _is_whole() -> bool:
    """Whether all that the extra brings is installed."""
    return all(find_spec(module) is not None for module in _MODULES)


def _missing(path: Path, syntax: uid.UID) -> InvalidInput:
    if syntax in uid.MPEGTransferSyntaxes:
        reason = f"{path.name} is a video ({syntax.name}), which is not read"
        return InvalidInput("unsupported-format", reason, "export its frames as images or as an uncompressed clip")
    reason = f"{path.name} is compressed as {short_name(syntax)}, for which no decoder is installed"
    if syntax in _COMPRESSIONS and not _is_whole():
        return InvalidInput("unsupported-format", reason, f"{EXTRA}, or {_CONVERT}")
    return InvalidInput("unsupported-format", reason, _CONVERT)
