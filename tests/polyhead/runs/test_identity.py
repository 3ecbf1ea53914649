"""A model's identity: all that decides its answers counts, and nothing else."""

import json

import pytest
import torch

from polyhead.runs.run import Run, RunInfo
from polyhead.tasks import TaskSpec


@pytest.fixture
def run(tmp_path):
    task = TaskSpec("organ", "classification", "c5", 2, labels=("spleen", "bladder"))
    info = RunInfo(application="demo", system="toy", preset="tiny", tasks=[task.to_json()], configuration={"size": 64})
    with Run.begin(tmp_path / "run", info) as run:
        run.save_weights({"x": torch.ones(3)})
    (run.path / "calibration.json").write_text("{}")
    (run.path / "codecs").mkdir()
    (run.path / "codecs" / "small.safetensors").write_bytes(b"codec")
    return run


def test_what_decides_nothing_changes_nothing(run):
    before = run.identity()
    assert len(before) == 64
    run.append_metrics({"step": 1})
    run.finish({"score": 0.5})
    said = json.loads((run.path / "run.json").read_text())
    said |= {"notes": "mine", "created": "2020-01-01", "versions": {"torch": "1"}, "git_commit": "0"}
    (run.path / "run.json").write_text(json.dumps(said))
    (run.path / "problems.csv").write_text("code\n")
    (run.path / ".DS_Store").write_bytes(b"x")
    (run.path / "answers").mkdir()
    (run.path / "answers" / "run.json").write_text("{}")
    (run.path / "answers" / "results.jsonl").write_text("{}")
    (run.path / "backends").mkdir()
    (run.path / "backends" / "openvino-1.bin").write_bytes(b"made from the weights")
    again = Run.open(run.path)
    assert again.info.notes == "mine" and again.identity() == before


@pytest.mark.parametrize("name", ["model.safetensors", "calibration.json", "codecs/small.safetensors", "new.json"])
def test_files_that_decide_count(run, name):
    before = run.identity()
    (run.path / name).write_bytes(b"other")
    assert run.identity() != before
    assert (run.identity(leaving_out={name}) == before) == (name == "new.json")


def test_what_run_json_says_of_the_model_counts(run):
    before = run.identity()
    said = json.loads((run.path / "run.json").read_text())
    for changes in (
        {"tasks": [said["tasks"][0] | {"labels": ["bladder", "spleen"]}]},
        {"configuration": {"size": 32}},
        {"label_maps": {"organ": {"0": "spleen"}}},
        {"data": {"facts": 1}},
        {"base": {"source": "x", "sha256": "y"}},
    ):
        (run.path / "run.json").write_text(json.dumps(said | changes))
        assert Run.open(run.path).identity() != before


def test_a_run_without_weights_has_none(run):
    (run.path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="no weights yet"):
        run.identity()
