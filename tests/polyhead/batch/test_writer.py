from __future__ import annotations

import hashlib
import json

import pytest

from polyhead.batch.case import Case, InvalidInput
from polyhead.batch.receipts import (
    Receipt,
    clear_case,
    digest,
    fingerprint,
    load_receipt,
    request_digest,
    save_receipt,
    what_changed,
)
from polyhead.batch.writer import CaseWriter
from polyhead.system.files import sweep_temporaries, write_whole


def test_outputs_appear_together_at_commit(tmp_path):
    writer = CaseWriter(tmp_path / "a/b")
    writer.write_bytes("x.bin", b"123")
    writer.write_json("sub/y.json", {"v": 1.5})
    assert not (tmp_path / "a/b/x.bin").exists()
    sums = writer.commit()
    assert sums["x.bin"]["sha256"] == hashlib.sha256(b"123").hexdigest() and sums["x.bin"]["bytes"] == 3
    assert json.loads((tmp_path / "a/b/sub/y.json").read_text()) == {"v": 1.5}
    assert sorted(p.name for p in (tmp_path / "a/b").iterdir()) == ["sub", "x.bin"]


def test_discard_leaves_nothing(tmp_path):
    writer = CaseWriter(tmp_path / "a")
    writer.write_bytes("x.bin", b"123")
    writer.discard()
    assert not (tmp_path / "a").exists()
    writer = CaseWriter(tmp_path / "a")
    writer.write_bytes("x.bin", b"123")
    writer.commit()
    writer.discard()
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "name", ["", "/x", "../x", "a/../x", "a//b", "./x", "a\\b", "x\0", "receipt.json", "s/receipt.json"]
)
def test_names_that_leave_the_case_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="not a name for an output"):
        CaseWriter(tmp_path).write_bytes(name, b"")


def test_writing_twice_and_writing_nan_are_refused(tmp_path):
    writer = CaseWriter(tmp_path)
    writer.write_bytes("x", b"")
    with pytest.raises(ValueError, match="twice"):
        writer.write_bytes("x", b"")
    for value in (float("nan"), float("inf"), {"a": object()}):
        with pytest.raises(ValueError):
            writer.write_json("y", value)


def test_atomic_write_and_sweep(tmp_path):
    write_whole(tmp_path / "x", b"old")
    with pytest.raises(TypeError):
        write_whole(tmp_path / "x", "text")  # type: ignore[arg-type]
    assert (tmp_path / "x").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
    (tmp_path / ".polyhead-tmp-1-2").write_bytes(b"orphan")
    assert sweep_temporaries(tmp_path) == 1 and sweep_temporaries(tmp_path / "none") == 0


def test_fingerprint_of_files_and_folders(tmp_path):
    (tmp_path / "d/s").mkdir(parents=True)
    (tmp_path / "d/1").write_bytes(b"one")
    (tmp_path / "d/s/2").write_bytes(b"two")
    assert fingerprint(tmp_path / "d/1") == {"sha256": hashlib.sha256(b"one").hexdigest(), "bytes": 3}
    whole = fingerprint(tmp_path / "d")
    assert whole["bytes"] == 6
    (tmp_path / "d/s/2").rename(tmp_path / "d/s/3")
    assert fingerprint(tmp_path / "d") != whole
    with pytest.raises(InvalidInput, match="missing-file"):
        fingerprint(tmp_path / "gone")


def test_digests_know_order_of_keys_from_difference_of_values(tmp_path):
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})
    with pytest.raises(ValueError):
        digest(float("nan"))
    case = Case("x", tmp_path, ("t",), {"o": 1})
    others = [Case("x", tmp_path, ("u",), {"o": 1}), Case("x", tmp_path, ("t",), {"o": 2})]
    assert (
        len({request_digest({}, case), *(request_digest({}, c) for c in others), request_digest({"p": 1}, case)}) == 4
    )


def test_receipts_round_trip_hold_and_break(tmp_path):
    (tmp_path / "in").write_bytes(b"input")
    case, folder = Case("x", tmp_path / "in"), tmp_path / "out"
    writer = CaseWriter(folder)
    writer.write_bytes("y", b"abc")
    receipt = Receipt("ok", "x", fingerprint(case.path), "m", "r", writer.commit(), {"v": 1}, 0.5)
    save_receipt(folder, receipt)
    assert load_receipt(folder) == receipt
    assert what_changed(receipt, folder, case, "m", "r") is None
    assert what_changed(receipt, folder, case, "n", "r") == "asked"
    assert what_changed(receipt, folder, case, "m", "s") == "asked"
    assert what_changed(receipt, folder, Case("y", case.path), "m", "r") == "asked"
    (folder / "y").write_bytes(b"abd")
    assert what_changed(receipt, folder, case, "m", "r") == "outputs"
    clear_case(folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"status": "ok"}', '"x"', "null"])
def test_a_broken_receipt_is_none(tmp_path, text):
    (tmp_path / "receipt.json").write_text(text)
    assert load_receipt(tmp_path) is None


def test_a_receipt_cannot_name_files_elsewhere(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "precious").write_bytes(b"x")
    save_receipt(tmp_path / "a", Receipt("ok", "a", {}, "m", "r", {"../precious": {}}))
    clear_case(tmp_path / "a")
    assert (tmp_path / "precious").exists() and not (tmp_path / "a/receipt.json").exists()


def test_a_library_may_write_a_file_itself(tmp_path):
    writer = CaseWriter(tmp_path / "a")
    with writer.file("sub/volume.nii.gz") as path:
        assert path.name.endswith(".nii.gz") and not path.exists() and path.parent == tmp_path / "a"
        path.write_bytes(b"12")
        with path.open("ab") as stream:
            stream.write(b"3")
        with pytest.raises(ValueError, match="still being written"):
            writer.commit()
    assert not (tmp_path / "a/sub").exists()
    sums = writer.commit()
    assert sums["sub/volume.nii.gz"]["sha256"] == hashlib.sha256(b"123").hexdigest()
    assert sums["sub/volume.nii.gz"]["bytes"] == 3
    assert (tmp_path / "a/sub/volume.nii.gz").read_bytes() == b"123"


def test_a_library_that_fails_or_writes_nothing_leaves_nothing(tmp_path):
    writer = CaseWriter(tmp_path / "a")
    with pytest.raises(RuntimeError, match="no space"), writer.file("x.h5") as path:
        path.write_bytes(b"half")
        raise RuntimeError("no space")
    with pytest.raises(ValueError, match=r"'x.h5' was not written"), writer.file("x.h5"):
        pass
    assert list((tmp_path / "a").iterdir()) == [] and writer.commit() == {}
    for name in ("../x", "receipt.json"):
        with pytest.raises(ValueError, match="not a name"), writer.file(name):
            pass
    writer.write_bytes("x.h5", b"")
    with pytest.raises(ValueError, match="twice"), writer.file("x.h5"):
        pass
    writer.discard()
    assert not (tmp_path / "a").exists()
