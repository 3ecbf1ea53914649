"""Named arrays out of npz, npy, MATLAB, HDF5 and torch files. Nothing in a file is ever executed."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from domains.pde.data.claims import check_dataset, check_npy, check_npz

Kind = Literal["npz", "npy", "mat", "hdf5", "torch", "csv"]
Arrays = dict[str, np.ndarray]


def kind_of(path: Path) -> Kind:
    """What a file is, by its content; only a table has nothing but its name to tell."""
    import h5py

    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    with path.open("rb") as stream:
        head = stream.read(128)
    if h5py.is_hdf5(path):
        return "hdf5"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"MATLAB 5.0"):
        return "mat"
    if head.startswith(b"PK"):
        if not zipfile.is_zipfile(path):
            raise ValueError(f"{path}: a damaged archive; copy it again")
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith("data.pkl") for name in names):
            return "torch"
        if any(name.endswith(".npy") for name in names):
            return "npz"
    if path.suffix in (".pt", ".pth"):
        return "torch"
    if path.suffix in (".csv", ".tsv", ".txt"):
        return "csv"
    raise ValueError(f"{path}: not a format that is read; give npz, npy, mat, csv, HDF5 or pt")


def read_arrays(path: Path, kind: Kind) -> Arrays:
    """All numeric arrays of a file, by name, with axes as the file's own software shows them.

    Raises:
        ValueError: the file is damaged, would have to execute code to be read, or holds no array.
    """
    readers = {"npz": _npz, "npy": _npy_beside, "mat": _mat, "hdf5": _hdf5, "torch": _torch}
    try:
        found = readers[kind](path)
    except Exception as error:
        raise ValueError(f"{path}: cannot be read as {kind} ({' '.join(str(error).split())[:200]})") from error
    arrays = {name: values for name, values in found.items() if values.dtype.kind in "bifu" and values.size}
    for name, values in found.items():
        if values.dtype.kind == "c":
            raise ValueError(f"{path}: {name} is complex; store its real and imaginary parts as two inputs")
    if not arrays:
        raise ValueError(f"{path}: holds no array of numbers")
    return arrays


def _npz(path: Path) -> Arrays:
    check_npz(path)
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _npy_beside(path: Path) -> Arrays:
    """All npy files of a folder, each named by its file."""
    folder = path if path.is_dir() else path.parent
    for entry in folder.glob("*.npy"):
        check_npy(entry)
    return {entry.stem: np.load(entry, allow_pickle=False) for entry in sorted(folder.glob("*.npy"))}


def _mat(path: Path) -> Arrays:
    from scipy.io import loadmat

    found: Mapping[str, Any] = loadmat(path)
    return {name: values for name, values in found.items() if isinstance(values, np.ndarray) and name[0] != "_"}


def _hdf5(path: Path) -> Arrays:
    import h5py

    arrays: Arrays = {}
    with path.open("rb") as stream:
        # MATLAB 7.3 stores columns first; HDF5 shows its axes backwards.
        matlab = stream.read(6) == b"MATLAB"
    with h5py.File(path, "r") as file:

        def visit(name: str, entry: Any) -> None:
            if isinstance(entry, h5py.Dataset) and entry.dtype.kind in "bifuc" and not name.startswith("#"):
                check_dataset(entry)
                values = np.asarray(entry[()])
                arrays[name] = values.T if matlab or "MATLAB_class" in entry.attrs else values

        file.visititems(visit)
    return arrays


def _torch(path: Path) -> Arrays:
    import torch

    found = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(found, (list, tuple)):
        found = {f"array {k}": value for k, value in enumerate(found)}
    if not isinstance(found, dict):
        raise ValueError("expected a dict of tensors")
    # Tensors may be views with any strides: numpy() keeps them, the raw storage does not.
    return {str(name): value.detach().numpy() for name, value in found.items() if isinstance(value, torch.Tensor)}
