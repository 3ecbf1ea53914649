"""Earlier answers outlive what happens to their inputs: gone for a night, or another file of the same name."""

from __future__ import annotations

from polyhead.batch.case import Case


def answers(bench) -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in bench.out.glob("*/*.txt")}


def test_the_answer_to_an_input_that_is_gone_stays_and_holds_again(bench):
    cases = bench.cases({"a": "one", "b": "three"})
    bench.run(cases)
    before = answers(bench)
    away = cases[0].path.rename(bench.inputs / "away")
    for options in ({}, {"verify": "full"}, {"overwrite": True}):
        summary = bench.run(cases, **options)
        assert summary.exit_status == 3 and not summary.notes
        row = bench.rows()["a"]
        assert (row["status"], row["code"]) == ("invalid_input", "missing-file")
        assert row["remedy"].endswith("; the earlier answer stays")
        assert answers(bench) == before
    away.rename(cases[0].path)
    bench.forget_journal()
    assert bench.run(cases).counts == {"skipped": 2} and not bench.journal_lines("read")


def test_the_answer_to_an_input_that_was_broken_since_goes(bench):
    (case,) = bench.cases({"a": "one"})
    bench.run([case])
    bench.cases({"a": "invalid"})
    assert bench.run([case]).exit_status == 4 and not answers(bench)
    assert "stays" not in str(bench.rows()["a"]["remedy"])


def test_another_file_of_the_same_name_never_takes_the_place_of_an_answer(bench):
    first = bench.cases({"a": "one", "b": "three"})
    bench.run(first)
    before = answers(bench)
    second = [
        Case(case.id, each.path)
        for case, each in zip(first, bench.cases({"two/a": "seven", "two/b": "three"}), strict=True)
    ]
    for options in ({}, {"saved": ("extra",)}, {"retry_failed": True}):
        assert bench.run(second, **options).counts == {"skipped": 1, "invalid_input": 1}
        row = bench.rows()["a"]
        assert row["code"] == "answers-another" and row["input"] == str(second[0].path)
        assert row["reason"] == f"its folder holds the answer to another file, {first[0].path}"
        assert "choose another -o and keep both, or --overwrite" in row["remedy"]
        assert answers(bench) == before
    assert bench.run(first).counts == {"skipped": 2}
    assert bench.run(second, overwrite=True).counts == {"ok": 2} and answers(bench)["a"] == "5"


def test_a_file_that_was_moved_and_changed_is_answered_anew(bench):
    (case,) = bench.cases({"a": "one"})
    bench.run([case])
    moved = Case("a", case.path.rename(bench.inputs / "moved.toy"))
    assert bench.run([moved]).counts == {"skipped": 1}
    moved.path.write_text("seven")
    assert bench.run([moved]).counts == {"ok": 1} and answers(bench)["a"] == "5"
