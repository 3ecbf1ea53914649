"""`polyhead pde` as its users meet it: clear when a call is wrong, and the whole way of the data."""

import json

import numpy as np
import pytest

from apps.pde.application import DEFAULT_PRESETS, PDE
from apps.pde.demo import run_demo
from domains.pde.data.samples import OperatorData, Quantity
from domains.pde.data.store import read_data, write_data
from domains.pde.presets import PRESETS
from polyhead.application import RESEARCH_USE
from polyhead.runs.run import Run

QUICK = ["--set", "epochs=1", "--set", "steps_per_epoch=4", "--set", "pod_steps=5", "--set", "validate_every=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder of a made-up reaction on ten places and five times."""
    generator = np.random.default_rng(0)
    t, x = np.linspace(0, 1, 5), np.linspace(0, 1, 10)
    initial = 1 + 0.5 * generator.uniform(size=(30, 1)) * np.cos(np.pi * x)
    rate = generator.uniform(0.5, 1.0, size=30)
    data = OperatorData(
        problem="fisher",
        tasks=("fisher/fisher",),
        coordinates=np.stack(np.meshgrid(t, x, indexing="ij"), axis=-1).reshape(-1, 2),
        axes=(Quantity("t", "s"), Quantity("x", "m")),
        grid_shape=(5, 10),
        parameters=np.stack([rate, np.zeros(30)], axis=1),
        parameter_names=(Quantity("rate", "1/s"), Quantity("beta")),
        functions=initial[:, None].astype(np.float32),
        function_names=(Quantity("initial value"),),
        solution=(initial[:, None] * np.exp(-rate[:, None, None] * t[:, None])).reshape(30, -1).astype(np.float32),
        solution_name=Quantity("concentration"),
        task=np.zeros(30, dtype=np.int16),
        split=np.resize([0, 0, 0, 1, 2], 30).astype(np.int8),
        geometry=np.zeros(30, dtype=np.int32),
        mask=np.ones((1, 50), dtype=bool),
    )
    place = tmp_path_factory.mktemp("pde")
    write_data(data, place / "data" / "fisher.h5")
    return place


def test_the_application_names_the_presets_that_there_are():
    assert set(PDE.systems["mt-deeponet"].presets) == set(PRESETS)
    assert set(DEFAULT_PRESETS.values()) <= set(PRESETS)
    published = [PDE.model_facts(name)["parameters"] for name in ("mt-deeponet-fisher", "mt-deeponet-darcy")]
    assert published == [136_664, 559_164]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["pde", "sample", "D", "--problem", "fischer"], 2, "unknown problem 'fischer'; known: fisher"),
        (["pde", "sample", "D", "--preset", "huge"], 2, "unknown preset 'huge'"),
        (["pde", "import", "gone.npz", "-o", "D"], 2, "gone.npz"),
        (["pde", "train", "gone", "-o", "R"], 2, "gone: no such file or folder"),
        (["pde", "train", "gone", "-o", "R", "--preset", "tiny"], 2, "--preset: unknown preset 'tiny'; known: tiny-"),
        (["pde", "train", "D", "-o", "R", "--preset", "tiny-darcy", "--set", "epoch=3"], 2, "near: epochs"),
        (["pde", "train", "D", "-o", "R", "--system", "fno"], 2, "unknown system 'fno'; known: mt-deeponet"),
        (["pde", "predict", "R", "x", "-o", "O"], 2, "R is not a run: it has no run.json"),
        (["pde", "predict", "R", "x", "-o", "O", "--shard", "2/2"], 2, "--shard 2/2: write i/n with 0 <= i < n"),
        (["pde", "evaluate", "O", "D"], 2, "O holds no results.jsonl"),
        (["pde", "transfer", "R", "D", "-o", "O", "--samples", "ten"], 2, "--samples ten: write numbers as 10,25"),
        (["pde", "calibrate", "R", "D"], 2, "R is not a run: it has no run.json"),
    ],
)
def test_a_wrong_call_ends_with_one_clear_line(polyhead, tmp_path, monkeypatch, arguments, status, words):
    monkeypatch.chdir(tmp_path)
    found, out, err = polyhead(*arguments)
    assert (found, out) == (status, "")
    assert words in " ".join(err.split())
    assert "Traceback" not in err and not list(tmp_path.iterdir())


def test_a_file_of_nested_settings(polyhead, tmp_path):
    file, command = tmp_path / "settings.yaml", ["pde", "train", "D", "-o", "R", "--dry-run", "--config"]
    file.write_text(
        "problems:\n  fisher:\n    branch: {widths: [9, 8]}\nloss: {points: 7}\nbalancer_options: {a: {b: 1}}\n"
        "shared: {latent: 33}\ntrunk:\n  widths: [5]\npod_steps: 0\npolish: false\n"
    )
    status, said, _ = polyhead(*command, file, "--preset", "mt-deeponet-fisher-plus", "--set", "training.epochs=2")
    found = json.loads(said)["configuration"]
    assert status == 0 and found["loss"] == {"kind": "relative", "points": 7}
    network = found["problems"]["fisher"]
    assert (network["branch"]["widths"], network["trunk"]["widths"], network["latent"]) == ([9, 8], [5], 128)
    assert found["shared"] == {"widths": [128, 128], "latent": 33, "activation": "gelu"}
    assert found["training"]["epochs"] == 2 and found["training"]["balancer_options"] == {"a": {"b": 1}}
    status, said, _ = polyhead(*command, file, "--preset", "tiny-plate", "--set", "shared=null")
    assert status == 2
    whole = PRESETS["mt-deeponet-joint"].model_dump(mode="json")
    file.write_text(json.dumps(whole | {"loss": whole["loss"] | {"points": 99}}))
    status, said, _ = polyhead(*command, file, "--preset", "mt-deeponet-joint", "--set", "shared.latent=7")
    found = json.loads(said)["configuration"]
    assert found["loss"]["points"] == 99 and found["shared"]["latent"] == 7 and found["problems"] == whole["problems"]
    status, said, _ = polyhead(*command, file, "--preset", "mt-deeponet-joint", "--set", "shared=null")
    assert json.loads(said)["configuration"]["shared"] is None
    file.write_text("loss: {point: 3}\n")
    status, said, err = polyhead(*command, file, "--preset", "tiny-fisher")
    assert (status, said) == (2, "") and "unknown setting 'loss.point'; near: loss.points" in err


def test_the_whole_way_of_the_data(polyhead, folder, tmp_path):
    data, run, out = folder / "data", tmp_path / "run", tmp_path / "out"
    status, said, _ = polyhead("pde", "train", data, "-o", run, "--dry-run")
    assert status == 0 and json.loads(said)["preset"] == "mt-deeponet-fisher-plus"
    status, said, _ = polyhead("pde", "train", data, "-o", run, "--preset", "tiny-fisher", *QUICK, "-q")
    assert (status, said) == (0, f"{run}\n") and Run.open(run).info.finished
    status, said, _ = polyhead("pde", "calibrate", run, data, "--alpha", "0.3", "-q")
    assert (status, said) == (0, f"{run / 'calibration.json'}\n")
    status, said, _ = polyhead("pde", "predict", run, data, "-o", out, "-q", "--save", "fields")
    assert (status, said) == (0, f"{out / 'summary.html'}\n")
    assert (out / "calibration.json").read_bytes() == (run / "calibration.json").read_bytes()
    status, said, err = polyhead("pde", "predict", run, data, "-o", out, "--save", "fields")
    assert status == 0 and "6 skipped" in err
    status, said, _ = polyhead("pde", "evaluate", out, data, "--json", "--no-pictures")
    report = json.loads(said)
    assert status == 0 and report["research_use"] == RESEARCH_USE and report["missing"] == 0
    (task,) = report["tasks"]
    assert task["rows"] == 6 and task["coverage"]["rows"] == 6 and (out / "report.html").is_file()
    status, said, _ = polyhead("pde", "transfer", run, data, "-o", tmp_path / "curve", "--samples", "4,8", *QUICK[:4])
    assert (status, said) == (0, f"{tmp_path / 'curve' / 'learning_curve.html'}\n")
    curve = json.loads((tmp_path / "curve" / "learning_curve.json").read_text())["tasks"]["fisher/fisher"]
    assert [(point["way"], point["samples"]) for point in curve] == [("transfer", 4), ("transfer", 8)]

    (tmp_path / "ask").mkdir()
    request = {"parameters": {"rate": 0.7}, "initial": [1.0] * 10, "points": [[0.5, 0.25]]}
    (tmp_path / "ask" / "good.json").write_text(json.dumps(request))
    (tmp_path / "ask" / "bad.json").write_text(json.dumps(request | {"initial": [1.0] * 9}))
    status, _, err = polyhead("pde", "predict", run, tmp_path / "ask", "-o", tmp_path / "asked")
    assert status == 3 and "initial value: 9 values, the model takes 10" in err
    found = json.loads((tmp_path / "asked" / "good" / "result.json").read_text())
    assert found["points"] == 1 and found["band"]["level"] == pytest.approx(0.7) and found["error"] is None
    assert polyhead("pde", "predict", run, tmp_path / "ask" / "*.png", "-o", tmp_path / "none")[0] == 4


def test_an_ensemble_goes_the_same_way_and_is_held_against_a_run(polyhead, folder, tmp_path):
    data, run, out = folder / "data", tmp_path / "runs", tmp_path / "out"
    command = ["pde", "train", data, "-o", run, "--preset", "tiny-fisher", *QUICK, "--members", "2", "--seed", "3"]
    status, said, _ = polyhead(*command, "--dry-run")
    assert status == 0 and json.loads(said)["seeds"] == [3, 4] and not run.exists()
    status, said, err = polyhead(*command)
    assert (status, said) == (0, f"{run}\n") and "member 2 of 2, seed 4" in err and err.count("after 1 epochs") == 2
    status, _, err = polyhead(*command)
    assert status == 2 and "holds an ensemble already" in err
    assert polyhead(*command, "--resume", "-q")[:2] == (0, f"{run}\n")
    assert polyhead("pde", "calibrate", run, data, "--alpha", "0.3", "-q")[0] == 0
    assert polyhead("pde", "predict", run, data, "-o", out, "-q", "--save", "fields")[0] == 0
    results = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert len(results) == 6 and all(row["record"]["spread"]["largest_deviation"] > 0 for row in results)
    against = ["--against", run / "member-1"]
    status, said, _ = polyhead("pde", "evaluate", out, data, "--json", "--no-pictures", *against)
    report = json.loads(said)
    found = report["against_single_tasks"]["tasks"]["fisher/fisher"]
    mine = next(score for score in report["tasks"][0]["scores"] if score["metric"] == "relative_l2")
    assert status == 0 and found["multi"] == mine["value"] and report["tasks"][0]["coverage"]["rows"] == 6
    assert found["delta_m"] == pytest.approx(100 * (found["multi"] / found["single"] - 1))
    ensemble = ["pde", "predict", run, data, "-o", out, "--save", "fields"]
    assert "6 skipped" in polyhead(*ensemble)[2]
    member = run / "member-1" / "run.json"
    member.write_text(json.dumps(json.loads(member.read_text()) | {"label_maps": {"fisher/fisher": {"0": "x"}}}))
    status, _, err = polyhead(*ensemble)
    assert status == 2 and f"model: {run} has changed since" in err, "what one member says of itself counts"
    assert "6 ok" in polyhead(*ensemble, "--overwrite")[2]
    (run / "calibration.json").unlink()
    assert "6 ok" in polyhead(*ensemble, "--overwrite")[2]
    (run / "member-1" / "model.safetensors").unlink()
    status, _, err = polyhead("pde", "predict", run, data, "-o", out, "-q")
    assert status == 2 and "has no model.safetensors: its training saved no weights yet" in err


def test_foreign_data_are_imported(polyhead, tmp_path):
    generator = np.random.default_rng(1)
    np.savez(tmp_path / "a.npz", inputs=generator.normal(size=(20, 8)), outputs=generator.normal(size=(20, 6, 8)))
    arguments = ["--problem", "waves", "--axis", "t:s", "--axis", "x:m", "--solution", "height:m"]
    status, said, err = polyhead("pde", "import", tmp_path / "a.npz", "-o", tmp_path / "data", *arguments)
    assert (status, said) == (0, f"{tmp_path / 'data' / 'waves.h5'}\n")
    data = read_data(tmp_path / "data" / "waves.h5")
    assert data.solution_name == Quantity("height", "m") and data.axes == (Quantity("t", "s"), Quantity("x", "m"))
    assert data.grid_shape == (6, 8) and "20 samples" in err
    status, _, err = polyhead("pde", "import", tmp_path / "a.npz", "-o", tmp_path / "data", *arguments)
    assert status == 2 and "is there already; --overwrite replaces it" in err
    status, _, err = polyhead("pde", "train", tmp_path / "data", "-o", tmp_path / "run")
    assert status == 2 and "holds 'waves', which no preset is made for; name one with --preset" in err


def test_what_the_importer_asks_for_can_be_said(polyhead, tmp_path):
    generator = np.random.default_rng(2)
    flow = generator.normal(size=(20, 5, 4, 2))
    mask = np.ones((5, 4), dtype=bool)
    mask[0] = False
    np.savez(tmp_path / "a.npz", inputs=generator.normal(size=(20, 3)), outputs=flow, mask=mask)
    command = ["pde", "import", tmp_path / "a.npz", "-o", tmp_path / "data", "--problem", "flow"]
    chosen = ["--set", "channels=last", "--set", "channel=1", "--set", "leading=[rate:1/s, beta]"]
    status, _, err = polyhead(*command, *chosen)
    assert status == 2 and "import with --set trust_mask=true to cut them off" in err
    chosen += ["--set", "trust_mask=true", "--set", "samples=10", "--set", "fractions=[0.5, 0.2, 0.3]"]
    chosen += ["--set", "bounds=[[0, 1], [0, 3]]"]
    assert polyhead(*command, *chosen, "--seed", "3")[0] == 0
    data = read_data(tmp_path / "data" / "flow.h5")
    assert data.parameter_names == (Quantity("rate", "1/s"), Quantity("beta"))
    assert data.solution == pytest.approx(np.where(mask, flow[:10, ..., 1], 0).reshape(10, 20).astype(np.float32))
    assert data.coordinates.max(axis=0).tolist() == [1, 3] and np.bincount(data.split).tolist() == [5, 2, 3]
    flow[:, 0] = np.nan
    np.savez(tmp_path / "a.npz", inputs_train=generator.normal(size=(20, 3)), outputs_train=flow[..., :1])
    command += ["--overwrite", "--set", "validation=0.25"]
    assert polyhead(*command, "--set", "nan_is_outside=true", "--set", "grid_shape=[5, 4]")[0] == 0
    data = read_data(tmp_path / "data" / "flow.h5")
    assert np.bincount(data.split).tolist() == [15, 5] and (data.mask == mask.ravel()).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "chanel=1"], "--set: unknown option 'chanel'; the options are: inputs, outputs, "),
        (["--set", "channel=first"], "--set: options that do not fit: channel: Input should be a valid integer"),
        (["--set", "samples=0"], "samples: Input should be greater than or equal to 1, got 0"),
        (["--set", "validation=1"], "validation: Input should be less than 1"),
        (["--set", "fractions=[1, 2]"], "fractions.2: Field required, got [1, 2]"),
        (["--set", "fractions=[0.5, 0.5, 0.5]"], "must sum to 1"),
        (["--set", "channel"], "--set channel: write name=value"),
        (["--set", "task=b", "--task", "c"], "--set task: given by its own flag too"),
        (["--set", "bounds=[[0, 1]]"], "--set grid_shape=[...] or --set bounds=[[low, high], ...]"),
        (["--outputs", "v"], "no array 'v' for the outputs"),
    ],
)
def test_an_import_option_that_does_not_fit_is_one_line(polyhead, tmp_path, arguments, words):
    np.savez(tmp_path / "a.npz", inputs=np.ones((6, 4)), outputs=np.ones((6, 3, 4)))
    status, said, err = polyhead("pde", "import", tmp_path / "a.npz", "-o", tmp_path / "data", *arguments)
    assert (status, said) == (2, "") and words in err and len(err.splitlines()) == 1
    assert not (tmp_path / "data").exists()


def test_the_demonstration_goes_its_whole_way_and_goes_on(tmp_path, capsys):
    settings = ["epochs=1", "steps_per_epoch=3", "pod_steps=5", "validate_every=1"]
    reports = run_demo(tmp_path, problems=("fisher",), samples={"fisher": 12}, settings=settings, save="fields")
    assert reports == [tmp_path / "fisher" / "report.html"] and reports[0].is_file()
    said = capsys.readouterr().err
    assert "[4/4] evaluate" in said and RESEARCH_USE in said
    again = run_demo(tmp_path, problems=("fisher",), samples={"fisher": 12}, settings=settings, save="fields")
    assert again == reports and "skipped" in capsys.readouterr().err
