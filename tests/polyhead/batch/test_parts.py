"""Parts of shards: appended, ended, and merged in the order of the input; parts of other runs are left alone."""

from __future__ import annotations

import json

import pytest

from polyhead.batch.folder import OutputFolder
from polyhead.batch.outcome import Outcome
from polyhead.batch.parts import PartWriter, read_part, write_rows


def outcome(name: str) -> Outcome:
    return Outcome(name, f"in/{name}", "ok", seconds=0.5, record={"name": name})


def part(path, indices, key=("m", "p"), end=True):
    writer = PartWriter(path, key)
    for index in indices:
        writer.append(index, outcome(f"c{index}"))
    if end:
        writer.end({"shard": [0, 1], "counts": {"ok": len(indices)}})
    writer.close()
    return path


def test_rows_come_in_the_order_of_the_input_and_as_they_were(tmp_path):
    parts = [read_part(part(tmp_path / "a", [12, 3, 0])), read_part(part(tmp_path / "b", [11, 2, 1, 100]))]
    assert all(each is not None and each.key == ["m", "p"] for each in parts)
    rows = write_rows([each for each in parts if each is not None], tmp_path / "results.jsonl")
    expected = [outcome(f"c{index}").to_json() for index in (0, 1, 2, 3, 11, 12, 100)]
    assert len(rows) == 7 and list(rows) == expected == list(rows), "rows can be gone through again"
    assert [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()] == expected


def test_no_rows_are_no_lines(tmp_path):
    rows = write_rows([], tmp_path / "results.jsonl")
    assert (len(rows), list(rows), (tmp_path / "results.jsonl").read_bytes()) == (0, [], b"")


@pytest.mark.parametrize("lost", [1, 5, 60, 100, 150, 300, 10_000])
def test_a_part_that_was_torn_has_not_ended(tmp_path, lost):
    path = part(tmp_path / "a", range(4))
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) - 1 - lost)])
    assert read_part(path) is None


def test_a_part_at_work_has_not_ended_and_an_absent_one_neither(tmp_path):
    assert read_part(part(tmp_path / "a", [0, 1], end=False)) is None
    assert read_part(tmp_path / "b") is None


def test_a_reader_keeps_the_part_that_another_run_begins_anew(tmp_path):
    path = part(tmp_path / "a", [0, 1])
    with path.open("rb") as stream:
        before = path.read_bytes()
        part(path, [5], end=False)
        assert stream.read() == before


def test_only_parts_of_the_same_model_and_parameters_are_merged(tmp_path):
    folder = OutputFolder(tmp_path, (0, 3))
    with folder.hold():
        part(folder._part(0, 3), [0])
        part(folder._part(1, 3), [1], key=("another model", "p"))
        part(folder._part(2, 3), [2], key=("m", "other parameters"))
        assert [list(each.indices) for each in folder.ended_parts(["m", "p"])] == [[0]]


def test_parts_of_another_number_of_shards_are_removed(tmp_path):
    with OutputFolder(tmp_path, (1, 3)).hold():
        pass
    stale = part(OutputFolder(tmp_path, (1, 3))._part(1, 3), [1])
    kept = part(OutputFolder(tmp_path, (1, 2))._part(1, 2), [1])
    with OutputFolder(tmp_path, (1, 2)).hold():
        pass
    with OutputFolder(tmp_path, (0, 2)).hold():
        assert not stale.exists() and kept.exists()
    with OutputFolder(tmp_path, (0, 1)).hold():
        assert not kept.exists()
