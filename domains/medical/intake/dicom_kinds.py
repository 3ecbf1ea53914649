"""Which DICOM files hold a picture, and how those that hold none are called."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.uid import UID

NO_PICTURE = "no-picture"
"""Code of the `InvalidInput` for a sound file that is no picture: a batch passes it over, which is no failure."""

_NOT_SHOWN = ("Segmentation", "RT Dose", "RT Plan", "Parametric Map", "Raw Data", "Surface", "Height Map")
"""Words of the names of classes that may hold pixels, but none to be looked at."""
_MODALITIES = {"SEG", "RTDOSE", "RTPLAN", "RTSTRUCT", "SR", "PR", "KO", "ECG", "REG", "DOC", "PLAN", "AU", "HD", "FID"}


def kind_without_picture(header: Dataset) -> str | None:
    """What a file is that is whole and holds no picture, in words; None for all others.

    A report, a presentation state, a plan, a waveform, the directory of a disc: by its SOP class, where there is none
    by its modality. A private class without rows and columns counts too. A file of an image's class that lacks its rows
    is damaged, so None.

    Args:
        header: with its SOPClassUID, Modality, Rows and Columns, and its file meta information.
    """
    said = header.get("SOPClassUID") or getattr(header, "file_meta", Dataset()).get("MediaStorageSOPClassUID")
    modality = str(header.get("Modality") or "")
    has_size = bool(header.get("Rows") and header.get("Columns"))
    if not said:
        return f"object of modality {modality}" if modality in _MODALITIES else None
    kind = UID(str(said))
    if kind.is_private or kind.name == str(kind):
        unknown = None if has_size else "object of a private or unknown class"
        return f"object of modality {modality}" if modality in _MODALITIES else unknown
    name = kind.name.removesuffix(" - For Presentation").removesuffix(" - For Processing").removesuffix(" Storage")
    if any(words in name for words in _NOT_SHOWN):
        return name
    shows = "Image" in name or "Video" in name or "Secondary Capture" in name or name == "Enhanced US Volume"
    return None if shows or has_size else name
