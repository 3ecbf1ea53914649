"""Pipes, bombs and endless lines among sequences: one line each, nothing is waited for, nothing grows without end."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from domains.genomics.asking.sources import cases_from, is_labelled
from domains.genomics.predicting.room import bytes_of
from domains.genomics.readers import RejectedRecord, read_records, stream


@pytest.mark.timeout(30)
def test_pipes_in_a_folder_of_sequences(tmp_path):
    (tmp_path / "a.fa").write_text(">a\nACGTACGT\n")
    for name in ("pipe.fa", "pipe.csv", "pipe.txt"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "zero.fa").symlink_to("/dev/zero")
    assert not is_labelled(tmp_path)
    codes = {case.id: case.finding.code if case.finding else None for case in cases_from(tmp_path)}
    refused = dict.fromkeys(("pipe.csv", "pipe.fa", "zero"), "not-a-file")
    assert {name: code for name, code in codes.items() if name != "pipe.txt"} == {"a/00000": None, **refused}
    (alone,) = cases_from(tmp_path / "pipe.fa")
    assert alone.finding is not None and alone.finding.code == "not-a-file"
    (told,) = read_records(tmp_path / "pipe.fa")
    assert isinstance(told, RejectedRecord) and told.code == "not-a-file"


def test_what_cannot_be_looked_at_beside_labelled_tables_is_a_case_that_fails(tmp_path):
    (tmp_path / "t.csv").write_text("sequence,label,split\nACGTACGT,a,test\nACGTACGA,b,test\n")
    (tmp_path / "deep").mkdir()
    os.mkfifo(tmp_path / "deep" / "u.csv")
    cases = cases_from(tmp_path)
    assert [(case.id, case.finding and case.finding.code) for case in cases] == [
        ("test/00000", None), ("deep/u.csv", "not-a-file")
    ]  # fmt: skip


def test_an_archive_that_unpacks_to_far_more_than_it_holds_ends_with_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "BOMB_FROM", 1 << 20)
    whole = b">a\n" + b"ACGT" * 1000
    for name, text in (("bomb.fa.gz", whole + b"A" * (8 << 20)), ("bomb.fq.gz", b"@r\n" + b"A" * (8 << 20))):
        (tmp_path / name).write_bytes(gzip.compress(text, 9))
        assert (tmp_path / name).stat().st_size < 20_000
        *_, last = read_records(tmp_path / name, chunk=100_000)
        assert isinstance(last, RejectedRecord)
        assert (last.code, last.reason) == ("archive-bomb", "it unpacks to more than 200 times its size")
    (tmp_path / "fair.fa.gz").write_bytes(gzip.compress(whole))
    assert [type(each).__name__ for each in read_records(tmp_path / "fair.fa.gz")] == ["SequenceRecord"]


def test_a_table_of_one_endless_line_is_no_labelled_data(tmp_path):
    table = Path(tmp_path / "t.csv.gz")
    table.write_bytes(gzip.compress(b"A" * (64 << 20), 9))
    assert not is_labelled(tmp_path)


def test_files_that_will_fail_are_no_room_that_a_batch_needs(tmp_path):
    (tmp_path / "a.fa").write_text(">a\nACGTACGT\n")
    alone = bytes_of(cases_from(tmp_path), tasks=7, block=1000, saved=None)(cases_from(tmp_path)[0])
    with (tmp_path / "hollow.fa").open("wb") as file:
        file.truncate(1 << 40)
    os.mkfifo(tmp_path / "pipe.fa")
    (tmp_path / "zero.fa").symlink_to("/dev/zero")
    cases = cases_from(tmp_path)
    of = bytes_of(cases, tasks=7, block=1000, saved=None)
    assert len(cases) == 4 and sum(map(of, cases)) <= 4 * alone
