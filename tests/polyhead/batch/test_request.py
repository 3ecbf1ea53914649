"""What the answers of a folder are to: another command never takes their place unless it is told to."""

from __future__ import annotations

import json

import pytest

from polyhead.batch.case import Case
from polyhead.batch.folder import FolderInUse, OutputFolder
from polyhead.batch.request import Request


def answers(bench):
    return {path.parent.name: path.read_bytes() for path in bench.out.glob("*/*.txt")}


def test_another_model_task_or_setting_is_refused_before_anything_is_touched(bench):
    cases = bench.cases({"a": "one", "b": "three"})
    asked = {"tasks": ["heart", "liver"], "overlays": True}
    bench.run(cases, parameters=asked, info={"run": "R1"})
    before = {path: path.read_bytes() for path in bench.out.rglob("*") if path.is_file()}
    ways = "; choose another -o and keep both, or --overwrite to have these replaced"
    for options, words in (
        ({"model_hash": "m2", "info": {"run": "R2"}}, "model: was R1, now R2"),
        ({"model_hash": "m2", "info": {"run": "R1"}}, "model: R1 has changed since"),
        ({"parameters": asked | {"tasks": ["heart"]}}, "tasks: now without liver"),
        ({"parameters": asked | {"tasks": ["heart", "eye"]}}, "tasks: now without liver and with eye"),
        ({"parameters": asked | {"tasks": ["liver", "heart"]}}, "tasks: now in another order"),
        ({"parameters": asked | {"overlays": False}}, "overlays (was true, now false)"),
    ):
        for more in ({}, {"dry_run": True}, {"shard": (1, 2)}):
            with pytest.raises(ValueError) as refused:
                bench.run(cases, **{"parameters": asked, "info": {"run": "R1"}, **options, **more})
            assert str(refused.value) == f"{bench.out} holds the answers to another command ({words}){ways}"
    assert {path: path.read_bytes() for path in bench.out.rglob("*") if path.is_file()} == before
    # Other inputs do not make it another command's folder; where the run lies does not matter.
    assert bench.run(cases[:1], parameters=asked, info={"run": "moved/R1"}).counts == {"skipped": 1}


def test_overwrite_replaces_and_is_gone_on_with_without_it(bench):
    cases = bench.cases({f"{index}": "x" * index for index in range(1, 9)})
    bench.run(cases)
    stopped = bench.run(cases, factor=3, overwrite=True, fail_fast=True, retry_failed=True)
    assert stopped.counts == {"ok": 8} and answers(bench)["4"] == b"12"
    bench.run(cases[:3], factor=5, overwrite=True)
    # What the stopped call left of the former answers is named as it is replaced.
    summary = bench.run(cases, factor=5)
    assert summary.counts == {"ok": 5, "skipped": 3} and answers(bench)["8"] == b"40"
    assert summary.notes == (
        "5 cases are done anew, for what is asked of them, or the model, has changed since: 4, 5, 6, ...",
    )


def test_a_folder_without_an_answer_takes_another_command(bench):
    assert bench.run(bench.cases({"a": "invalid"})).exit_status == 4
    cases = bench.cases({"a": "fine"})
    assert bench.run(cases, model_hash="m2").counts == {"ok": 1}
    with pytest.raises(ValueError, match="another command"):
        bench.run(cases)


def test_a_folder_of_a_killed_run_is_known_by_what_it_was_asked(bench):
    cases = bench.cases({"a": "fine", "b": "fine"})
    bench.run(cases)
    for name in ("batch.json", "results.jsonl"):
        (bench.out / name).unlink()
    with pytest.raises(ValueError, match=r"another command \(factor \(was 1, now 2\)\)"):
        bench.run(cases, factor=2)
    assert bench.run(cases).counts == {"skipped": 2}


def test_a_shard_of_another_command_keeps_the_folder(bench):
    cases = bench.cases({f"{index}": "x" for index in range(8)})
    bench.run(cases, shard=(0, 2))
    with OutputFolder(bench.out, (0, 2)).hold():
        with pytest.raises(FolderInUse, match="a shard of another command is writing"):
            bench.run(cases, shard=(1, 2), factor=2, overwrite=True)
        assert bench.run(cases, shard=(1, 2)).exit_status == 0
    assert Request.load(bench.out) == Request("m1", {"factor": 1})


def test_changed_inputs_and_lost_files_are_done_anew_and_named(bench):
    cases = bench.cases({"a": "one", "b": "two", "c": "three", "d": "four"})
    bench.run(cases)
    for name in "ab":
        (bench.inputs / f"{name}.toy").write_text("longer")
    (bench.out / "c/answer.txt").unlink()
    summary = bench.run(cases)
    assert summary.counts == {"ok": 3, "skipped": 1}
    lines = (
        "2 cases are done anew, for the input has changed since: a, b",
        "1 case is done anew, for files of its answer were changed or are gone: c",
    )
    assert summary.notes == lines
    assert json.loads((bench.out / "batch.json").read_text())["shards"][0]["notes"] == list(lines)
    asked = [Case(case.id, case.path, ("heart",)) for case in cases[:1]]
    assert bench.run(asked).notes[0].startswith("1 case is done anew, for what is asked of it, or the model,")
