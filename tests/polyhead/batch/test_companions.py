"""A changed companion makes exactly the cases that refer to it be done anew."""

from __future__ import annotations

from polyhead.batch.inputs import Wanted, as_cases, find_inputs, id_names, wanted_of


def test_a_changed_companion_makes_its_case_be_done_anew(bench):
    bench.cases({"a": "fine", "b": "fine"})
    coils = bench.inputs / "a.coils"
    coils.write_text("first")

    def cases():
        found = find_inputs(bench.inputs, lambda path: path.suffix == ".toy", looked_for="toys")

        def parts(each):
            held = each.path.with_suffix(".coils")
            return [Wanted(each.path, id_names(each), companions=(held,) if held.exists() else ())]

        return as_cases(wanted_of(found, parts))

    assert [case.files for case in cases()] == [(bench.inputs / "a.toy", coils), ()]
    bench.run(cases())
    bench.run(cases())
    assert bench.statuses() == {"a": "skipped", "b": "skipped"}
    coils.write_text("second")
    bench.run(cases())
    assert bench.statuses() == {"a": "ok", "b": "skipped"}
    coils.unlink()
    bench.run(cases())
    assert bench.statuses() == {"a": "ok", "b": "skipped"}
