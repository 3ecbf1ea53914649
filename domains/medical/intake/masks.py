"""Masks as files have them: the stored class ids, and the grey values that OpenCV would give."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from domains.medical.intake.images import file_format, single_picture, upright
from polyhead.batch.case import InvalidInput
from polyhead.system.regular import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from PIL.ImageFile import ImageFile

LOSSY = frozenset({"JPEG", "MPO", "WEBP", "JPEG2000"})
_COLOUR_NOISE = 16
_BITS_PER_SAMPLE = 258


@dataclass(frozen=True)
class StoredMask:
    """What a mask's file holds.

    Attributes:
        values: (H, W), whole numbers: uint8, or uint16 and more where the file is deeper.
        lossy: whether the file's compression alters values.
    """

    values: NDArray[np.integer]
    lossy: bool = False


def read_stored_mask(path: Path) -> StoredMask:
    """Reads the values of a mask, turned as its EXIF orientation says (`images.read_image`).

    Palette files give their indices, but where only black and white are used, which give 0 and 255 as in grey files. Of
    a GIF, whose writers number colours anew, grey gives its values, black and one other colour 0 and 255.
    Grey of 1, 2 or 4 bits gives the stored numbers, other grey its values. A colour file must have equal channels;
    what is transparent is background.

    Raises:
        InvalidInput: as `read_image`, and ``mask-not-index`` for colours, DICOM, 16-bit colour, which decoders shorten,
            transparency in which all shapes would vanish, and numbers that are not whole.
    """
    path = Path(path)
    if file_format(path) == "DICOM":
        raise InvalidInput("mask-not-index", f"{path.name} is DICOM, not an index mask", "export the mask as 8-bit png")
    with single_picture(path) as picture:
        lossy, bits = picture.format in LOSSY, _bits(path, picture)
        return StoredMask(_values(path, upright(picture), bits, lossy), lossy)


def _values(path: Path, picture: PillowImage, bits: int, lossy: bool) -> NDArray[np.integer]:
    mode, values = picture.mode, np.asarray(picture)
    if mode == "1":
        return values.astype(np.uint8)
    if mode == "P":
        return _of_gif(path, values, picture) if picture.format == "GIF" else _of_palette(values, picture)
    if mode == "L":
        # Grey of 2 and 4 bits is spread over 0 to 255 as it is read.
        return values // {2: 85, 4: 17}.get(bits, 1)
    if mode.startswith("I") or mode == "F":
        if not (np.isfinite(values) & (values == np.floor(values)) & (values >= 0)).all():
            raise InvalidInput("mask-not-index", f"{path.name} holds numbers that are no class ids", "save whole ids")
        return values.astype(np.int64) if mode == "F" else np.array(values)
    if mode in {"LA", "PA", "RGB", "RGBA", "YCbCr"}:
        grey = _of_channels(path, picture, lossy)
        if grey is not None:
            if bits == 16 and not (np.isin(grey, (0, 255)).all() and grey.any()):
                reason = f"{path.name} is 16-bit colour, of which only the upper eight bits are read"
                raise InvalidInput("mask-not-index", reason, "save it as 8-bit grey")
            return grey
    raise InvalidInput("mask-not-index", f"{path.name} holds colours ({mode}), not class ids", "save it as 8-bit grey")


def _of_gif(path: Path, indices: NDArray[np.uint8], picture: PillowImage) -> NDArray[np.uint8]:
    """What the colours say, for who writes a GIF numbers those that are used anew: grey, or black and one other as 255.

    Raises:
        InvalidInput: ``mask-not-index``, more colours.
    """
    colours = np.array(picture.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    used = np.unique(indices)
    shown = colours[used] if len(colours) > int(used[-1]) else None
    if shown is not None and (shown == shown[:, :1]).all():
        return colours[indices][..., 0]
    if shown is not None and int(shown.any(axis=1).sum()) == 1:
        return np.where(colours[indices].any(axis=2), np.uint8(255), np.uint8(0))
    raise InvalidInput(
        "mask-not-index", f"{path.name} is a GIF, whose colours have no certain numbers", "save it as png"
    )


def _of_palette(indices: NDArray[np.uint8], picture: PillowImage) -> NDArray[np.uint8]:
    colours = np.array(picture.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    used = np.unique(indices)
    if len(colours) > int(used[-1]):
        shown = colours[used]
        if np.isin(shown, (0, 255)).all() and (shown == shown[:, :1]).all() and (shown == 255).any():
            return colours[indices][..., 0]
    return np.array(indices)


def _of_channels(path: Path, picture: PillowImage, lossy: bool) -> NDArray[np.uint8] | None:
    """The value that the channels share, what is transparent laid over black; None where they differ.

    Raises:
        InvalidInput: ``mask-not-index`` where only the transparency, or what it hides, tells one pixel from another.
    """
    from PIL import Image as Pillow

    colours = np.asarray(picture.convert("RGB"))
    if "A" in picture.getbands():
        coloured = picture.convert("RGBA")
        laid = Pillow.alpha_composite(Pillow.new("RGBA", coloured.size, (0, 0, 0, 255)), coloured)
        shown = np.asarray(laid.convert("RGB"))
        if not shown.any() and (colours.any() or coloured.getchannel("A").getextrema() != (255, 255)):
            reason = (
                f"{path.name} is black wherever it is not transparent; its shapes lie in its transparency or under it"
            )
            raise InvalidInput("mask-not-index", reason, "save it as 8-bit grey without transparency")
        colours = shown
    low, high = colours.min(axis=2), colours.max(axis=2)
    if int((high - low).max(initial=0)) > (_COLOUR_NOISE if lossy else 0):
        return None
    return ((low.astype(np.uint16) + high + 1) // 2).astype(np.uint8)


def _bits(path: Path, picture: ImageFile) -> int:
    """Bits of a sample as the file says; 8 where the format has no others."""
    if picture.format == "PNG":
        with path.open("rb") as file:
            return file.read(25)[24]
    tags = getattr(picture, "tag_v2", None)
    return 8 if tags is None else int(tags.get(_BITS_PER_SAMPLE, (8,))[0])


def read_grey_mask(path: Path) -> NDArray[np.uint8]:
    """A mask as ``cv2.imread(path, IMREAD_GRAYSCALE)`` gives it, which the challenge's public scorer uses.

    Palettes and colours become grey, 1 bit becomes 0 and 255, of 16 bits the upper eight are kept, transparency is
    dropped and the EXIF orientation applied.

    Returns:
        uint8 (H, W).

    Raises:
        ValueError: the file cannot be read as an image.
    """
    from PIL import Image, ImageOps

    try:
        with open_regular(path) as file, Image.open(file) as image:
            if image.format == "JPEG":
                # The decoder's own grey, its luminance, is not that of the colours.
                image.draft("L", image.size)
            form, turned = image.format, ImageOps.exif_transpose(image)
            if turned.mode.startswith("I"):
                return np.clip(np.asarray(turned).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
            if turned.mode == "F":
                raise ValueError(f"{path}: a mask of floating point numbers; write uint8 class ids")
            if turned.mode in ("L", "LA", "1"):
                return np.asarray(turned.convert("L"))
            return _grey(np.asarray(turned.convert("RGB")), png=form == "PNG")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: not a readable image ({error})") from error


def _grey(colours: NDArray[np.uint8], *, png: bool) -> NDArray[np.uint8]:
    """(H, W, 3) to (H, W): by libpng's fixed-point weights, which OpenCV leaves PNG to, or by OpenCV's own."""
    weights, rounding, bits = ((9797, 19234, 3737), 0, 15) if png else ((4899, 9617, 1868), 1 << 13, 14)
    return ((colours.astype(np.uint32) @ np.array(weights, dtype=np.uint32) + rounding) >> bits).astype(np.uint8)
