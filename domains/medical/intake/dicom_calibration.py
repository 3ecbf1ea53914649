"""The size of pixels by a DICOM header: ultrasound regions, pixel spacings, and whether they can be believed."""

from __future__ import annotations

import math
from typing import Any

from pydicom import Dataset

from domains.medical.intake.calibration import Calibration, Region, Spacing, plausible, same

_CENTIMETRES = 3
_PLANE = 1
_NO_PLANES = {2, 3, 4}
"""Region Spatial Formats of M-mode, spectra and wave forms; 0 is none and 5 graphics (DICOM PS3.3 C.8.5.5.1.1)."""
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_AGREE = 0.02


def calibration_of(header: Dataset, frame: int, warnings: list[str]) -> tuple[Calibration, dict[str, Any]]:
    """Where the pixels of a frame have a known size.

    Calibrated 2-D ultrasound regions (Region Spatial Format 1, both units cm, Physical Delta X and Y; DICOM PS3.3
    C.8.5.5) count first, else the first that is there of Pixel Spacing (of the frame, of all frames, of the image),
    Imager Pixel Spacing and Nominal Scanned Pixel Spacing. Sizes that nobody believes are none.

    Args:
        header: with Rows and Columns.
        frame: from 0.
        warnings: gets ``bad-calibration`` (elements that make no sense), ``implausible-spacing``,
            ``region-outside-image`` (it was resized after export: no region holds), ``several-spacings`` (regions of
            different scales), ``calibrations-disagree`` (Pixel Spacing is that of no region: neither holds).

    Returns:
        The calibration, and for `Image.info`: ``regions`` (location [x0, y0, x1, y1] in pixels, spacing in mm or None,
        2-D or not) and ``spacing_from``, the element that the spacing comes from, or None.
    """
    try:
        return _calibration(header, frame, warnings)
    except Exception:  # a calibration that makes no sense is none
        warnings.append("bad-calibration")
        return Calibration(), {"regions": [], "spacing_from": None}


def _calibration(header: Dataset, frame: int, warnings: list[str]) -> tuple[Calibration, dict[str, Any]]:
    items = list(header.get("SequenceOfUltrasoundRegions") or [])
    read = [_region(item) for item in items]
    told = [
        {
            "location": list(region.location),
            "spacing": None if region.spacing is None else list(region.spacing),
            "two_dimensional": item.get("RegionSpatialFormat") == _PLANE,
        }
        for region, item in zip(read, items, strict=True)
    ]
    name, spacing = _pixel_spacing(header, frame)
    doubted = [region for region in read if region.spacing is not None and not plausible(region.spacing)]
    regions = tuple(Region(each.location, None, each.spatial) if each in doubted else each for each in read)
    if doubted or (spacing is not None and not plausible(spacing)):
        warnings.append("implausible-spacing")
    if spacing is not None and not plausible(spacing):
        name = spacing = None
    planes = [region for region in regions if region.spatial and region.spacing is not None]
    height, width = int(header.Rows), int(header.Columns)
    if any(min(x0, y0) < 0 or x1 > width or y1 > height for x0, y0, x1, y1 in (each.location for each in planes)):
        warnings.append("region-outside-image")
        return Calibration(), {"regions": told, "spacing_from": None}
    if planes:
        if name == "PixelSpacing" and spacing and not any(_near(spacing, each.spacing) for each in planes):
            warnings.append("calibrations-disagree")
            return Calibration(), {"regions": told, "spacing_from": None}
        if not all(same(planes[0].spacing, each.spacing) for each in planes):
            warnings.append("several-spacings")
        return Calibration(None, regions), {"regions": told, "spacing_from": "SequenceOfUltrasoundRegions"}
    if doubted:
        # A region whose scale is nonsense makes the file's other scale no better.
        name = spacing = None
    return Calibration(spacing, regions), {"regions": told, "spacing_from": name}


def _region(item: Dataset) -> Region:
    """One ultrasound region; its spacing where both units are cm and it shows a plane."""
    corners = ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1")
    x0, y0, x1, y1 = (int(item.get(corner) or 0) for corner in corners)
    (x0, x1), (y0, y1) = sorted((x0, x1)), sorted((y0, y1))
    spacing = None
    shape = item.get("RegionSpatialFormat")
    if shape == _PLANE and all(item.get(f"PhysicalUnits{axis}Direction") == _CENTIMETRES for axis in "XY"):
        # The deltas are signed: a region may be mirrored, its pixels are as large.
        row, column = (abs(float(item.get(f"PhysicalDelta{axis}") or 0)) * 10 for axis in "YX")
        if row > 0 and column > 0 and math.isfinite(row * column):
            spacing = (row, column)
    return Region((x0, y0, x1, y1), spacing, shape not in _NO_PLANES)


def _pixel_spacing(header: Dataset, frame: int) -> tuple[str | None, Spacing | None]:
    """The first spacing that is there, and its element's name."""
    for name in _SPACINGS:
        for holder in (*_groups(header, frame), header):
            try:
                row, column = (float(value) for value in holder.get(name) or ())
            except (TypeError, ValueError):
                continue
            if row > 0 and column > 0 and math.isfinite(row * column):
                return name, (row, column)
    return None, None


def _groups(header: Dataset, frame: int) -> list[Dataset]:
    """The pixel measures of a frame's functional groups, then those of all frames (DICOM PS3.3 C.7.6.16)."""
    own = list(header.get("PerFrameFunctionalGroupsSequence") or [])
    found = []
    for group in (*own[frame : frame + 1], *(header.get("SharedFunctionalGroupsSequence") or [])):
        found += list(group.get("PixelMeasuresSequence") or [])
    return found


def _near(one: Spacing, other: Spacing | None) -> bool:
    return other is not None and all(abs(a - b) <= _AGREE * b for a, b in zip(one, other, strict=True))
