"""A run whose training has not finished says so wherever it answers, in every application."""

import json
from pathlib import Path

import pytest
from foreign import install_example, installed
from streamlit.testing.v1 import AppTest

from apps.unfinished import with_unfinished
from polyhead.evaluation.score_report import ScoreReport
from polyhead.runs.run import Run, RunInfo
from polyhead.runs.unfinished import unfinished

TRAINING = {"training": {"epochs": 45}}


def make(path: Path, application: str = "ultrasound", **more) -> Run:
    run = Run.begin(path, RunInfo(application=application, system="s", preset="tiny", tasks=[], **more))
    run.close()
    return run


def test_the_words_say_how_far_the_training_is(tmp_path):
    run = make(tmp_path / "run", configuration=TRAINING)
    words = "the training has not finished (epoch {} of 45): these are answers of an early state of the model"
    assert unfinished(run) == words.format(0)
    for step, epoch in ((1, 1), (2, 4), (3, 5)):
        run.append_metrics({"step": step, "epoch": epoch, "split": "train"})
    assert unfinished(Run.open(run.path)) == words.format(5)
    run.finish({})
    assert unfinished(Run.open(run.path)) is None
    bare = make(tmp_path / "bare")
    (bare.path / "metrics.jsonl").write_text("{\n{}\n")
    assert unfinished(bare) == "the training has not finished: these are answers of an early state of the model"


def test_every_door_of_an_application_says_it(tmp_path, polyhead, workspace):
    """By the example, whose verbs, batch and report are those of all."""
    install_example(tmp_path / "site")
    with installed(tmp_path / "site"):
        assert polyhead("tabular", "sample", tmp_path / "data")[0] == 0
        run, out = workspace / "runs" / "early", tmp_path / "out"
        command = ("tabular", "train", tmp_path / "data", "-o", run, "--set", "max_minutes=1e-6")
        assert polyhead(*command)[0] == 0
        words = "the training has not finished (epoch 1 of 60): these are answers of an early state of the model"
        tables = tmp_path / "data" / "test"
        status, _, err = polyhead("tabular", "predict", run, tables, "-o", tmp_path / "none", "--dry-run")
        assert status == 0 and err.startswith(f"warning: {run}: {words}\n")
        status, _, err = polyhead("tabular", "predict", run, tables, "-o", out)
        assert status == 0 and err.count("has not finished") == 1
        said = [json.loads(file.read_text()) for file in out.glob("*.json") if "model_hash" in file.read_text()]
        assert [each["info"]["unfinished"] for each in said] == [words]
        page = (out / "summary.html").read_text()
        assert page.index(words) < page.index("<table") if "<table" in page else words in page

        status, shown, err = polyhead("tabular", "evaluate", out, tmp_path / "data")
        assert status == 0 and "[unfinished-training]" in " ".join(shown.split()).replace("\\", "")
        assert words in (out / "report.html").read_text()
        problems = json.loads((out / "report.json").read_text())["problems"]
        assert (problems[0]["code"], problems[0]["reason"]) == ("unfinished-training", words)

        def draw():
            from apps.common_page import common_page
            from tabular.application import TABULAR

            common_page(TABULAR, "tabular.work", about="a", asks="b", placeholder="c")()

        opened = AppTest.from_function(draw, default_timeout=30).run()
        assert not opened.exception
        assert any("has not finished (epoch 1 of 60)" in each.value for each in opened.warning)


def test_a_finished_run_says_nothing(tmp_path):
    report = ScoreReport("t", ())
    (tmp_path / "run.json").write_text(json.dumps({"model_hash": "", "info": {"run": "r"}}))
    assert with_unfinished(report, tmp_path) is report
    assert with_unfinished(report, tmp_path / "gone") is report
    (tmp_path / "batch.json").write_text(json.dumps({"model_hash": "", "info": {"run": "r", "unfinished": "so far"}}))
    assert [str(problem.code) for problem in with_unfinished(report, tmp_path).problems] == ["unfinished-training"]


@pytest.mark.parametrize(
    ("application", "source"), [("ultrasound", "a.png"), ("pde", "a.json"), ("genomics", "a.fasta")]
)
def test_predict_of_each_application_warns_before_it_begins(tmp_path, polyhead, application, source):
    run = make(tmp_path / "run", application, configuration=TRAINING, data={"problems": {}})
    (run.path / "model.safetensors").write_bytes(b"weights")
    contents = {"a.png": b"\x89PNG\r\n\x1a\n", "a.json": b'{"inputs": {}}', "a.fasta": b">x\nACGT\n"}
    (tmp_path / source).write_bytes(contents[source])
    _, _, err = polyhead(application, "predict", run.path, tmp_path / source, "-o", tmp_path / "out", "--dry-run")
    assert f"warning: {run.path}: the training has not finished (epoch 0 of 45)" in err


@pytest.mark.parametrize("verb", [["variants", "x.vcf", "--reference", "r.fa"], ["scan", "r.fa"], ["embed", "x.fa"]])
def test_the_other_verbs_of_genomics_warn_too(tmp_path, polyhead, verb):
    run = make(tmp_path / "run", "genomics", configuration=TRAINING)
    out = tmp_path / ("out.npz" if verb[0] == "embed" else "out")
    _, _, err = polyhead("genomics", verb[0], run.path, *verb[1:], "-o", out)
    assert f"warning: {run.path}: the training has not finished (epoch 0 of 45)" in err
