"""What the page knows of a file before any model runs: can it be read, what is it, what should be minded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domains.medical.intake.images import frame_count, read_image
from polyhead.batch.case import InvalidInput
from polyhead.system.files import replacing
from polyhead.uncertainty.likeness import UNLIKE

WARNINGS = {
    "burned-in-annotation": "text may be burned into the picture: look for a name before you pass it on",
    "constant-image": "the picture is one flat colour",
    "exif-orientation-applied": "a photograph that says how it is to be turned, and was turned so",
    "frame-count-mismatch": "the file announces another number of frames than it holds",
    "not-ultrasound": "the file says that it is no ultrasound",
    "several-spacings": "regions with different pixel sizes: each answer is measured by that of its own",
    UNLIKE: "the picture is unlike those that the model was trained on: do not rely on its answers",
    "region-outside-image": "the calibrated region lies outside of the picture: its pixel size is not used",
    "implausible-spacing": "a pixel size that no ultrasound has: it is not used",
    "calibrations-disagree": "two pixel sizes that contradict each other: none is used",
    "bad-calibration": "the pixel size makes no sense: it is not used",
    "outside-calibrated-region": "not wholly within a calibrated region, so nothing is given in millimetres",
    "not-a-plane": "in a region of time or velocity (M-mode, Doppler, ECG), so nothing is given in millimetres",
    "overlapping-regions": "in regions with different pixel sizes, so nothing is given in millimetres",
    "touches-border": "reaches the border of the picture: its sizes are lower bounds",
    "several-pieces": "in several pieces: the axes are those of the largest",
}
"""The codes of the readers in words; a code that is not here is shown as it is."""


@dataclass(frozen=True)
class Input:
    """A file that was chosen: its name as the user knows it and where it lies."""

    name: str
    path: Path


@dataclass(frozen=True)
class Check:
    """What was seen of one file. `reason` is empty for a file that can be read."""

    name: str
    path: Path
    reason: str = ""
    kind: str = ""
    size: tuple[int, int] = (0, 0)
    spacing: tuple[float, float] | None = None
    frames: int = 0
    identity: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def readable(self) -> bool:
        return not self.reason

    def row(self) -> dict[str, str]:
        """The check as a row of text."""
        if not self.readable:
            blank = dict.fromkeys(("Format", "Size", "Pixel size", "Frames", "Patient data"), "")
            return {"File": self.name, "Can be analysed": "No", **blank, "Remarks": self.reason}
        height, width = self.size
        spacing = "unknown: measures in pixels" if self.spacing is None else _millimetres(self.spacing)
        return {
            "File": self.name,
            "Can be analysed": "Yes",
            "Format": self.kind,
            "Size": f"{width} x {height}",
            "Pixel size": spacing,
            "Frames": str(self.frames),
            "Patient data": self.identity,
            "Remarks": "; ".join(self.warnings) or "none",
        }


def _millimetres(spacing: tuple[float, float]) -> str:
    row, column = spacing
    return f"{row:.3g} mm" if abs(row / column - 1) < 0.01 else f"{column:.3g} x {row:.3g} mm"


def check(entry: Input) -> Check:
    """Reads a file (of a sequence, the first frame) and says what it is; a bad file gets its reason, not an error."""
    try:
        frames = frame_count(entry.path)
        image = read_image(entry.path, 0 if frames > 1 else None)
    except InvalidInput as error:
        # The readers name the file on disk; the user knows it by the name that was dropped.
        told = error.reason.replace(entry.path.name, entry.name)
        return Check(entry.name, entry.path, f"{told}; {error.remedy}" if error.remedy else told)
    codes = [str(code) for code in image.info.get("warnings", [])]
    kind = str(image.info.get("format", ""))
    return Check(
        name=entry.name,
        path=entry.path,
        kind=kind,
        size=image.size,
        spacing=image.spacing,
        frames=frames,
        identity=identity(entry.path) if kind == "DICOM" else "none in the file format; look at the picture",
        warnings=tuple(WARNINGS.get(code, code.replace("-", " ")) for code in codes),
    )


def identity(path: Path) -> str:
    """Whether a DICOM file names its patient; the name itself is never passed on."""
    from pydicom import dcmread

    tags = ["PatientName", "PatientID", "PatientBirthDate", "PatientIdentityRemoved"]
    header = dcmread(path, stop_before_pixels=True, specific_tags=tags, force=True)
    named = any(str(header.get(tag) or "").strip(" ^") for tag in tags[:3])
    removed = header.get("PatientIdentityRemoved") == "YES"
    if removed:
        return "said to be removed, yet fields are filled" if named else "said to be removed"
    return "the file names a patient" if named else "fields are empty"


def verdict(checks: list[Check]) -> str:
    """The input check in one line."""
    good = sum(entry.readable for entry in checks)
    files = "file" if len(checks) == 1 else "files"
    if good == len(checks):
        return f"{good} {files} checked: {'it' if good == 1 else 'all'} can be analysed."
    return f"{good} of {len(checks)} {files} can be analysed. The others are named below with their reasons."


def simulated(task: str, seed: int, folder: Path) -> Input:
    """A simulated picture as a PNG file under `folder`."""
    from PIL import Image

    from domains.medical.ultrasound.simulator import phantom

    path = folder / "simulated" / f"simulated-{task}-{seed}.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        pixels = np.asarray(phantom(task, seed).image)
        with replacing(path) as temporary:
            Image.fromarray(pixels).save(temporary, format="PNG")
    return Input(path.name, path)
