"""What genomics reads and replaces in folders: never answers as labelled data, never tables of others."""

import json

import pytest

from domains.genomics.asking.sources import cases_from, is_labelled
from domains.genomics.data.splitting import split_data
from domains.genomics.data.tables import labelled_tables
from domains.genomics.predicting.predictions import PREDICTIONS, read_predictions

ROWS = "sequence,task,label\n" + "".join(f"{'ACGT' * 5}{'A' * number},a,{number % 2}\n" for number in range(12))
HEAD = "sequence,task,answer,probabilities\n"


def test_answers_below_a_folder_are_no_labelled_data(tmp_path):
    (tmp_path / "reads.fa").write_text(">a\nACGTACGT\n")
    out = tmp_path / "out"
    (out / ".polyhead").mkdir(parents=True)
    (out / "answers.csv").write_text(ROWS)
    assert not is_labelled(tmp_path)
    assert [case.id for case in cases_from(tmp_path)] == ["reads/00000"]
    (tmp_path / "rows.csv").write_text(ROWS)
    assert [file.name for file, _, _ in labelled_tables(tmp_path)] == ["rows.csv"]
    assert [file.name for file, _, _ in labelled_tables(out)] == ["answers.csv"], (
        "named by itself it is what is asked for"
    )


@pytest.mark.parametrize("name", ["labelled.csv", "tasks.json", "split.json"])
def test_a_split_replaces_what_is_there_only_where_it_is_told_to(tmp_path, name):
    (tmp_path / "rows.csv").write_text(ROWS)
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=rf"{name} is there already; --overwrite replaces it"):
        split_data(tmp_path / "rows.csv", out, kind="random")
    assert sorted(path.name for path in out.iterdir()) == sorted([name, "notes.txt"])
    assert sum(split_data(tmp_path / "rows.csv", out, kind="random", overwrite=True).values()) == 12
    assert (out / "notes.txt").read_text() == "mine"


def test_answers_that_were_not_asked_for_last_are_not_scored(tmp_path):
    for number, name in enumerate(("now/00000", "earlier/00000")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / PREDICTIONS).write_text(f"{HEAD}ACG{'TA'[number]},a,{number},\n")
    assert len(read_predictions(tmp_path)) == 2, "a folder of tables says nothing of a batch"
    (tmp_path / "results.jsonl").write_text(json.dumps({"id": "now/00000", "status": "ok"}) + "\n")
    assert [key[0] for key in read_predictions(tmp_path)] == ["ACGT"]
