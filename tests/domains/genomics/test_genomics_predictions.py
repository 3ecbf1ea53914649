"""Tables of answers: what a spreadsheet would run is set off, and read back as it was."""

from __future__ import annotations

import json

from domains.genomics.predicting.predictions import Prediction, prediction_table, read_predictions
from domains.genomics.predicting.write import merge


def test_answers_that_look_like_formulas_read_back(tmp_path):
    rows = [
        Prediction("ACGT", "=task", "@label", {"@label": 0.75, "-1": 0.25}),
        Prediction("ACGT", "value", "-1.5", {}),
        Prediction("GG", "text", "'=1+1", {}),
    ]
    (tmp_path / "predictions.csv").write_text(prediction_table(rows), encoding="utf-8")
    lines = (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1].startswith("ACGT,'=task,'@label,") and lines[2] == "ACGT,value,-1.5,"
    assert list(read_predictions(tmp_path).values()) == rows


def test_the_table_of_all_cases_sets_formulas_off_once(tmp_path):
    (tmp_path / "a").mkdir()
    place = "record,contig,start,end,strand,windows,kind,probability"
    shares = json.dumps({"@x": 1.0}).replace('"', '""')
    cells = "'=record,chr1,0,4,-,1,classes,1.0"
    (tmp_path / "a" / "predictions.csv").write_text(
        f'sequence,task,answer,probabilities,{place}\nACGT,t,\'@x,"{shares}",{cells}\n'
    )
    made = merge(tmp_path, [{"id": "a", "status": "ok"}], {"t": ["@x"]}, "tsv").read_text().splitlines()
    assert made[0].endswith("\tanswer\tprobability\tp:@x")
    assert made[1].split("\t") == ["'=record", "chr1", "0", "4", "-", "1", "t", "classes", "'@x", "1.0", "1.0"]
