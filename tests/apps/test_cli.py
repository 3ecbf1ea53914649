"""The command line as its users meet it: quick to start, clear when it ends, and the whole way of the data."""

import csv
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from apps import cli
from apps.systems import refused_system
from apps.ultrasound.demo import run_demo
from polyhead.application import RESEARCH_USE
from ui.runs import demo_folder, find_runs

HEAVY = (
    "torch",
    "jax",
    "monai",
    "streamlit",
    "transformers",
    "numpy",
    "scipy",
    "PIL",
    "rich.console",
    "deepxde",
    "h5py",
    "matplotlib",
)
TASKS = ("breast_lesion", "breast_2cls", "IUGC")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["info", "--json"],
        ["--version"],
        ["ultrasound", "train", "--help"],
        ["pde", "train", "--help"],
        ["pde", "predict", "--help"],
    ],
)
def test_a_light_command_imports_nothing_heavy(arguments):
    code = (
        "import sys; from apps.cli import main; sys.argv[1:] = sys.argv[2:]\n"
        f"try: main()\nfinally: print(*(set({HEAVY}) & set(sys.modules)), file=sys.stderr, end='')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "--", *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_info_names_applications_systems_and_presets(polyhead):
    status, out, _ = polyhead("info", "--json")
    about = json.loads(out)
    assert status == 0 and about["research_use"] == RESEARCH_USE
    system = about["applications"]["ultrasound"]["systems"]["mh-mtl"]
    assert system["presets"] == ["mh-mtl", "mh-mtl-plus", "tiny"]
    assert polyhead("info")[1].startswith(f"polyhead {about['polyhead']}\n{RESEARCH_USE}\n")
    assert RESEARCH_USE in " ".join(polyhead("--help")[1].split())


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["nothing"], 2, "No such command 'nothing'"),
        (["ultrasound", "predict"], 2, "Missing argument 'run'"),
        (["demo", "ultrasond"], 2, "unknown application 'ultrasond'; known: ultrasound"),
        (["ultrasound", "train", "D", "-o", "R", "--set", "epoch=3"], 2, "unknown setting 'epoch'; near: epochs"),
        (["ultrasound", "train", "D", "-o", "R", "--set", "epochs"], 2, "--set epochs: write name=value"),
        (["ultrasound", "train", "D", "-o", "R", "--set", "epochs=none"], 2, "epochs"),
        (["ultrasound", "train", "D", "-o", "R", "--preset", "tinny"], 2, "unknown preset 'tinny'; known: tiny"),
        (["ultrasound", "train", "D", "-o", "R", "--config", "gone.yaml"], 2, "--config gone.yaml: "),
        (["ultrasound", "predict", "R", "x", "-o", "O", "--shard", "3/3"], 2, "--shard 3/3: write i/n with 0 <= i < n"),
        (["ultrasound", "predict", "R", "x", "-o", "O"], 2, "R is not a run: it has no run.json"),
        (["cards", "check", "gone"], 2, "gone is no folder of cards"),
        (["app", "--runs", "gone"], 2, "--runs gone: there is no such folder"),
        (["app", "--port", "65536"], 2, "--port 65536: ports go from 1 to 65535"),
    ],
)
def test_a_wrong_call_ends_with_one_clear_line(polyhead, tmp_path, monkeypatch, arguments, status, words):
    monkeypatch.chdir(tmp_path)
    found, out, err = polyhead(*arguments)
    assert (found, out) == (status, "")
    assert words in " ".join(err.split())
    assert "Traceback" not in err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("application", ["ultrasound", "genomics"])
def test_a_batch_size_a_task_is_set_on_the_command_line(polyhead, application):
    sizes = "training.batch_size={one: 2, two: 8}"
    status, out, err = polyhead(application, "train", "D", "-o", "R", "--set", sizes, "--dry-run")
    assert status == 0, err
    assert json.loads(out)["configuration"]["training"]["batch_size"] == {"one": 2, "two": 8}


def test_what_a_disk_refuses_is_one_clear_line(polyhead, trained, tmp_path):
    """A file where a folder is wanted, and a disk without space: the user can mend both."""
    (tmp_path / "notes.txt").write_text("notes")
    predict = ["ultrasound", "predict", trained / "run", trained / "data", "-o"]
    status, out, err = polyhead(*predict, tmp_path / "notes.txt" / "out")
    assert (status, out) == (2, "") and err.count("\n") == 1
    assert err.startswith(f"error: {tmp_path / 'notes.txt'}") and "name another place" in err


def test_another_system_is_one_clear_line_but_the_doctor_sees_it(polyhead, monkeypatch):
    monkeypatch.setattr("apps.cli.refused_system", lambda: refused_system("win32"))
    status, out, err = polyhead("cards", "check")
    assert (status, out) == (2, "")
    assert err.startswith("error: polyhead runs on Linux and macOS, not on Windows: it needs POSIX file locks")
    assert polyhead("info")[0] == 0


def test_a_port_in_use_is_told(polyhead):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        status, out, err = polyhead("app", "--port", port)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: cannot listen on port {port} of 127.0.0.1: Address already in use; choose another")


def heed_interrupts() -> None:
    """Shells start background jobs with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_the_pages_are_served_until_they_are_stopped(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "apps.cli", "app", "--port", str(port), "--headless", "--runs", str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    ) as server:
        try:
            assert server.stdout is not None
            lines = [server.stdout.readline() for _ in range(2)]
            healthy(f"http://127.0.0.1:{port}/_stcore/health", server)
            server.send_signal(signal.SIGINT)
            server.wait(20)
        finally:
            server.kill()
        assert lines == [f"polyhead: http://localhost:{port}\n", f"{RESEARCH_USE}\n"]
        assert server.returncode == 0
        assert server.stderr is not None and "Traceback" not in server.stderr.read()


def healthy(address: str, server: subprocess.Popen, seconds: float = 40) -> None:
    limit = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < limit:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{address} does not answer")


def test_a_dry_run_of_the_training_shows_the_settings(polyhead, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("training:\n  epochs: 3\nkeep_aspect: false\n")
    command = ["ultrasound", "train", "D", "-o", tmp_path / "R", "--preset", "tiny", "--config", settings]
    status, out, _ = polyhead(*command, "--set", "training.epochs=4", "--batch-size", 5, "--seed", 6, "--dry-run")
    configuration = json.loads(out)["configuration"]
    chosen = configuration["training"]
    assert status == 0 and not (tmp_path / "R").exists()
    assert (chosen["epochs"], chosen["batch_size"], chosen["seed"]) == (4, 5, 6)
    assert configuration["network"]["keep_aspect"] is False
    # The settings that a dry run shows are a settings file.
    nested = configuration | {"training": chosen | {"balancer": "dwa", "balancer_options": {"temperature": 3}}}
    settings.write_text(json.dumps(nested))
    status, out, _ = polyhead(*command, "--dry-run")
    assert status == 0 and json.loads(out)["configuration"] == nested


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A simulated set and a run trained on it for one epoch, both made by the command line."""
    folder = tmp_path_factory.mktemp("trained")
    named = [word for task in TASKS for word in ("--task", task)]
    with pytest.MonkeyPatch.context() as patch:
        for arguments in (
            ["sample", folder / "data", "--rows-per-task", 5, "--rows-per-class", 0, "--validation", 0, *named],
            ["train", folder / "data", "-o", folder / "run", "--preset", "tiny", "--set", "epochs=1", "--quiet"],
        ):
            patch.setattr(sys, "argv", ["polyhead", "ultrasound", *map(str, arguments)])
            with pytest.raises(SystemExit) as ended:
                cli.main()
            assert ended.value.code == 0
    return folder


def results(out: Path) -> dict[str, dict]:
    return {row["id"]: row for line in (out / "results.jsonl").read_text().splitlines() if (row := json.loads(line))}


def test_a_data_root_is_answered_and_scored(polyhead, trained, tmp_path):
    data, run, out = trained / "data", trained / "run", tmp_path / "out"
    assert json.loads((run / "run.json").read_text())["finished"] is True
    status, said, err = polyhead(
        "ultrasound", "predict", run, data, "-o", out, "--format", "fm-uia", "--backend", "plain"
    )
    assert (status, said) == (0, f"{out / 'summary.html'}\n"), err
    found = results(out)
    assert {row["status"] for row in found.values()} == {"ok"}
    asked = [task for row in found.values() for task in row["record"]["tasks"]]
    assert {task: asked.count(task) for task in TASKS} == dict.fromkeys(TASKS, 5)
    assert (out / "failed.txt").read_text() == ""
    with (out / "summary.csv").open(newline="", encoding="utf-8-sig") as file:
        assert len(list(csv.DictReader(file))) == len(found)
    assert len(json.loads((out / "fm-uia" / "classification_predictions.json").read_text())) == 5
    assert len(json.loads((out / "fm-uia" / "regression_predictions.json").read_text())) == 5
    assert len(list((out / "fm-uia" / "Segmentation").rglob("*.png"))) == 5

    status, said, err = polyhead(
        "ultrasound", "evaluate", out, data, "-o", tmp_path / "report", "--rows", "all", "--json"
    )
    assert status == 0, err
    assert {task["task"] for task in json.loads(said)["tasks"]} == set(TASKS)
    assert RESEARCH_USE in (tmp_path / "report" / "report.html").read_text()
    assert (tmp_path / "report" / "report.csv").exists() and (tmp_path / "report" / "report.json").exists()
    held = polyhead("ultrasound", "evaluate", out, data, "-o", tmp_path / "held", "--rows", "held-out", "--json")
    assert held[0] == 0 and sum(task["rows"] for task in json.loads(held[1])["tasks"]) < 15


def test_a_folder_with_a_broken_file(polyhead, trained, tmp_path):
    study, out = tmp_path / "study", tmp_path / "out"
    (study / "deep").mkdir(parents=True)
    image = next((trained / "data" / "Regression").rglob("*.png"))
    shutil.copy(image, study / "a.png")
    Image.open(image).convert("RGB").save(study / "a.bmp")
    (study / "deep" / "broken.png").write_bytes(image.read_bytes()[:100])
    command = ["ultrasound", "predict", trained / "run", study, "-o", out, "--task", "IUGC", "--backend", "plain"]

    status, _, err = polyhead(*command)
    first = results(out)
    assert status == 3 and "2 ok, 1 invalid input in" in err
    assert {name: row["status"] for name, row in first.items()} == {
        "a.bmp": "ok",
        "a.png": "ok",
        "deep/broken": "invalid_input",
    }
    assert first["deep/broken"]["code"] and first["deep/broken"]["reason"]
    assert (out / "a.png" / "result.json").exists() and not (out / "deep" / "broken" / "result.json").exists()

    status, _, err = polyhead(*command)
    assert status == 3 and "2 skipped, 1 invalid input in" in err

    mended = shutil.copy(image, study / "deep" / "broken.png")
    status, _, err = polyhead(*command[:3], out / "failed.txt", *command[4:], "--log-json")
    assert status == 0, err
    (again,) = results(out).values()
    assert (again["id"], again["status"], again["input"]) == ("deep/broken", "ok", str(mended))
    events = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert [event["exit_status"] for event in events if event["event"] == "finish"] == [0]


def test_tables_that_the_model_does_not_fit_are_a_wrong_call_not_an_empty_input(polyhead, trained, tmp_path):
    shutil.copytree(trained / "data", tmp_path / "data")
    (table,) = (
        path
        for path in (tmp_path / "data" / "csv_files").iterdir()
        if "breast_2cls,classification,2" in path.read_text()
    )
    table.write_text(table.read_text().replace("breast_2cls,classification,2", "breast_2cls,classification,3"))
    status, _, err = polyhead("ultrasound", "predict", trained / "run", tmp_path / "data", "-o", tmp_path / "out")
    assert status == 2 and "breast_2cls is classification with 3 outputs in the tables" in err
    assert not (tmp_path / "out").exists()


def test_names_that_the_results_or_other_systems_have_are_answered_under_others(polyhead, trained, tmp_path, caplog):
    study, out = tmp_path / "study", tmp_path / "out"
    image = next((trained / "data" / "Regression").rglob("*.png"))
    for name in ("logs/a.png", "summary.html/b.png", "con.png", "IMG.png", "img.png", "a:b.png"):
        (study / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, study / name)
    (study / "notes.md").write_text("no image")
    command = ["ultrasound", "predict", trained / "run", study, "-o", out, "--task", "IUGC", "--backend", "plain"]
    assert polyhead(*command)[0] == 0
    assert "passed over 1 file: 1 .md (notes.md)" in caplog.messages
    expected = {"IMG.png", "a_b", "con_", "img.png~2", "input-logs/a", "input-summary.html/b"}
    assert set(results(out)) == expected and all((out / name / "result.json").is_file() for name in expected)
    # Results in the folder of the inputs are no inputs of the next call.
    inner = [*command[:5], study / "out", *command[6:]]
    assert polyhead(*inner)[0] == 0
    status, _, err = polyhead(*inner)
    assert status == 0 and "6 skipped in" in err
    assert f"{study / 'out'} holds the results of a batch; they are no inputs" in caplog.messages


def test_another_run_json_is_another_model(polyhead, trained, tmp_path):
    run, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(trained / "run", run)
    image = shutil.copy(next((trained / "data" / "Regression").rglob("*.png")), tmp_path / "a.png")
    command = ["ultrasound", "predict", run, image, "-o", out, "--task", "breast_2cls", "--backend", "plain"]

    def asked(*more):
        status, _, err = polyhead(*command, *more)
        assert status == 0, err
        (row,) = results(out).values()
        return row["status"], row["record"]["tasks"]["breast_2cls"]["label"]

    status, label = asked()
    assert (status, asked()) == ("ok", ("skipped", label))
    said = json.loads((run / "run.json").read_text())
    (task,) = (task for task in said["tasks"] if task["name"] == "breast_2cls")
    task["labels"].reverse()
    (run / "run.json").write_text(json.dumps(said))
    (other,) = {*task["labels"]} - {label}
    status, _, err = polyhead(*command)
    assert status == 2 and f"{out} holds the answers to another command (model: {run} has changed since)" in err
    assert results(out)["a"]["record"]["tasks"]["breast_2cls"]["label"] == label
    assert asked("--overwrite") == ("ok", other)
    said["configuration"]["network"]["keep_aspect"] = not said["configuration"]["network"]["keep_aspect"]
    (run / "run.json").write_text(json.dumps(said))
    assert asked("--overwrite")[0] == "ok"
    (run / "run.json").write_text(json.dumps(said | {"notes": "mine", "created": "2020-01-01"}))
    (run / "metrics.jsonl").unlink()
    assert asked()[0] == "skipped"


def test_the_demonstration_goes_the_whole_way_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "demo" / "ultrasound"
    small: dict[str, Any] = {"rows_per_task": 5, "tasks": TASKS[::2], "settings": ["training.epochs=1"]}
    report = run_demo(out, **small)
    said = capsys.readouterr().err
    assert report == out / "report.html" and RESEARCH_USE in report.read_text()
    assert "[4/4] evaluate: " in said and "pages:    polyhead app\n" in said and str(report) in said
    onward = [line.split() for line in said.split("next:\n")[1].splitlines()]
    assert [words[:3] for words in onward] == [
        ["polyhead", "ultrasound", "predict"],
        ["polyhead", "ultrasound", "train"],
        ["polyhead", "app"],
    ]
    assert [found.path for found in find_runs([demo_folder()], "ultrasound")] == [out / "run"]
    written = {path: path.stat().st_mtime_ns for folder in ("data", "run") for path in (out / folder).rglob("*.*g")}
    run_demo(out, **small)
    assert "10 skipped in" in capsys.readouterr().err
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    with pytest.raises(ValueError, match="holds a sample of other settings"):
        run_demo(out, **small | {"rows_per_task": 6})


def test_nothing_to_work_on(polyhead, trained, tmp_path):
    predict = ["ultrasound", "predict", trained / "run"]
    status, _, err = polyhead(*predict, tmp_path / "gone.png", "-o", tmp_path / "out")
    assert (status, err) == (4, f"error: there is no file, folder or glob match {tmp_path / 'gone.png'}\n")
    status, _, err = polyhead(*predict, tmp_path, "-o", tmp_path / "out")
    assert status == 4 and "found no png" in err
    status, _, err = polyhead(*predict, tmp_path, "-o", tmp_path / "out", "--format", "fm-uia")
    assert status == 2 and "--format fm-uia needs a data root" in err
    assert not list(tmp_path.iterdir())


def test_a_repeated_training_needs_a_word(polyhead, trained):
    train = ["ultrasound", "train", trained / "data", "-o", trained / "run", "--preset", "tiny", "--set", "epochs=1"]
    status, _, err = polyhead(*train)
    assert status == 2 and "holds a run already; resume it, overwrite it" in err
    status, out, err = polyhead(*train, "--resume")
    assert (status, out) == (0, f"{trained / 'run'}\n") and "finished after 1 epochs" in err
    status, _, err = polyhead(*train, "--resume", "--set", "learning_rate=0.5")
    assert status == 2 and "cannot be resumed, these differ: configuration.training.learning_rate" in err


def test_an_internal_error_is_one_line(polyhead, monkeypatch):
    def broken(folder):
        raise RuntimeError("told to")

    monkeypatch.setattr("apps.cards.check", broken)
    status, out, err = polyhead("cards", "check")
    assert (status, out) == (1, "")
    assert err == "internal error: RuntimeError: told to (POLYHEAD_DEBUG=1 shows where)\n"


def test_a_problem_of_the_cards_is_a_failure(polyhead, tmp_path):
    status, out, err = polyhead("cards", "check", tmp_path)
    assert status == 1 and err.endswith("problems\n")
    assert "fm-uia: the code names it, and there is no fm-uia/card.md\n" in out
