"""Pictures and masks of a source as a data root holds them: upright, whole, with masks of class ids."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domains.medical.intake.images import file_format, read_image
from domains.medical.intake.masks import read_stored_mask
from domains.medical.ultrasound.converting.entries import Entry
from polyhead.batch.case import InvalidInput

_ORIENTATION = 0x0112
_VOID = 255


@dataclass(frozen=True)
class Upright:
    """A picture as it is looked at.

    Attributes:
        size: (height, width) with the EXIF orientation applied, which is what annotation tools and OpenCV show.
        stored: (height, width) of the stored pixels.
        orientation: EXIF's number; 1 is upright already.
    """

    size: tuple[int, int]
    stored: tuple[int, int]
    orientation: int


def examine(path: Path) -> Upright:
    """Decodes a picture, so that a broken one is found now; raises `InvalidInput` as `read_image` does."""
    if file_format(path) == "DICOM":
        raise InvalidInput("unsupported-format", f"{path.name} is DICOM", "export it as png: FM_UIA holds pictures")
    read_image(path)
    from PIL import Image

    with Image.open(path) as picture:
        orientation = int(picture.getexif().get(_ORIENTATION, 1))
        width, height = picture.size
    orientation = orientation if 1 <= orientation <= 8 else 1
    return Upright((width, height) if orientation >= 5 else (height, width), (height, width), orientation)


def place(entry: Entry, path: Path, target: Path, picture: Upright, *, link: bool) -> Path:
    """Puts a picture below the new root; one that EXIF turns is written upright, as png, so that all readers agree.

    Returns:
        where it is.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if picture.orientation != 1:
        from PIL import Image, ImageOps

        target = target.with_name(f"{target.stem}.png")
        with Image.open(path) as turned:
            upright = ImageOps.exif_transpose(turned)
            assert upright is not None
            # A new picture has no orientation that somebody could apply once more.
            Image.fromarray(np.asarray(upright.convert("RGB"))).save(target)
    elif link and entry.held is None:
        target.symlink_to(path.resolve())
    else:
        shutil.copyfile(path, target)
    return target


def safe_name(name: str, taken: set[str]) -> str:
    """A relative name that can be written into a table, and that no other file has, whatever the case of its letters.

    >>> safe_name("a\\nb/../c.png", set()), safe_name("A.png", {"a.png"})
    ('a_b/c.png', 'A-2.png')
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\ufffd", "_")
    parts = [re.sub(r"[\x00-\x1f\x7f\\]", "_", part).strip() or "_" for part in text.split("/")]
    safe = Path(*(part for part in parts if part not in (".", "..")))
    number, made = 1, safe
    while made.as_posix().lower() in taken:
        number += 1
        made = safe.with_name(f"{safe.stem}-{number}{safe.suffix}")
    taken.add(made.as_posix().lower())
    return made.as_posix()


def merged_mask(files: Sequence[Path], picture: Upright, *, void: bool = False) -> np.ndarray:
    """The index mask uint8 (H, W) of one or several files: of 0/255 the areas together, else later ids over earlier.

    Args:
        void: 255 is the border of VOC and becomes background.

    Raises:
        InvalidInput: a file that is no mask of that picture.
    """
    whole = np.zeros(picture.size, np.uint8)
    for file in files:
        mask = _turned(_ids(file, void), file, picture)
        whole = np.where(mask > 0, mask, whole)
    return whole


def png(mask: np.ndarray) -> bytes:
    """A mask as a grey png."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return buffer.getvalue()


def _ids(file: Path, void: bool) -> np.ndarray:
    lossy = file_format(file) == "JPEG"
    # Colours of a lossy mask are noise as well.
    values = (
        read_image(file).pixels.mean(axis=2).round().astype(int) if lossy else read_stored_mask(file).values.astype(int)
    )
    if values.max() <= 1:
        return values.astype(np.uint8)
    between = float(((values > 40) & (values < 215)).mean())
    if values.max() >= 215 and (between <= 0.02 if lossy else between == 0) and (lossy or _is_binary(values)):
        return (values > 127).astype(np.uint8)
    if void:
        values = np.where(values == _VOID, 0, values)
    if lossy or values.max() >= _VOID:
        shown = ", ".join(str(int(value)) for value in np.unique(values)[:6])
        reason = f"{file.name} has grey levels ({shown}, ...), not class ids"
        raise InvalidInput("mask-values", reason, "save class ids 0, 1, 2, ... as png, or 0 and 255 for one class")
    return values.astype(np.uint8)


def _is_binary(values: np.ndarray) -> bool:
    return set(np.unique(values)) <= {0, 255}


def _turned(mask: np.ndarray, file: Path, picture: Upright) -> np.ndarray:
    """The mask as its picture is looked at."""
    if picture.orientation != 1 and mask.shape == picture.stored:
        if picture.stored == picture.size and picture.orientation != 3:
            reason = f"nobody can tell whether {file.name} is turned as EXIF turns its picture"
            raise InvalidInput("exif-orientation", reason, "save the picture upright")
        from PIL import Image, ImageOps

        image = Image.fromarray(mask)
        image.getexif()[_ORIENTATION] = picture.orientation
        turned = ImageOps.exif_transpose(image)
        assert turned is not None
        mask = np.asarray(turned)
    if mask.shape != picture.size:
        sizes = f"{mask.shape[1]} x {mask.shape[0]} pixels, its picture {picture.size[1]} x {picture.size[0]}"
        raise InvalidInput("mask-size", f"{file.name} has {sizes}", "export the mask at the picture's size")
    return mask
