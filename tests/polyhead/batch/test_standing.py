"""Answers that are no inputs, and answers that nobody asked for: left out, left there, and named."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from polyhead.batch.case import Case
from polyhead.batch.inputs import Wanted, as_cases, find_inputs, id_names
from polyhead.batch.standing import not_asked, not_asked_line, outside


def toys(source):
    """The cases of a source, as an application finds them; answers of toys are inputs, too."""
    found = find_inputs(source, lambda path: path.suffix in (".toy", ".txt", ".png"), looked_for="toys")
    return as_cases([Wanted(each.path, id_names(each)) for each in found])


@pytest.mark.parametrize("spelled", ["in", "./in/../in", "absolute", "link", "in/**/*", "in/*", "list"])
def test_a_call_that_is_repeated_never_answers_its_answers(bench, monkeypatch, spelled):
    bench.cases({"a": "one", "deep/b": "two"})
    folder = bench.inputs.parent
    monkeypatch.chdir(folder)
    (folder / "link").symlink_to("in")
    source = {"absolute": str(bench.inputs), "list": "names.lst"}.get(spelled, spelled)
    bench.out = folder / "link" / "out"
    for call in range(3):
        if spelled == "list":
            # The list is made anew before each call, as a nightly job would.
            names = sorted(str(path) for path in bench.inputs.rglob("*") if path.is_file())
            (folder / "names.lst").write_text("".join(f"{name}\n" for name in names if ".polyhead" not in name))
            monkeypatch.setattr("polyhead.batch.inputs.LIST_SUFFIXES", {".lst"})
        summary = bench.run(toys(source))
        assert summary.counts == ({"skipped": 2} if call else {"ok": 2}), call


def test_links_into_results_and_other_batches_below_are_passed_over(bench, caplog):
    cases = bench.cases({"a": "one"})
    first, second = bench.inputs / "first", bench.inputs / "second"
    bench.out = first
    bench.run(cases)
    (bench.inputs / "to answer").symlink_to(first / "a")
    bench.out = second
    assert bench.run(toys(bench.inputs)).counts == {"ok": 1}
    assert f"{first} holds the results of a batch; they are no inputs" in caplog.messages
    assert any(line.startswith(f"{bench.inputs / 'to answer'} leads into {first}") for line in caplog.messages)
    # Named by themselves, results of another batch are what is asked for.
    assert [case.id for case in toys(first / "a")] == ["answer", "thumb"]


def test_inputs_in_the_folder_of_the_results(bench, caplog):
    cases = bench.cases({"a": "one"})
    bench.run(cases)
    own = [Case("again", bench.out / "a/answer.txt"), Case("folder", bench.out / "a"), *cases]
    link = bench.inputs / "link.toy"
    link.symlink_to(bench.out / "a/answer.txt")
    with caplog.at_level(logging.WARNING):
        kept = outside([*own, Case("linked", link)], Path(os.path.relpath(bench.out)))
    assert [case.id for case in kept] == ["a"]
    assert caplog.messages[0].startswith("3 inputs lie in ")
    with pytest.raises(ValueError, match=r"every input lies in .*out, the folder of the results; choose another -o"):
        bench.run(own[:2])
    spooled = Case("stdin", bench.out / ".polyhead/stdin")
    assert list(outside([spooled], bench.out)) == [spooled]
    assert bench.rows().keys() == {"a"}


def test_answers_that_nobody_asks_for_stay_and_are_named(bench):
    names = ["a", "deep/b", "deep/er/c", "bad"]
    cases = bench.cases({name: "invalid" if name == "bad" else "fine" for name in names})
    bench.run(cases)
    assert not_asked(bench.out, set(names)) == []
    summary = bench.run(cases[1:2])
    line = "2 earlier answers in this folder are of inputs that were not asked for now, and stay: a, deep/er/c"
    assert summary.notes == (line,) and summary.counts == {"skipped": 1}
    said = json.loads((bench.out / "batch.json").read_text())
    assert said["not_asked"] == {"count": 2, "ids": ["a", "deep/er/c"]} and said["notes"] == [line]
    assert line in (bench.out / "summary.html").read_text()
    assert (bench.out / "a/answer.txt").read_text() == "4"
    # The list of the failed cases is such a call, and so are other inputs under other names.
    assert bench.run(cases[3:]).notes[0].startswith("3 earlier answers")
    summary = bench.run(cases)
    assert summary.notes == () and json.loads((bench.out / "batch.json").read_text())["not_asked"]["count"] == 0


def test_the_line_tells_a_few_names():
    assert not_asked_line(["a"]).endswith("is of an input that was not asked for now, and stays: a")
    assert not_asked_line([f"{index}" for index in range(1200)]).startswith("1,200 earlier answers")
    assert not_asked_line(list("abcd")).endswith(": a, b, c, ...")
