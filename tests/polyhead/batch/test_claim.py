"""Where results may be written: a new or empty folder or a batch's own; everything else stays as it is."""

from __future__ import annotations

import errno
import json
import os
import stat

import pytest

from polyhead.batch.claim import refuse_foreign
from polyhead.batch.worker import PredictorFactory


def content(folder):
    """Every path below a folder with what it holds."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


@pytest.mark.parametrize("options", [{}, {"dry_run": True}, {"overwrite": True}, {"shard": (1, 3)}])
@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"run.json": '{"application": "toy", "format": 1}'}, "holds a run.json: a trained model"),
        ({"run.json": "{torn"}, "holds a run.json: a trained model"),
        ({"run.json": '{"model_hash": "m1"}', ".polyhead/merge.lock": ""}, "or results of an earlier polyhead"),
        ({"results.jsonl": "mine\n", "summary.csv": "mine"}, r"but results.jsonl and 1 more; choose another -o"),
        ({"batch.json": '{"mine": 1}'}, "holds no results of a batch, but batch.json; choose"),
        ({"a/b.txt": "mine"}, "holds no results of a batch, but a; choose"),
        ({".polyhead": "a file", "x.png": "mine"}, "but x.png; choose"),
    ],
)
def test_a_folder_of_something_else_is_refused_and_left_alone(bench, files, words, options):
    for name, text in files.items():
        (bench.out / name).parent.mkdir(parents=True, exist_ok=True)
        (bench.out / name).write_text(text)
    before = content(bench.out)
    with pytest.raises(ValueError, match=words) as refused:
        bench.run(bench.cases({"a": "fine"}), **options)
    assert "\n" not in str(refused.value)
    assert content(bench.out) == before and not bench.journal_lines("load")


def test_hidden_files_do_not_count_and_the_folder_of_the_inputs_does(bench):
    bench.out.mkdir()
    for name in (".gitkeep", "Thumbs.db"):
        (bench.out / name).touch()
    cases = bench.cases({"a": "fine"})
    assert bench.run(cases).counts == {"ok": 1}
    bench.out = bench.inputs
    with pytest.raises(ValueError, match=r"in holds no results of a batch, but a\.toy"):
        bench.run(cases)
    bench.out = bench.inputs.parent
    with pytest.raises(ValueError, match=r"holds no results of a batch, but in and 2 more"):
        bench.run(cases)


def test_a_copy_that_lost_what_is_hidden_is_still_a_batch_s(bench):
    cases = bench.cases({"a": "fine"})
    bench.run(cases)
    bench.out.joinpath(".polyhead").rename(bench.inputs.parent / "hidden")
    assert bench.run(cases).counts == {"skipped": 1}


def test_a_file_and_links_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file; choose another -o"):
        refuse_foreign(tmp_path / "file")
    with pytest.raises(NotADirectoryError, match="file"):
        refuse_foreign(tmp_path / "file" / "out")
    (tmp_path / "lost").symlink_to(tmp_path / "gone")
    with pytest.raises(NotADirectoryError, match="lost"):
        refuse_foreign(tmp_path / "lost")
    os.mkfifo(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    with pytest.raises(ValueError, match="pipe is a file"):
        refuse_foreign(tmp_path / "pipe")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    refuse_foreign(tmp_path / "link")


def test_a_folder_that_cannot_be_written_to_is_told_of_before_any_work(bench, monkeypatch):
    # The superuser may write everywhere, so the answer of the system is made.
    cases = bench.cases({"a": "fine"})
    monkeypatch.setattr("os.access", lambda place, mode: os.fspath(place) != os.fspath(bench.out))
    bench.out.mkdir()
    with pytest.raises(OSError) as refused:
        bench.run(cases)
    assert (refused.value.errno, refused.value.filename) == (errno.EACCES, str(bench.out))
    below = bench.out / "new" / "deep"
    with pytest.raises(OSError) as refused:
        refuse_foreign(below)
    assert refused.value.filename == str(bench.out) and not list(bench.out.iterdir())


@pytest.mark.parametrize("made", [False, True])
def test_a_model_that_cannot_be_loaded_leaves_nothing(bench, made):
    cases = bench.cases({"a": "x"})
    no_start = PredictorFactory("toy_predictors:no_start", {"how": "raise"})
    bench.out = bench.out / "deep" / "er"
    if made:
        bench.out.mkdir(parents=True)
    with pytest.raises(ValueError, match=r"^the model cannot be loaded: no such run: nowhere$"):
        bench.run(cases, factory=no_start)
    assert bench.out.parents[1].exists() == made and (not made or not list(bench.out.iterdir()))


def test_a_model_that_cannot_be_loaded_leaves_earlier_results_as_they_were(bench):
    no_start = PredictorFactory("toy_predictors:no_start", {"how": "raise"})
    cases = bench.cases({f"{index}": "x" for index in range(20)})
    for index in range(2):
        bench.run(cases, shard=(index, 2))
    before = content(bench.out)
    more = [*cases, *bench.cases({f"new {index}": "y" for index in range(9)})]
    for options in ({"shard": (0, 2)}, {"shard": (1, 2), "overwrite": True, "model_hash": "m2"}):
        with pytest.raises(ValueError, match="the model cannot be loaded"):
            bench.run(more, factory=no_start, **options)
    after = content(bench.out)
    assert {name: data for name, data in after.items() if "worker-" not in name and not name.endswith(".lock")} == {
        name: data for name, data in before.items() if "worker-" not in name and not name.endswith(".lock")
    }
    assert bench.run(cases, shard=(0, 2)).exit_status == 0 and len(bench.rows()) == 20
    assert json.loads((bench.out / "batch.json").read_text())["missing_shards"] == []
