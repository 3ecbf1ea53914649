"""One picture from one file, as 8-bit RGB: content is sniffed, and what cannot be read is named, never guessed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from domains.medical.intake.picture import MIN_SIDE, Image, check_size, is_constant, to_8bit
from polyhead.batch.case import InvalidInput
from polyhead.system.regular import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from PIL.ImageFile import ImageFile

_RASTER = ("png", "jpg", "jpeg", "bmp", "tif", "tiff", "gif", "webp", "jp2", "j2k")
IMAGE_SUFFIXES = frozenset(f".{name}" for name in _RASTER)
DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG2000",
    b"\xff\x4f\xff\x51": "JPEG2000",
}
_OF_FRAMES = {"PNG", "TIFF", "GIF", "WEBP", "DICOM"}
_CONVERT = "convert it to png, jpg, bmp, tif, gif, webp, jp2 or DICOM"
_EXIF_ORIENTATION = 0x0112
_SIDES_CHANGE = 5  # orientations from here on turn by a quarter


def sniff(head: bytes) -> str | None:
    """``"PNG"``, ``"JPEG"``, ``"BMP"``, ``"TIFF"``, ``"GIF"``, ``"WEBP"``, ``"JPEG2000"``, ``"DICOM"`` or None.

    Told from the first 132 bytes of a file; DICOM also where the preamble is missing and the data set begins at once.
    """
    if head[128:132] == b"DICM" or _begins_a_data_set(head):
        return "DICOM"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def _begins_a_data_set(head: bytes) -> bool:
    """Whether a file begins with an element of DICOM's group 0002 or 0008, little endian (PS3.5, 7.1)."""
    if len(head) < 16 or head[:2] not in (b"\x02\0", b"\x08\0") or head[3] != 0:
        return False
    if head[4:6] in _REPRESENTATIONS:
        return True
    length = int.from_bytes(head[4:8], "little")
    return head[:2] == b"\x08\0" and length % 2 == 0 and length <= 128


_REPRESENTATIONS = {b"UL", b"UI", b"OB", b"CS", b"SH", b"DA", b"TM", b"LO", b"DT", b"SQ"}


def file_format(path: Path) -> str:
    """The format of a file by its content, whatever its suffix; a DICOM suffix counts where the preamble is missing.

    Raises:
        InvalidInput: ``missing-file``, ``not-a-file``, ``unreadable-file``, ``empty-file``, ``not-an-image``.
    """
    path = Path(path)
    if path.is_dir():
        raise InvalidInput("not-a-file", f"{path.name} is a folder", "name a file in it")
    if not path.exists():
        raise InvalidInput("missing-file", f"{path} does not exist", "check the path, or remove it from the list")
    if not path.is_file():
        raise InvalidInput("not-a-file", f"{path.name} is no regular file", "copy it to a regular file")
    with _opened(path) as file:
        head = file.read(132)
    if not head:
        raise InvalidInput("empty-file", f"{path.name} has no content (0 bytes)", "copy or export it again")
    kind = sniff(head)
    if kind is None and path.suffix.lower() in DICOM_SUFFIXES:
        kind = "DICOM"
    if kind is None:
        raise InvalidInput("not-an-image", f"the content of {path.name} is no image of a known format", _CONVERT)
    return kind


def frame_count(path: Path) -> int:
    """Number of frames, the greater of `frame_counts`."""
    return max(frame_counts(path))


def frame_counts(path: Path) -> tuple[int, int]:
    """Frames that a file holds and that it announces: of a clip or an animation, pages of a TIFF; else 1 and 1.

    Raises:
        InvalidInput: as `read_image`.
    """
    path = Path(path)
    kind = file_format(path)
    if kind == "DICOM":
        from domains.medical.intake import dicom

        return dicom.frame_counts(path)
    if kind not in _OF_FRAMES:
        return 1, 1
    with _picture(path) as picture:
        announced = _frames(picture)
    return (announced if kind != "PNG" or announced == 1 else min(announced, _png_frames(path))), announced


def _png_frames(path: Path) -> int:
    """Frames of an animated PNG: its chunks fcTL, and the picture before them where that is none of them."""
    found, before = 0, 0
    with _opened(path) as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            if head[4:] == b"IDAT" and not found:
                before = 1
            found += head[4:] == b"fcTL"
            file.seek(int.from_bytes(head[:4], "big") + 4, 1)
    return found + before


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) in pixels, as `read_image` gives them, from the header; raises as that on a broken header."""
    path = Path(path)
    if file_format(path) == "DICOM":
        from domains.medical.intake import dicom

        return dicom.image_size(path)
    with _picture(path) as picture:
        width, height = picture.size
        # The header of a TIFF is read as turned already.
        turned = picture.format != "TIFF" and _orientation(picture) >= _SIDES_CHANGE
    return (width, height) if turned else (height, width)


def read_image(path: Path, frame: int | None = None) -> Image:
    """Reads one picture as RGB uint8.

    A picture is turned as its EXIF orientation says, which is how viewers and labelling tools show it and how OpenCV's
    ``imread``, with which FM_UIA's baseline and scorer read, returns it: masks, boxes and points refer to the displayed
    picture. ``info["exif_orientation"]`` and the warning ``exif-orientation-applied`` tell of it. Palettes are looked
    up; transparency is laid over black; CMYK and
    YCbCr become RGB; 16-bit grey is scaled from the smallest depth of 8, 10, 12, 14 or 16 bits that holds its maximum
    (``info["depth"]``). An all-constant picture is read, with the warning ``constant-image``.

    Args:
        path: png, jpg, bmp, tif, gif, webp, jp2 or DICOM, recognised by content.
        frame: frame of a clip or an animation, or page of a TIFF, from 0; may be left out for single pictures only.

    Raises:
        InvalidInput: ``missing-file``, ``not-a-file``, ``unreadable-file``, ``empty-file``, ``not-an-image``,
            ``unreadable-image``, ``truncated-image``, ``too-large``, ``too-small``, ``unsupported-format``,
            ``several-frames``, ``no-such-frame``; for DICOM see `domains.medical.intake.dicom.read_frame`.
    """
    path = Path(path)
    if file_format(path) == "DICOM":
        from domains.medical.intake import dicom

        return dicom.read_frame(path, _one_frame(path, frame, dicom.frames(path)))
    with _picture(path) as picture:
        count = _frames(picture)
        index = _one_frame(path, frame, count)
        info: dict[str, Any] = {"format": picture.format, "mode": picture.mode, "frame": index, "frames": count}
        # Loading a TIFF turns it and forgets the orientation.
        orientation = _orientation(picture)
        _load(path, picture, index)
        pixels = _rgb(path, upright(picture), info)
    warnings = []
    if orientation != 1:
        info["exif_orientation"] = orientation
        warnings.append("exif-orientation-applied")
    if is_constant(pixels):
        warnings.append("constant-image")
    return Image(pixels, None, info | {"warnings": warnings})


def exif_orientation(path: Path) -> int:
    """The EXIF orientation of a file, 1 (as stored) to 8; 1 for DICOM; raises as `image_size`."""
    path = Path(path)
    if file_format(path) == "DICOM":
        return 1
    with _picture(path) as picture:
        return _orientation(picture)


@contextmanager
def single_picture(path: Path) -> Iterator[ImageFile]:
    """The opened and loaded picture of a file that holds one, as stored; DICOM is refused. Raises as `read_image`."""
    with _picture(path) as picture:
        _one_frame(path, None, _frames(picture))
        _load(path, picture, 0)
        yield picture


def upright(picture: PillowImage) -> PillowImage:
    """A loaded picture turned as its EXIF orientation says."""
    from PIL import ImageOps

    return picture if _orientation(picture) == 1 else ImageOps.exif_transpose(picture)


def _orientation(picture: PillowImage) -> int:
    """1 to 8, and 1 where there is none or no such."""
    if picture.format not in {"JPEG", "TIFF", "PNG"}:
        return 1
    try:
        found = int(picture.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # broken EXIF raises nearly anything, and turns nothing
        return 1
    return found if 1 <= found <= 8 else 1


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = open_regular(path)
    except OSError as error:
        reason = f"{path.name} cannot be opened: {error.strerror or type(error).__name__}"
        raise InvalidInput("unreadable-file", reason, "check its permissions and the disk") from error
    with file:
        yield file


@contextmanager
def _picture(path: Path) -> Iterator[ImageFile]:
    """The opened picture, header read and size checked."""
    from PIL import (
        BmpImagePlugin,
        GifImagePlugin,
        Jpeg2KImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    # The plugin classes are used directly: Image.open warns on its own size limit, and warnings are not thread-safe.
    readers = {
        "PNG": PngImagePlugin.PngImageFile,
        "JPEG": JpegImagePlugin.JpegImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
        "GIF": GifImagePlugin.GifImageFile,
        "WEBP": WebPImagePlugin.WebPImageFile,
        "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    }
    kind = file_format(path)
    with _opened(path) as file:
        if kind == "WEBP":
            # Its reader decodes as it opens.
            check_size(path, *_webp_size(file.read(32)))
            file.seek(0)
        try:
            picture = readers[kind](file)
        except Exception as error:  # a broken header can raise nearly anything
            raise _broken(path, kind, error) from error
        with picture:
            check_size(path, picture.size[1], picture.size[0])
            yield picture


def _webp_size(head: bytes) -> tuple[int, int]:
    """(height, width) of a WebP file (RFC 9649); of a broken one (8, 8), which its reader will say."""
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[27:30], "little"), 1 + int.from_bytes(head[24:27], "little")
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    if head[12:16] == b"VP8 ":
        return int.from_bytes(head[28:30], "little") & 0x3FFF, int.from_bytes(head[26:28], "little") & 0x3FFF
    return MIN_SIDE, MIN_SIDE


def _frames(picture: ImageFile) -> int:
    return int(getattr(picture, "n_frames", 1))


def _one_frame(path: Path, frame: int | None, count: int) -> int:
    if frame is None and count > 1:
        raise InvalidInput("several-frames", f"{path.name} has {count} frames", "say which frame to read")
    if frame is not None and not 0 <= frame < count:
        reason = f"{path.name} has no frame {frame}; frames go from 0 to {count - 1}"
        raise InvalidInput("no-such-frame", reason, "ask for one of its frames")
    return frame or 0


def _load(path: Path, picture: ImageFile, index: int) -> None:
    try:
        for turn in range(1 if picture.format == "GIF" else index, index + 1) if index else ():
            picture.seek(turn)
            # Pages, and frames of a GIF, have sizes of their own.
            check_size(path, picture.size[1], picture.size[0])
        picture.load()
    except InvalidInput:
        raise
    except Exception as error:  # decoders of broken data raise OSError, SyntaxError, struct.error, zlib.error, ...
        raise _broken(path, str(picture.format), error) from error


def _broken(path: Path, kind: str, error: Exception) -> InvalidInput:
    said = " ".join(str(error).split())
    if "truncated" in said.lower() or isinstance(error, EOFError):
        return InvalidInput("truncated-image", f"{path.name} ends too early ({kind})", "copy or export it again")
    return InvalidInput("unreadable-image", f"{path.name} is a broken {kind} file", "copy or export it again")


def _rgb(path: Path, picture: PillowImage, info: dict[str, Any]) -> np.ndarray:
    """uint8 (H, W, 3) of a loaded picture; notes in `info` what was done to its values."""
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        values = np.asarray(picture)
        if values.min() < 0:
            raise InvalidInput("unsupported-format", f"{path.name} has negative values", "export it as 8 or 16 bit")
        grey, info["depth"] = to_8bit(values)
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.has_transparency_data:
        coloured = picture.convert("RGBA")
        if coloured.getchannel("A").getextrema() != (255, 255):
            from PIL import Image as Pillow

            info["transparency"] = "laid over black"
            coloured = Pillow.alpha_composite(Pillow.new("RGBA", coloured.size, (0, 0, 0, 255)), coloured)
        return np.array(coloured.convert("RGB"))
    if picture.mode in {"1", "L", "P", "RGB", "LA", "RGBA", "CMYK", "YCbCr"}:
        return np.array(picture.convert("RGB"))
    reason = f"{path.name} has pixels of mode {picture.mode}, which have no defined 8-bit colour"
    raise InvalidInput("unsupported-format", reason, "export it as 8 or 16 bit grey or as RGB")
