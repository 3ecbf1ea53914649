"""Array files that lie about their size are refused before anything of that size is there."""

from __future__ import annotations

import errno
import io
import os
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from domains.pde.asking.questions import read_array
from domains.pde.asking.sources import cases_from
from domains.pde.data import claims, store
from domains.pde.data.claims import check_dataset, check_npy, check_npz
from domains.pde.importing.containers import read_arrays
from polyhead.batch.case import InvalidInput


def npy(shape: tuple[int, ...], held: int) -> bytes:
    """An npy file that announces float64 of `shape` and holds `held` numbers."""
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(8 * held)


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def test_an_honest_file_is_read(tmp_path):
    (tmp_path / "a.npy").write_bytes(npy((2, 3), 6))
    check_npy(tmp_path / "a.npy")
    np.savez_compressed(tmp_path / "b.npz", field=np.zeros((300, 300)))
    check_npz(tmp_path / "b.npz")
    assert read_arrays(tmp_path / "b.npz", "npz")["field"].shape == (300, 300)
    assert read_array("a.npy", tmp_path, "field").shape == (2, 3)


def test_an_npy_header_that_lies(tmp_path):
    for shape in ((10**12,), (10**6, 10**6, 10**6)):
        (tmp_path / "a.npy").write_bytes(npy(shape, 3))
        with pytest.raises(InvalidInput, match=r"\[bad-array\] 'a.npy' cannot be read: a.npy claims [0-9,]+ bytes"):
            read_array("a.npy", tmp_path, "field")
    (tmp_path / "a.npy").write_bytes(npy((100,), 3))
    with pytest.raises(ValueError, match=r"a.npy claims 800 bytes and holds 24"):
        check_npy(tmp_path / "a.npy")


def test_an_npz_that_lies_or_is_a_bomb(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"field.npy claims 800 bytes and holds"):
        check_npz(zipped(tmp_path / "lies.npz", field=npy((100,), 3)))
    bomb = zipped(tmp_path / "bomb.npz", a=npy((100_000,), 100_000), b=npy((100_000,), 100_000))
    assert bomb.stat().st_size < 5000
    monkeypatch.setattr(claims, "total_memory", lambda: 4_000_000)
    with pytest.raises(ValueError, match=r"bomb.npz claims 1,600,256 bytes; .* the limit is 1,000,000"):
        check_npz(bomb)
    with pytest.raises(ValueError, match="cannot be read as npz"):
        read_arrays(bomb, "npz")


def test_an_hdf5_shape_that_was_never_written(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("lies", (10**6, 10**6), np.float32, chunks=(1, 10**6), compression="gzip")
        file.create_dataset("true", data=np.ones((1000, 1000), np.float32), compression="gzip")
        check_dataset(file["true"])
        with pytest.raises(ValueError, match="/lies claims 4,000,000,000,000 bytes"):
            check_dataset(file["lies"])
    assert (tmp_path / "a.h5").stat().st_size < 100_000
    with pytest.raises(ValueError, match="cannot be read as hdf5"):
        read_arrays(tmp_path / "a.h5", "hdf5")


@pytest.mark.timeout(30)
def test_pipes_among_questions_and_what_they_refer_to_are_not_waited_for(tmp_path):
    for name in ("pipe.json", "pipe.csv", "pipe.npz", "pipe.png", "pipe.h5", "field.npy"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "good.yaml").write_text("task: darcy/square\nfield: default\n")
    (tmp_path / "refers.yaml").write_text("task: darcy/square\nfield: field.npy\n")
    (tmp_path / "pipe.h5").unlink()
    cases = {case.id: case for case in cases_from(tmp_path)}
    codes = {name: case.finding.code if case.finding else None for name, case in cases.items()}
    refused = {f"pipe.{kind}": "not-a-file" for kind in ("json", "csv", "npz", "png")}
    assert codes == {"good": None, "refers": None} | refused
    assert cases["refers"].files == (tmp_path / "refers.yaml", tmp_path / "field.npy")
    with pytest.raises(InvalidInput, match=r"field.npy"):
        read_array("field.npy", tmp_path, "field")
    os.mkfifo(tmp_path / "pipe.h5")
    (alone,) = cases_from(tmp_path / "pipe.h5")
    assert alone.finding is not None and alone.finding.code == "not-a-file"


def test_one_data_file_that_cannot_be_opened_stops_no_other(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "fisher.h5", "w") as file:
        file.attrs.update({"format": store.FORMAT, "version": store.VERSION, "problem": "fisher"})
        file.attrs["tasks"] = ["fisher/fisher"]
        file["attributes"] = "{}"
        file["samples/solution"] = np.zeros((3, 4), np.float32)
        file["samples/task"], file["samples/split"] = np.zeros(3, np.int64), np.full(3, 2)
    (tmp_path / "refused.h5").write_bytes((tmp_path / "fisher.h5").read_bytes())
    (tmp_path / "folder.h5").mkdir()
    opened = Path.open

    def refusing(path: Path, *given, **named):
        if path.name == "refused.h5":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *given, **named)

    monkeypatch.setattr(Path, "open", refusing)
    with pytest.raises(ValueError, match=r"refused\.h5: cannot be read \(Permission denied\)"):
        store.read_info(tmp_path / "refused.h5")
    rows = [f"fisher/fisher/0000{row}" for row in range(3)]
    assert [case.id for case in cases_from(tmp_path)] == [*rows, "refused.h5"]


def test_an_npz_is_read_as_before(tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, task=np.array("darcy/square"), field=np.eye(3))
    (tmp_path / "a.npz").write_bytes(buffer.getvalue())
    check_npz(tmp_path / "a.npz")
