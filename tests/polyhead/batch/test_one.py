"""Cases answered in this process come out as a batch would have them."""

from __future__ import annotations

import json

import pytest
from toy_predictors import toy

from polyhead.batch.case import Case, InvalidInput
from polyhead.batch.monitor import current_monitor
from polyhead.batch.one import answer, ask, written_files
from polyhead.system.files import TEMPORARY


def test_an_answer_is_the_one_of_a_batch_and_the_batch_knows_it_as_done(bench):
    cases = bench.cases({"a": "one", "b": "three"})
    assert bench.run(cases[:1]).counts == {"ok": 1}
    made = answer(toy(), cases[1], bench.out / "b", model="m1", parameters={"factor": 1})
    assert (made.status, made.record["value"]) == ("ok", 5)  # type: ignore[index]
    assert (bench.out / "b/answer.txt").read_text() == "5"
    receipts = [json.loads((bench.out / name / "receipt.json").read_text()) for name in "ab"]
    assert receipts[0].keys() == receipts[1].keys() and receipts[0]["outputs"].keys() == receipts[1]["outputs"].keys()
    assert bench.run(cases).counts == {"skipped": 2}


@pytest.mark.parametrize(
    ("text", "status", "code", "reason"),
    [
        ("invalid", "invalid_input", "not_an_image", "this is no image"),
        ("read:raise", "failed", "error-in-read", "RuntimeError: told to raise"),
        ("predict:memory", "oom", "out-of-memory", "MemoryError"),
        ("predict:exit", "failed", "error-in-predict", "SystemExit: 5"),
        ("write:raise", "failed", "error-in-write", "RuntimeError: told to raise"),
        ("nan", "failed", "error-in-write", "ValueError: Out of range float values are not JSON compliant"),
    ],
)
def test_trouble_is_an_outcome_and_leaves_no_answer(bench, text, status, code, reason):
    (case,) = bench.cases({"a": text})
    made = answer(toy(), case, bench.out / "a", model="m", parameters={})
    assert (made.status, made.code) == (status, code) and str(made.reason).startswith(reason)
    assert not (bench.out / "a/answer.txt").exists() and not list(bench.out.rglob(f"{TEMPORARY}*"))


def test_a_case_that_is_gone_is_an_invalid_input(tmp_path):
    made = answer(toy(), Case("a", tmp_path / "gone"), tmp_path / "out", model="m", parameters={})
    assert (made.status, made.code) == ("invalid_input", "missing-file")


def test_what_is_asked_comes_back_in_its_place(bench):
    found = ask(toy(), bench.cases({"a": "one", "b": "invalid", "c": "three"}))
    assert found[0::2] == [3, 5]
    assert isinstance(found[1], InvalidInput) and found[1].code == "not_an_image"
    assert ask(toy(), []) == []


def test_written_files_are_those_of_a_case():
    def write(out) -> None:
        out.write_json("sub/a.json", {"x": 1})
        with out.file("b.bin") as path:
            path.write_bytes(b"12")

    assert written_files(write) == {"sub/a.json": b'{\n "x": 1\n}\n', "b.bin": b"12"}


def test_outside_of_a_batch_the_monitor_does_nothing():
    for done in range(3):
        current_monitor().part(done, 3, "slabs")
