"""Room for a batch: an estimate before the start, a stop at the first sign that there is none, and the way on."""

import errno
import json
from pathlib import Path

import pytest

from polyhead.batch import room
from polyhead.batch.parts import PartWriter
from polyhead.batch.room import BLOCK, TooLittleRoom, on_disk
from polyhead.batch.writer import CaseWriter
from polyhead.system.disk import as_size, at_place, free_bytes, no_room
from polyhead.system.files import replacing, write_whole

MANY = {f"c{k:02d}": f"text {k}" for k in range(24)}


def test_files_take_whole_blocks():
    assert on_disk(1, BLOCK, BLOCK + 1, 0) == 5 * BLOCK


def test_sizes_are_told_in_two_digits_and_more():
    assert [as_size(n) for n in (0, 1500, 12_345_678, 9.94e9, 3e14)] == [
        "0 bytes",
        "1.5 kB",
        "12 MB",
        "9.9 GB",
        "300 TB",
    ]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_errors_that_say_so_are_known_whoever_raises_them(number):
    class RustError(Exception):
        pass

    for error in (
        OSError(number, "x"),
        RustError(f"I/O error: full (os error {number})"),
        OSError(f"Can't write data (file write failed: errno = {number}, error message = 'full')"),
    ):
        found = no_room(error)
        assert found is not None and found.errno == number
    wrapped = ValueError("not saved")
    wrapped.__cause__ = OSError(number, "x", "there")
    found = no_room(wrapped)
    assert found is not None and found.filename == "there"
    assert no_room(OSError(errno.EACCES, "x")) is None and no_room(ValueError("os error 28")) is None


def test_errors_without_a_place_get_one():
    with pytest.raises(OSError, match="No room") as caught, at_place(Path("here")):
        raise OSError(errno.ENOSPC, "No room")
    assert caught.value.filename == "here"
    with pytest.raises(OSError, match="No room") as caught, at_place(Path("here")):
        raise OSError(errno.ENOSPC, "No room", "there")
    assert caught.value.filename == "there"
    with pytest.raises(KeyError), at_place(Path("here")):
        raise KeyError(3)


def test_whoever_writes_names_the_place(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    part = PartWriter(tmp_path / "part", ["k"])
    monkeypatch.setattr("os.fsync", full)
    writer = CaseWriter(tmp_path / "case")
    for name, act in {
        "whole": lambda: write_whole(tmp_path / "whole", b"x"),
        "part": lambda: part.end({}),
        "case/.polyhead-tmp": lambda: writer.write_bytes("a.bin", b"x"),
    }.items():
        with pytest.raises(OSError, match="No space") as caught:
            act()
        assert str(caught.value.filename).startswith(str(tmp_path / name))
    part.close()
    with pytest.raises(OSError, match="No space"), replacing(tmp_path / "other"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"part", "case"}


def test_what_clearly_has_no_room_is_not_begun(bench, monkeypatch):
    cases = bench.cases(MANY)
    monkeypatch.setattr(room, "free_bytes", lambda path: 1_000_000)
    for dry_run in (False, True):
        with pytest.raises(TooLittleRoom) as caught:
            bench.run(cases, bytes_of=lambda case: 100_000, dry_run=dry_run)
        assert str(caught.value).startswith(f"about 2.4 MB will be written, 1.0 MB are free in {bench.out};")
        assert "--save" in str(caught.value)
    assert not bench.out.exists()


def test_a_dry_run_tells_the_estimate_of_what_is_left(bench):
    cases = bench.cases(MANY)
    bench.run(cases[:20])
    summary = bench.run(cases, bytes_of=lambda case: 250_000, dry_run=True)
    assert summary.notes[0].startswith("about 1.0 MB will be written, ") and summary.exit_status == 0


def test_a_batch_that_is_nearly_done_is_not_refused(bench, monkeypatch):
    cases = bench.cases(MANY)
    bench.run(cases[:23])
    monkeypatch.setattr(room, "free_bytes", lambda path: 150_000)
    assert bench.run(cases, bytes_of=lambda case: 100_000).counts == {"ok": 1, "skipped": 23}


def test_the_first_cases_tell_whether_the_others_have_room(bench, monkeypatch):
    monkeypatch.setattr(room, "free_bytes", lambda path: 3 * BLOCK)
    summary = bench.run(bench.cases(MANY))
    assert summary.exit_status == 2 and summary.error is not None and "will be written" in summary.error
    assert 8 <= summary.counts["ok"] < 24
    monkeypatch.undo()
    assert bench.run(bench.cases(MANY)).exit_status == 0


def test_the_first_full_write_stops_the_batch_and_it_goes_on_once_there_is_room(bench):
    cases = bench.cases({name: f"{text} write:full" if name > "c07" else text for name, text in MANY.items()})
    bench.journal.with_name("full").touch()
    summary = bench.run(cases, workers=1)
    place, words = f"{bench.out}: No space left on device: the batch stops; ", summary.error or ""
    assert summary.exit_status == 2 and words.startswith(place) and "the same command" in words and "\n" not in words
    assert 1 <= summary.counts["ok"] <= 8 and set(summary.counts) == {"ok", "not_run"} and not summary.failures
    rows = bench.rows()
    assert len(rows) == 24 and {row["reason"] for row in rows.values() if row["status"] == "not_run"} == {words}
    done = {name for name, status in bench.statuses().items() if status == "ok"}
    assert {path.parent.name for path in bench.out.glob("*/receipt.json")} == done
    assert not list(bench.out.rglob(".polyhead-tmp-*"))
    bench.journal.with_name("full").unlink()
    summary = bench.run(cases)
    assert summary.exit_status == 0 and summary.counts == {"ok": 24 - len(done), "skipped": len(done)}
    assert set(bench.statuses()) == set(MANY)


@pytest.mark.parametrize("what", ["append", "end"])
def test_a_parent_without_room_says_so_too(bench, monkeypatch, what):
    def full(*_: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(PartWriter, what, full)
        summary = bench.run(bench.cases(MANY))
    assert summary.exit_status == 2 and summary.error is not None and "quota" in summary.error
    assert bench.run(bench.cases(MANY)).exit_status == 0
    assert len(bench.rows()) == 24


def test_files_of_the_whole_set_without_room_are_no_internal_error(bench):
    def on_merged(out: Path, rows: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(out / "answers.tsv"))

    summary = bench.run(bench.cases({"a": "x"}), on_merged=on_merged)
    assert summary.exit_status == 2 and summary.error is not None and summary.error.startswith(f"{bench.out}: No space")


def test_other_errors_of_files_are_failures_of_their_case(bench):
    summary = bench.run(bench.cases({"a": "write:raise", "b": "x"}))
    assert summary.counts == {"ok": 1, "failed": 1} and summary.exit_status == 3


def test_free_bytes_are_those_of_the_folder_that_will_hold_it(tmp_path):
    assert free_bytes(tmp_path / "not" / "yet") > 0


def test_what_was_chosen_is_told_of_the_run(bench):
    bench.run(bench.cases({"a": "x"}), saved=["maps"])
    told = json.loads((bench.out / "batch.json").read_text(encoding="utf-8"))
    assert told["saved"] == ["maps"]
