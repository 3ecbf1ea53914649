"""Receipts: every file that decides an answer counts, what the system puts beside them does not, and what is read."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from polyhead.batch import receipts
from polyhead.batch.case import Case, InvalidInput
from polyhead.batch.receipts import (
    Receipt,
    fingerprint,
    input_fingerprint,
    load_receipt,
    request_digest,
    save_receipt,
    what_changed,
)
from polyhead.batch.writer import CaseWriter

LONG_AGO = 1_700_000_000_123_456_789


def written(path: Path, data: bytes, when: int | None = LONG_AGO) -> Path:
    """A file of `data`, last changed at `when` (nanoseconds since 1970); None: just now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("r+b" if path.exists() else "wb") as stream:
        stream.truncate()
        stream.write(data)
    if when is not None:
        os.utime(path, ns=(when, when))
    return path


def done(folder: Path, case: Case) -> Receipt:
    writer = CaseWriter(folder)
    writer.write_bytes("answer", b"42")
    receipt = Receipt("ok", case.id, input_fingerprint(case), "m", request_digest({}, case), writer.commit())
    save_receipt(folder, receipt)
    return receipt


def holds(folder: Path, case: Case, verify: receipts.Verify = "quick") -> bool:
    receipt = load_receipt(folder)
    assert receipt is not None
    return what_changed(receipt, folder, case, "m", request_digest({}, case), verify) is None


def test_a_large_file_is_hashed_again_only_when_it_was_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(receipts, "LARGE", 4)
    path = tmp_path / "large"
    path.write_bytes(b"12345")
    first = receipts.fingerprint(path)
    before = receipts._hash_large.cache_info()
    assert receipts.fingerprint(path) == first == {"sha256": hashlib.sha256(b"12345").hexdigest(), "bytes": 5}
    assert receipts._hash_large.cache_info().hits == before.hits + 1
    path.write_bytes(b"54321!")
    assert receipts.fingerprint(path) == {"sha256": hashlib.sha256(b"54321!").hexdigest(), "bytes": 6}


def test_every_file_of_a_case_decides_whether_it_is_done(tmp_path):
    files = [written(tmp_path / "in" / name, name.encode()) for name in ("scan", "coils", "regions/a", "regions/b")]
    case = Case("x", files[0], (), {"coils": "coils"}, (files[0], files[1], tmp_path / "in/regions"))
    done(tmp_path / "out", case)
    assert holds(tmp_path / "out", case) and holds(tmp_path / "out", case, "full")
    for file in files:
        before = file.read_bytes()
        written(file, before.upper(), when=None)
        assert not holds(tmp_path / "out", case), file
        written(file, before, when=None)
        assert holds(tmp_path / "out", case), file
    files[3].rename(files[3].with_name("c"))
    assert not holds(tmp_path / "out", case)
    files[1].unlink()
    with pytest.raises(InvalidInput, match=r"there is no such file: .*coils"):
        fingerprint(*case.files)


def test_what_is_gone_is_told_by_its_name(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    for name, words in (("gone", "there is no such file: gone"), ("link", "link is a link that leads nowhere")):
        with pytest.raises(InvalidInput, match=words) as told:
            fingerprint(tmp_path / name)
        assert told.value.code == "missing-file"


def test_a_case_of_one_file_has_the_hash_of_that_file(tmp_path):
    path = written(tmp_path / "scan", b"abc")
    assert fingerprint(path) == {"sha256": hashlib.sha256(b"abc").hexdigest(), "bytes": 3}
    sums = [input_fingerprint(case) for case in (Case("x", path), Case("x", path, files=(path,)))]
    assert sums[0] == sums[1] and sums[0]["sha256"] == hashlib.sha256(b"abc").hexdigest()


def test_companions_may_move_together(tmp_path):
    for home in ("here", "there"):
        written(tmp_path / home / "scan", b"1")
        written(tmp_path / home / "maps/coils", b"2")
    here, there = (fingerprint(tmp_path / home / "scan", tmp_path / home / "maps") for home in ("here", "there"))
    assert here == there and here["bytes"] == 2


@pytest.mark.parametrize("name", [".DS_Store", "._1.dcm", "Thumbs.db", "desktop.ini", ".hidden/file"])
def test_what_a_system_puts_into_a_folder_changes_nothing(tmp_path, name):
    written(tmp_path / "series/1.dcm", b"one")
    case = Case("x", tmp_path / "series")
    done(tmp_path / "out", case)
    written(tmp_path / "series" / name, b"junk", when=None)
    assert holds(tmp_path / "out", case) and holds(tmp_path / "out", case, "full")
    written(tmp_path / "series/2.dcm", b"two", when=None)
    assert not holds(tmp_path / "out", case)


def test_files_behind_a_linked_folder_count_and_a_circle_ends(tmp_path):
    written(tmp_path / "series/1.dcm", b"one")
    far = written(tmp_path / "far/2.dcm", b"two")
    (tmp_path / "series/more").symlink_to(tmp_path / "far")
    (tmp_path / "series/back").symlink_to(tmp_path / "series")
    case = Case("x", tmp_path / "series")
    assert fingerprint(case.path)["bytes"] == 6
    done(tmp_path / "out", case)
    written(far, b"TWO", when=None)
    assert not holds(tmp_path / "out", case)


def test_a_file_of_the_same_state_is_not_read_unless_asked(tmp_path):
    path = written(tmp_path / "scan", b"before")
    case = Case("x", path)
    assert "state" in done(tmp_path / "out", case).input
    written(path, b"behind")  # same size, time and inode
    assert holds(tmp_path / "out", case)
    assert not holds(tmp_path / "out", case, "full")
    path.rename(tmp_path / "first")
    written(path, b"before")  # same size and time, another inode: read, and found the same
    assert holds(tmp_path / "out", case)
    path.rename(tmp_path / "second")
    written(path, b"behind")
    assert not holds(tmp_path / "out", case)
    written(path, b"behind", when=LONG_AGO + 1)
    assert not holds(tmp_path / "out", case)


def test_a_file_written_in_the_tick_of_its_receipt_is_read_again(tmp_path):
    path = written(tmp_path / "scan", b"before", when=None)
    case = Case("x", path)
    for _ in range(100):  # a busy machine may let the moment pass
        written(path, b"before", when=None)
        receipt = done(tmp_path / "out", case)
        if "state" not in receipt.input:
            break
    assert "state" not in receipt.input and "state" not in receipt.outputs["answer"]
    when = path.stat().st_mtime_ns
    written(path, b"behind", when=when)
    assert not holds(tmp_path / "out", case)


def test_outputs_that_were_not_touched_are_not_read(tmp_path):
    case = Case("x", written(tmp_path / "scan", b"abc"))
    writer = CaseWriter(tmp_path / "out")
    with writer.file("volume.nii.gz") as path:
        written(path, b"before")
    outputs = writer.commit()
    assert outputs["volume.nii.gz"].keys() == {"sha256", "bytes", "state"}
    save_receipt(tmp_path / "out", Receipt("ok", "x", input_fingerprint(case), "m", request_digest({}, case), outputs))
    written(tmp_path / "out/volume.nii.gz", b"behind")
    assert holds(tmp_path / "out", case) and not holds(tmp_path / "out", case, "full")
    written(tmp_path / "out/volume.nii.gz", b"behind", when=None)
    assert not holds(tmp_path / "out", case)


def test_receipts_without_states_and_days_are_still_read(tmp_path):
    case = Case("x", written(tmp_path / "scan", b"abc"))
    receipt = done(tmp_path / "out", case)
    assert receipt.made == time.strftime("%Y-%m-%d", time.gmtime())
    path = tmp_path / "out/receipt.json"
    text = path.read_text().replace(f'"made": "{receipt.made}"', '"x": 1').replace('"state"', '"formerly"')
    path.write_text(text)
    assert holds(tmp_path / "out", case)
    older = load_receipt(tmp_path / "out")
    assert older is not None and older.made == "an earlier day"
