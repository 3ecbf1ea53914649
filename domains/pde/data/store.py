"""Data sets on disk: one HDF5 file a problem, with units, masks and splits, checked at writing and at reading."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from domains.pde.data.claims import check_dataset
from domains.pde.data.samples import SPLITS, OperatorData, Quantity
from polyhead.application import RESEARCH_USE
from polyhead.batch.monitor import current_monitor
from polyhead.batch.writer import dump_json
from polyhead.system.files import TEMPORARY, replacing

# An open h5py.File; h5py's own types call whatever lies in a file a group, a data set or a type, and help nobody.
File = Any

FORMAT = "polyhead-pde"
VERSION = 1
SUFFIX = ".h5"

SAMPLE_ARRAYS = ("parameters", "functions", "solution", "task", "split", "geometry")
_DTYPES: dict[str, type[np.generic]] = {
    "coordinates": np.float64,
    "parameters": np.float64,
    "functions": np.float32,
    "solution": np.float32,
    "task": np.int16,
    "split": np.int8,
    "geometry": np.int32,
    "mask": np.bool_,
    "distance": np.float32,
}
_CHUNK_BYTES = 1 << 20
_SEAL_BYTES = 512
_REMEDY = "make it again with `polyhead pde sample`, or copy it again"


def check_data(data: OperatorData, where: str) -> None:
    """Refuses a data set that nothing can be learned from: a `ValueError` names the array, the row and the remedy.

    Checked: at least one sample, no value that is not finite, no geometry without a point inside.
    """
    if not len(data):
        raise ValueError(f"{where}: no samples; give at least one")
    check_frame(data, where)
    for name in ("parameters", "functions", "solution"):
        _check_finite(data, name, where)


def check_frame(data: OperatorData, where: str) -> None:
    """The part of `check_data` that looks at no sample."""
    _check_finite(data, "coordinates", where)
    if data.distance is not None:
        _check_finite(data, "distance", where)
    empty = np.flatnonzero(~data.mask.any(axis=1))
    if len(empty):
        label = f" ({data.geometry_names[empty[0]]})" if data.geometry_names else ""
        raise ValueError(f"{where}: geometry {empty[0]}{label} has an empty mask: no point lies inside; leave it out")


def _check_finite(data: OperatorData, name: str, where: str) -> None:
    for row, entry in enumerate(getattr(data, name)):
        finite = np.isfinite(entry)
        if finite.all():
            continue
        first = tuple(int(k) for k in np.argwhere(~np.atleast_1d(finite))[0])
        names = {"parameters": data.parameter_names, "functions": data.function_names}.get(name)
        place = f"{names[first[0]].name!r}, " if names else ""
        task = f", task {data.tasks[data.task[row]]}" if name in SAMPLE_ARRAYS else ""
        value = np.atleast_1d(entry)[first]
        raise ValueError(
            f"{where}: {name} is {value} at row {row} ({place}index {', '.join(map(str, first))}{task}); "
            "give a finite number, or leave the row out"
        )


def write_data(data: OperatorData, path: str | Path, *, plan: str | None = None) -> Path:
    """Writes a whole data set; the file appears under its name when it is complete and on disk.

    Arrays are stored in the dtypes that `OperatorData` documents. An existing file is replaced.

    Args:
        plan: fingerprint of the plan that the samples were made by.

    Raises:
        ValueError: for data that `check_data` refuses, and attributes that are not JSON.
    """
    path = Path(path)
    check_data(data, str(path))
    with new_file(path, data, len(data), plan=plan) as file:
        write_rows(file, 0, {name: getattr(data, name) for name in SAMPLE_ARRAYS})
    return path


@contextmanager
def new_file(path: Path, frame: OperatorData, samples: int, *, plan: str | None = None) -> Iterator[File]:
    """A file with everything of `frame` but its samples, and room for `samples` rows; named `path` at the end."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        # The cache keeps a chunk that two blocks share until it is full, so that each is compressed once.
        with h5py.File(temporary, "w", rdcc_nbytes=32 << 20, userblock_size=_SEAL_BYTES) as file:
            _write_frame(file, frame, plan)
            # A data set that nobody holds is closed after every write, and its cache with it.
            held = [
                _create(file, f"samples/{name}", (samples, *getattr(frame, name).shape[1:]), _DTYPES[name])
                for name in SAMPLE_ARRAYS
            ]
            _name_columns(file["samples/parameters"], frame.parameter_names)
            _name_columns(file["samples/functions"], frame.function_names)
            _name_columns(file["samples/solution"], (frame.solution_name,))
            file["samples/split"].attrs["names"] = list(SPLITS)
            file["samples/task"].attrs["names"] = list(frame.tasks)
            yield file
            held.clear()
        seal(temporary)


def seal(path: Path) -> None:
    """Writes the SHA-256 of all that follows into the block that HDF5 leaves to its user.

    A damaged HDF5 file can make its library crash or never return, so it is recognised before it is opened.
    """
    with path.open("rb+") as stream:
        stream.write(f"{FORMAT} sha256 {_sum(stream)}\n".encode().ljust(_SEAL_BYTES, b"\0"))


def _sum(stream: BufferedReader | BufferedRandom) -> str:
    """Of what follows the seal; the stream is left at its beginning."""
    stream.seek(_SEAL_BYTES)
    monitor, digest = current_monitor(), hashlib.sha256()
    while part := stream.read(_CHUNK_BYTES):
        digest.update(part)
        monitor.part(stream.tell(), stream.tell() + 1, "bytes")
    stream.seek(0)
    return digest.hexdigest()


@lru_cache(maxsize=64)
def _is_whole(path: Path, size: int, changed: int) -> bool:
    """Whether a file's seal holds; a file without one, written by another tool, is taken as it is."""
    with path.open("rb") as stream:
        said = stream.read(_SEAL_BYTES).split(b"\n")[0].split()
        if said[:2] != [FORMAT.encode(), b"sha256"]:
            return True
        return said[2:] == [_sum(stream).encode()]


def write_rows(file: File, start: int, arrays: dict[str, np.ndarray]) -> None:
    """Fills rows from `start` on; `arrays` has some of `SAMPLE_ARRAYS`."""
    for name, values in arrays.items():
        if values.size:
            file[f"samples/{name}"][start : start + len(values)] = values.astype(_DTYPES[name], copy=False)


def _write_frame(file: File, frame: OperatorData, plan: str | None) -> None:
    file.attrs.update({"format": FORMAT, "version": VERSION, "problem": frame.problem, "use": RESEARCH_USE})
    file.attrs["tasks"] = list(frame.tasks)
    if plan is not None:
        file.attrs["plan"] = plan
    # These are for people who open the file with other tools; `attributes` is what is read back.
    for name in ("preset", "seed", "equation"):
        if isinstance(frame.attributes.get(name), str | int | float):
            file.attrs[name] = frame.attributes[name]
    file["attributes"] = dump_json(frame.attributes).decode()
    _fill(file, "coordinates", frame.coordinates)
    _name_columns(file["coordinates"], frame.axes)
    file["coordinates"].attrs["grid_shape"] = np.array(frame.grid_shape, dtype=np.int64)
    _fill(file, "geometries/mask", frame.mask)
    if frame.distance is not None:
        _fill(file, "geometries/distance", frame.distance)
    if frame.geometry_names:
        file["geometries/names"] = list(frame.geometry_names)


def _create(file: File, name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> Any:
    if 0 in shape:
        return file.create_dataset(name, shape, dtype)
    row = int(np.prod(shape[1:])) * np.dtype(dtype).itemsize
    chunks = (min(shape[0], max(1, _CHUNK_BYTES // row)), *shape[1:])
    return file.create_dataset(name, shape, dtype, chunks=chunks, compression="gzip", compression_opts=1, shuffle=True)


def _fill(file: File, name: str, values: np.ndarray) -> None:
    dataset = _create(file, name, values.shape, _DTYPES[name.rsplit("/", 1)[-1]])
    if values.size:
        dataset[...] = values


def _name_columns(dataset: Any, quantities: tuple[Quantity, ...]) -> None:
    if quantities:
        dataset.attrs["names"] = [quantity.name for quantity in quantities]
        dataset.attrs["units"] = [quantity.unit for quantity in quantities]


@contextmanager
def _opened(path: Path) -> Iterator[File]:
    """An own file for reading; whatever is wrong with it is one `ValueError`."""
    import h5py

    try:
        if not path.is_file():
            raise ValueError(f"{path}: no such file")
        state = path.stat()
        whole = _is_whole(path, state.st_size, state.st_mtime_ns)
    except OSError as refused:
        raise ValueError(f"{path}: cannot be read ({refused.strerror or refused})") from refused
    if not whole:
        raise ValueError(f"{path}: damaged (its checksum is not that of its contents); {_REMEDY}")
    if not h5py.is_hdf5(path):
        raise ValueError(
            f"{path}: not an HDF5 file, or cut off at its beginning; import foreign data with `polyhead pde import`"
        )
    try:
        with h5py.File(path, "r") as file:
            if str(file.attrs.get("format")) != FORMAT:
                keys = ", ".join(sorted(file)) or "nothing"
                raise ValueError(
                    f"{path}: HDF5, but not of this project (it holds {keys}); import it with `polyhead pde import`"
                )
            version: Any = file.attrs["version"]
            if not 1 <= int(version) <= VERSION:
                raise ValueError(
                    f"{path}: written in version {version} of the format, this program reads up to {VERSION}; "
                    "update the program"
                )
            yield file
    except (OSError, KeyError, RuntimeError, TypeError, AttributeError, ValueError, MemoryError) as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: damaged ({' '.join(str(error).split())}); {_REMEDY}") from error


def read_data(path: str | Path) -> OperatorData:
    """The data set of one file.

    Raises:
        ValueError: no such file, another format, a newer version, damage, or data that `check_data` refuses.
    """
    path = Path(path)
    with _opened(path) as file:
        names = file["geometries/names"].asstr()[:].tolist() if "geometries/names" in file else ()
        contents: dict[str, Any] = {name: _array(file, f"samples/{name}", _DTYPES[name]) for name in SAMPLE_ARRAYS}
        distance = "geometries/distance"
        contents |= {
            "problem": str(file.attrs["problem"]),
            "tasks": tuple(map(str, file.attrs["tasks"])),
            "coordinates": _array(file, "coordinates", np.float64),
            "axes": _quantities(file["coordinates"]),
            "grid_shape": tuple(map(int, file["coordinates"].attrs["grid_shape"])),
            "parameter_names": _quantities(file["samples/parameters"]),
            "function_names": _quantities(file["samples/functions"]),
            "solution_name": _quantities(file["samples/solution"])[0],
            "mask": _array(file, "geometries/mask", np.bool_),
            "distance": _array(file, distance, np.float32) if distance in file else None,
            "geometry_names": tuple(names),
            "attributes": json.loads(file["attributes"].asstr()[()]),
        }
    try:
        data = OperatorData(**contents)
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path}: {error}; {_REMEDY}") from error
    check_data(data, str(path))
    return data


def _array(file: File, name: str, dtype: type[np.generic]) -> np.ndarray:
    dataset = file[name]
    if dataset.dtype != np.dtype(dtype):
        raise TypeError(f"/{name} has dtype {dataset.dtype}, not {np.dtype(dtype)}")
    check_dataset(dataset)
    return np.asarray(dataset[()])


def _quantities(dataset: Any) -> tuple[Quantity, ...]:
    names, units = dataset.attrs.get("names", ()), dataset.attrs.get("units", ())
    if len(names) != len(units):
        raise KeyError(f"{dataset.name} has {len(names)} names and {len(units)} units")
    return tuple(Quantity(str(name), str(unit)) for name, unit in zip(names, units, strict=True))


def read_info(path: str | Path) -> dict[str, Any]:
    """What the head of a file says, without its arrays: problem, tasks, samples, points, plan, attributes."""
    path = Path(path)
    with _opened(path) as file:
        samples, points = file["samples/solution"].shape
        for name in ("task", "split"):
            check_dataset(file[f"samples/{name}"])
        return {
            "problem": str(file.attrs["problem"]),
            "tasks": tuple(map(str, file.attrs["tasks"])),
            "samples": int(samples),
            "points": int(points),
            "plan": file.attrs.get("plan"),
            "attributes": json.loads(file["attributes"].asstr()[()]),
        }


def data_paths(source: Path) -> list[Path]:
    """The data files of a folder, or the one file, unopened; without folders and those that are being written."""
    if not source.is_dir():
        return [source]
    entries = source.glob(f"*{SUFFIX}")
    return sorted(entry for entry in entries if not entry.name.startswith(TEMPORARY) and not entry.is_dir())


def data_files(source: str | Path, *, but: Collection[Path] = ()) -> dict[str, Path]:
    """The data files of a folder, or one file, by problem, in the order of their names, without those of `but`.

    Raises:
        ValueError: no data file, a file that is not of this project, or two files of one problem.
    """
    source = Path(source)
    if not source.exists():
        raise ValueError(f"{source}: no such file or folder")
    found: dict[str, Path] = {}
    for path in [each for each in data_paths(source) if each not in but]:
        problem = read_info(path)["problem"]
        if problem in found:
            raise ValueError(f"{source}: {found[problem].name} and {path.name} both hold {problem}; keep one of them")
        found[problem] = path
    if not found:
        raise ValueError(f"{source}: no {SUFFIX} file in it; make data with `polyhead pde sample`")
    return found
