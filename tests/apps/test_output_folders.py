"""Where the verbs of every application write: never over what is not theirs, never another command's answers."""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from foreign import install_example, installed

from apps import cli

SMALL = ("--set", "model={layers: 1, width: 16, heads: 2, ffn: 32}", "--set", "vocabulary=64")
STEPS = ("--set", "training.epochs=1", "--set", "training.steps_per_epoch=2", "-q")
APPLICATIONS = ("ultrasound", "pde", "genomics", "tabular")


@dataclass
class Made:
    """A trained run of an application and a folder with two files that it answers."""

    name: str
    run: Path
    inputs: Path
    tasks: tuple[str, str]
    flags: tuple[str, ...] = ()

    def predict(self, *words):
        return [self.name, "predict", self.run, *words, *self.flags]


def call(*words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["polyhead", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert ended.value.code == 0


def two(folder, *files):
    """Two inputs, one in a folder below."""
    (folder / "deep").mkdir(parents=True)
    for number, file in enumerate(files):
        shutil.copy(file, folder / ("deep" if number else "") / f"{'ab'[number]}{file.suffix}")
    return folder


def ultrasound(folder):
    named = [word for task in ("breast_2cls", "IUGC") for word in ("--task", task)]
    sizes = ("--rows-per-task", 5, "--rows-per-class", 0, "--validation", 0)
    call("ultrasound", "sample", folder / "data", *sizes, *named, "-q")
    call("ultrasound", "train", folder / "data", "-o", folder / "run", "--preset", "tiny", "--set", "epochs=1", "-q")
    files = sorted((folder / "data").rglob("*.png"))[:2]
    return ("breast_2cls", "IUGC"), files, ("--backend", "plain")


def pde(folder):
    call("pde", "sample", folder / "data", "--samples", 10, "-q")
    call("pde", "train", folder / "data", "-o", folder / "run", "--preset", "tiny-fisher", *STEPS)
    tasks = [task["name"] for task in json.loads((folder / "run" / "run.json").read_text())["tasks"]]
    files = [folder / "one.json", folder / "two.json"]
    for number, file in enumerate(files, 1):
        file.write_text(json.dumps({"task": tasks[0], "parameters": {"rate": 0.5 * number}, "initial": [4.0] * 64}))
    return (tasks[0], tasks[-1]), files, ()


def genomics(folder):
    (folder / "data").mkdir()
    rows = [("ACGT" * 20)[place:] + "ACCA" * place for place in range(1, 13)]
    lines = [
        f"{row},{task},{place % 2},{('train', 'validation')[place > 8]}"
        for place, row in enumerate(rows)
        for task in ("promoter", "splice")
    ]
    (folder / "data" / "labelled.csv").write_text("\n".join(["sequence,task,label,split", *lines, ""]))
    call("genomics", "train", folder / "data", "-o", folder / "run", "--preset", "tiny", *SMALL, *STEPS)
    files = [folder / "one.fa", folder / "two.fa"]
    for file in files:
        file.write_text(f">{file.stem}\n{'ACGTTGCA' * 8}\n")
    return ("promoter", "splice"), files, ()


def tabular(folder):
    call("tabular", "sample", folder / "data")
    call("tabular", "train", folder / "data", "-o", folder / "run", "-q")
    return ("cultivar", "alcohol"), sorted((folder / "data" / "test").glob("*.csv"))[:2], ()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    install_example(folder)
    with installed(folder):
        yield folder


@pytest.fixture(scope="module", params=[ultrasound, pde, genomics, tabular], ids=APPLICATIONS)
def made(request, site, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    tasks, files, flags = request.param(folder)
    name = request.param.__name__
    return Made(name, folder / "run", two(folder / "inputs", *files), tasks, ("--task", tasks[0], *flags))


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_verb_predict_keeps_off_the_folders_of_others(made, polyhead, tmp_path):
    """A run, somebody's results, a folder of pictures, INPUT, a folder above it, a file; also with --overwrite."""
    work = tmp_path / "work"
    inputs, run = work / "inputs", work / "run"
    shutil.copytree(made.inputs, inputs)
    shutil.copytree(made.run, run)
    results = work / "results"
    results.mkdir()
    for name in ("results.jsonl", "summary.csv"):
        (results / name).write_text("mine")
    before = tree(work)
    for out in (run, results, inputs, inputs / "deep", work, results / "summary.csv", results / "summary.csv" / "x"):
        for more in ([], ["--overwrite"], ["--dry-run"]):
            status, said, err = polyhead(made.name, "predict", run, inputs, "-o", out, *made.flags, *more)
            assert (status, said) == (2, ""), (out, err)
            (line,) = (line for line in err.splitlines() if line.startswith(("error: ", "internal")))
            place = results / "summary.csv" if out.name == "x" else out
            assert line.startswith(f"error: {place}"), err
    assert tree(work) == before and not list(work.rglob(".polyhead"))


def test_the_same_call_below_its_input_answers_the_same_cases(made, polyhead, tmp_path, monkeypatch):
    """Two cases in each of three calls; then another command, a device that is not there, and fewer inputs."""
    inputs = tmp_path / "inputs"
    shutil.copytree(made.inputs, inputs)
    monkeypatch.chdir(inputs)
    out = inputs / "out"
    for turn in range(3):
        status, _, err = polyhead(*made.predict(".", "-o", "out" if turn < 2 else "../inputs/out"))
        assert status == 0 and f"2 {'skipped' if turn else 'ok'} in " in err, err
        assert len((out / "results.jsonl").read_text().splitlines()) == 2
    assert json.loads((out / "batch.json").read_text())["counts"] == {"skipped": 2}
    assert not (out / "run.json").exists()

    before = tree(out)
    other = [made.name, "predict", made.run, ".", "-o", "out", "--task", made.tasks[1], *made.flags[2:]]
    status, _, err = polyhead(*other)
    assert status == 2 and "error: out holds the answers to another command (tasks: now without" in err
    assert "choose another -o and keep both, or --overwrite to have these replaced\n" in err
    status, said, err = polyhead(*made.predict(".", "-o", tmp_path / "new" / "deep", "--device", "cuda:99"))
    assert (status, said) == (2, "") and "the device 'cuda:99' " in err and "this machine has auto, cpu" in err
    assert "internal" not in err and not (tmp_path / "new").exists()
    assert tree(out) == before

    (inputs / "deep").rename(tmp_path / "elsewhere")
    status, _, err = polyhead(*made.predict(".", "-o", "out"))
    assert status == 0 and "1 earlier answer in this folder is of an input that was not asked for now" in err
    told = json.loads((out / "batch.json").read_text())["not_asked"]
    assert (
        told["count"] == 1 and told["ids"][0].startswith("deep/b") and (out / told["ids"][0] / "receipt.json").exists()
    )


def test_a_damaged_model_is_a_line_and_leaves_nothing(made, polyhead, tmp_path):
    how = {"ultrasound": "short", "pde": "text"}.get(made.name, "other")
    run = tmp_path / "run"
    shutil.copytree(made.run, run)
    weights = run / "model.safetensors"
    if how == "other":
        from safetensors.torch import save_file
        from torch import zeros

        save_file({"strange": zeros(3)}, weights)
    else:
        weights.write_bytes(weights.read_bytes()[:1000] if how == "short" else b"hello")
    status, said, err = polyhead(made.name, "predict", run, made.inputs, "-o", tmp_path / "out", *made.flags)
    assert (status, said) == (2, "") and err.splitlines()[-1].startswith("error: the model cannot be loaded: "), err
    assert str(run) in err and not (tmp_path / "out").exists()


def test_a_training_keeps_off_the_results_of_a_batch(made, polyhead, tmp_path):
    out = tmp_path / "out"
    (out / ".polyhead").mkdir(parents=True)
    for more in ([], ["--overwrite"], ["--resume"]):
        status, _, err = polyhead(made.name, "train", made.run.parent / "data", "-o", out, *more)
        assert status == 2 and "holds the results of a batch" in err
    assert not tree(out)


def test_a_report_takes_the_place_of_a_report_alone(made, polyhead, tmp_path):
    (tmp_path / "report.html").write_text("mine")
    evaluate = [made.name, "evaluate", tmp_path / "gone", made.run.parent / "data", "-o", tmp_path]
    status, _, err = polyhead(*evaluate)
    assert status == 2 and err == (
        f"error: {tmp_path / 'report.html'} is no report of polyhead's and would be replaced; name another folder\n"
    )
    assert (tmp_path / "report.html").read_text() == "mine"
