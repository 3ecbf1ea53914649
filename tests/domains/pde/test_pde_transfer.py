"""Transfer and the operator at work: what is frozen, what is measured, other grids, ranges, and clear refusals."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from operator_toys import darcy_data, fisher_data, plate_data

from domains.pde.learning.starting import UNPOLISHED_FILE, load_unpolished
from domains.pde.learning.training import train
from domains.pde.learning.transfer import PUBLISHED_FREEZE, adapt, few_samples, fine_tuning, learning_curve
from domains.pde.networks.description import joint_values
from domains.pde.predicting.ensemble import load_operator
from domains.pde.presets import resolve
from domains.pde.saved import load_run
from polyhead.runs.run import Run, RunInfo
from polyhead.training.session import Session
from polyhead.uncertainty.distance import Mahalanobis

pytestmark = pytest.mark.usefixtures("one_thread")

TARGET = "darcy/diamond"


@pytest.fixture(scope="module")
def target():
    return darcy_data(shapes=("diamond",), problem="darcy-target", seed=5)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, darcy):
    folder = tmp_path_factory.mktemp("runs")
    config = resolve("tiny-darcy", {"epochs": 6, "image_size": None, "channels": (8, 16), "validate_every": 6})
    train({"darcy": darcy}, folder / "darcy", config)
    config = resolve("tiny-fisher", {"epochs": 2, "validate_every": 2, "pod_steps": 100})
    train({"fisher": fisher_data()}, folder / "fisher", config)
    config = resolve("tiny-plate", {"epochs": 1, "points": 64})
    train({"plate": plate_data()}, folder / "plate", config)
    return folder


def test_few_samples_are_parts_of_more(target):
    three, six = (few_samples(target, TARGET, count, seed=1) for count in (3, 6))
    rows = [{field.tobytes() for field in each.solution[each.split == 0]} for each in (three, six)]
    assert len(rows[0]) == 3 and len(rows[1]) == 6 and rows[0] < rows[1]
    assert (three.split == 2).sum() == (target.split == 2).sum()
    with pytest.raises(ValueError, match="task 'darcy/diamond' has 24 training samples, 25 are asked for"):
        few_samples(target, TARGET, 25, seed=1)


def test_transfer_keeps_what_is_frozen_and_beats_training_from_scratch(tmp_path, runs, target):
    config = fine_tuning(runs / "darcy", epochs=4, steps_per_epoch=25, batch_size=8)
    options = {"config": config, "samples": 4, "freeze": PUBLISHED_FREEZE}
    moved = adapt(target, TARGET, tmp_path / "transfer", source=runs / "darcy", **options)
    scratch = adapt(target, TARGET, tmp_path / "scratch", source=None, **options)
    assert (moved.way, scratch.way, moved.samples) == ("transfer", "scratch", 4)
    assert moved.relative_l2_mean < scratch.relative_l2_mean
    before, after = (Run.open(path).load_weights() for path in (runs / "darcy", tmp_path / "transfer"))
    changed = {
        name.replace("darcy-target", "darcy")
        for name, value in after.items()
        if name.startswith("backbone") and not torch.equal(value, before[name.replace("darcy-target", "darcy")])
    }
    network = "backbone.networks.darcy."
    parts = {name.removeprefix(network).rpartition(".")[0] for name in changed}
    trained = {
        "branch.convolutions.0",
        "branch.dense.layers.0.0",
        "branch.linear.gates",
        "branch.output",
        "trunk.output",
    }
    assert parts == trained | {"encoding"}
    few = few_samples(target, TARGET, 4, seed=0)
    mean = after["backbone.networks.darcy-target.encoding.function_mean"].item()
    assert mean == pytest.approx(few.functions[few.split == 0].mean(), abs=1e-5)
    assert Run.open(tmp_path / "transfer").info.data["frozen"] == list(PUBLISHED_FREEZE)


def test_a_learning_curve_goes_on_where_it_stopped(tmp_path, runs, target):
    config = fine_tuning(runs / "darcy", epochs=1, steps_per_epoch=4, batch_size=4)
    options = {"source": runs / "darcy", "config": config}
    first = learning_curve(target, TARGET, tmp_path, counts=(2,), **options)
    lines = []
    points = learning_curve(target, TARGET, tmp_path, counts=(2, 5), session=Session(say=lines.append), **options)
    assert [(point.way, point.samples) for point in points] == [
        (way, count) for count in (2, 5) for way in ("transfer", "scratch")
    ]
    assert points[0] == dataclasses.replace(first[0], seconds=0.0)
    assert lines[0].startswith("darcy/diamond: 2 samples, transfer: relative L2 ")
    saved = json.loads((tmp_path / "learning_curve.json").read_text())
    assert saved["task"] == TARGET and saved["points"][3]["relative_l2_mean"] == points[3].relative_l2_mean
    with pytest.raises(ValueError, match="transfer_2_0 froze nothing: overwrite it, or name another folder"):
        learning_curve(target, TARGET, tmp_path, counts=(2,), freeze=PUBLISHED_FREEZE, **options)


def test_a_start_is_the_weights_from_before_the_polish(tmp_path, darcy, target):
    settings = {"epochs": 2, "steps_per_epoch": 5, "image_size": None, "channels": (8, 16), "pod_steps": 0}
    for name, polish in (("plain", False), ("polished", True)):
        train({"darcy": darcy}, tmp_path / name, resolve("tiny-darcy", settings | {"polish": polish}))
    run = Run.open(tmp_path / "polished")
    assert run.info.metrics["polish"]["kept"]
    plain, polished = (Run.open(tmp_path / name).load_weights() for name in ("plain", "polished"))
    assert {name for name in plain if not torch.equal(plain[name], polished[name])} == {
        f"backbone.networks.darcy.branch.output.{each}" for each in ("weight", "bias")
    }
    start = load_unpolished(run.path).state_dict()
    assert all(torch.equal(start[name], plain[name]) for name in plain)
    (run.path / UNPOLISHED_FILE).write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"unpolished\.safetensors is damaged"):
        train({"darcy-target": target}, tmp_path / "run", resolve("tiny-darcy", settings), init_from=run.path)
    again = resolve("tiny-darcy", settings | {"polish": False})
    train({"darcy": darcy}, run.path, again, session=Session(overwrite=True))
    assert not (run.path / UNPOLISHED_FILE).exists()


def test_a_run_of_other_networks_is_no_start(tmp_path, runs, target):
    other = resolve("tiny-darcy", {"image_size": None, "channels": (8, 16), "latent": 7})
    with pytest.raises(ValueError, match=r"not of this configuration: .* of another shape: .* for \(7, \d+\)\)"):
        train({"darcy-target": target}, tmp_path / "run", other, init_from=runs / "darcy")
    with pytest.raises(ValueError, match="its networks are not of this configuration"):
        train({"darcy-target": target}, tmp_path / "run", resolve("tiny-darcy"), init_from=runs / "fisher")


def test_the_operator_answers_on_other_grids(runs, darcy):
    operator = load_operator(runs / "darcy")
    assert list(operator.tasks) == ["darcy/square", "darcy/circle"]
    rows = darcy.rows(task="darcy/circle", split="test")
    distance = darcy.distance[1]
    sensors = {"sensor_distance": distance.reshape(17, 17), "sensor_mask": darcy.mask[1].reshape(17, 17)}
    given = darcy.functions[rows]
    whole = operator.answer(
        "darcy/circle", np.zeros((len(rows), 0)), given, darcy.coordinates, distance=distance, **sensors
    )
    assert (whole[:, distance <= 0] == 0).all()
    error = np.linalg.norm((whole - darcy.solution[rows]), axis=1) / np.linalg.norm(darcy.solution[rows], axis=1)
    assert error.mean() < 0.25
    # A point answers alike wherever it stands, and rows answer alike whatever their company.
    some = operator.answer(
        "darcy/circle",
        np.zeros((1, 0)),
        given[2:3],
        darcy.coordinates[[150, 40]],
        distance=distance[[150, 40]],
        **sensors,
    )
    np.testing.assert_allclose(some[0], whole[2, [150, 40]], rtol=1e-4, atol=1e-6)
    # A linear input on a finer grid says the same to the sensors.
    fine, coarse = (np.linspace(0, 1, n)[:, None] + 2 * np.linspace(0, 1, n)[None] for n in (33, 17))
    answers = [
        operator.answer("darcy/circle", np.zeros((1, 0)), field[None, None], darcy.coordinates, distance=distance, **at)
        for field, at in (
            (coarse, sensors),
            (fine, {"sensor_distance": 0.5 - np.hypot(*(np.meshgrid(*[np.linspace(-0.5, 0.5, 33)] * 2)))}),
        )
    ]
    # The finer grid's distances are not linear between the sensors' nodes; the masks differ nowhere.
    np.testing.assert_allclose(answers[1], answers[0], rtol=2e-3, atol=1e-4)
    half = np.linspace(0.25, 0.75, 9)
    clipped = operator._at_sensors(coarse[None, None, 4:13, 4:13], operator.description("darcy/circle"), [half, half])
    np.testing.assert_allclose(clipped[0, 0, 4:13, 4:13], coarse[4:13, 4:13], rtol=1e-6)
    assert clipped[0, 0, 0, 0] == coarse[4, 4] and clipped[0, 0, -1, 8] == coarse[12, 8]


def test_the_trunk_is_kept_for_the_same_points(runs):
    operator = load_operator(runs / "fisher")
    data = fisher_data()
    calls = []
    operator.network("fisher/nws").trunk.register_forward_hook(lambda *_: calls.append(1))
    one = operator.answer("fisher/nws", data.parameters[:2], data.functions[:2], data.coordinates)
    two = operator.answer("fisher/nws", data.parameters[:2], data.functions[:2], data.coordinates)
    assert len(calls) == 1
    np.testing.assert_array_equal(one, two)
    operator.answer("fisher/nws", data.parameters[:2], data.functions[:2], data.coordinates[:9])
    assert len(calls) == 2
    for count in range(1, 12):
        operator.answer("fisher/nws", data.parameters[:2], data.functions[:2], data.coordinates[:count])
    assert len(operator._trunks) == 8


def test_every_plate_has_its_own_holes(runs):
    operator, data = load_operator(runs / "plate"), plate_data()
    together = operator.answer("plate", data.parameters[:3], data.functions[:3], data.coordinates, rows_at_once=2)
    for row in range(3):
        alone = operator.answer("plate", data.parameters[row : row + 1], data.functions[:1], data.coordinates)
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-4, atol=1e-6)


def test_inputs_outside_the_training_range_are_told(runs):
    operator, data = load_operator(runs / "fisher"), fisher_data()
    rows = data.rows(task="fisher/nws", split="train")
    low, high = data.parameters[rows, 0].min(), data.parameters[rows, 0].max()
    assert operator.ranges["fisher/nws"].low[0] == pytest.approx(low)
    parameters, functions = data.parameters[rows[:3]].copy(), data.functions[rows[:3]].copy()
    parameters[1, 0] = 9.0
    functions[2, 0, 3] = -7
    found = operator.out_of_range("fisher/nws", parameters, functions)
    assert found[0] == []
    assert found[1] == [f"rate = 9 1/s is outside the training range {low:.4g} to {high:.4g}"]
    assert len(found[2]) == 1 and found[2][0].startswith("least initial value = -7 is outside the training range")


def test_inputs_that_are_unlike_the_training_only_together_are_told(runs):
    operator, data = load_operator(runs / "fisher"), fisher_data()
    task = "fisher/nws"
    known = operator.description(task).joint[task]
    rows = data.rows(task=task, split="train")
    values = joint_values(data.parameters[rows], data.functions[rows])
    field = data.functions[rows][:, 0].astype(float)
    steps = np.sqrt(np.mean(np.diff(field, axis=1) ** 2, axis=1))
    ends = [field.min(axis=1), field.max(axis=1), field.mean(axis=1), field.std(axis=1), steps]
    np.testing.assert_allclose(values, np.stack([*data.parameters[rows].T, *ends], axis=1), rtol=1e-5)
    np.testing.assert_allclose(known.distance(values), Mahalanobis.fit(values).distance(values))
    usual = operator.out_of_range(task, data.parameters[rows], data.functions[rows])
    assert not any(usual)
    # The same values in another order: every single number but the roughness stays.
    uneven = rows[values[:, 5] > 0.1][:4]
    mixed = data.functions[uneven][:, :, np.random.default_rng(0).permutation(data.functions.shape[2])]
    for lines in operator.out_of_range(task, data.parameters[uneven], mixed):
        assert len(lines) == 1 and lines[0].startswith("the inputs taken together are unlike those of the training")
    assert "darcy/square" not in load_operator(runs / "darcy").description("darcy/square").joint  # 24 samples are few


def test_what_the_operator_refuses(tmp_path, runs, darcy):
    operator = load_operator(runs / "darcy")
    none, given = np.zeros((2, 0)), darcy.functions[:2]
    points, distance = darcy.coordinates, darcy.distance[0]
    sensors = distance.reshape(17, 17)
    cases = [
        (
            ("darcy/star", none, given, points),
            {},
            "unknown task 'darcy/star'; this model has: darcy/square, darcy/circle",
        ),
        (("darcy/square", np.zeros((2, 1)), given, points), {}, r"parameters must have shape \(B, 0\) \(none\)"),
        (("darcy/square", none, given[:, 0], points), {}, "functions must have shape"),
        (("darcy/square", none, given[:1], points), {}, "functions must have shape"),
        (("darcy/square", none, given * np.nan, points), {}, "functions hold a value that is not finite, at index"),
        (("darcy/square", none, given, points[:, :1]), {}, r"points must have shape \(n, 2\) \(y, x\), got \(289, 1\)"),
        (("darcy/square", none, given, points), {}, "needs the signed distance of every point"),
        (
            ("darcy/square", none, given, points),
            {"distance": distance[:5]},
            r"distance must have shape \(1 or 2, 289\)",
        ),
        (("darcy/square", none, given, points), {"distance": distance}, "needs the mask of the geometry"),
        (
            ("darcy/square", none, given, points),
            {"distance": distance, "sensor_mask": sensors > 0},
            "needs the distance of the geometry",
        ),
    ]
    for arguments, options, message in cases:
        with pytest.raises(ValueError, match=message):
            operator.answer(*arguments, **options)
    with pytest.raises(ValueError, match=r"is not a run: it has no run\.json"):
        load_operator(tmp_path)
    other = RunInfo(application="ultrasound", system="a", preset="b", tasks=[])
    Run.begin(tmp_path / "other", other)
    with pytest.raises(ValueError, match="is a run of 'ultrasound', not of 'pde'"):
        load_run(tmp_path / "other")
