"""Training by value: losses, batches, normalisation, the linear solves, runs that resume, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from domains.pde.learning.dataset import TaskSamples
from domains.pde.learning.losses import LOSSES, with_penalty
from domains.pde.learning.polish import RIDGES, fit_trunk_to_pod, last_layer_equations, pod_modes, solve_last_layer
from domains.pde.learning.starting import set_statistics
from domains.pde.learning.training import relative_errors, train
from domains.pde.networks.description import Description
from domains.pde.networks.model import backbone_of, build_model, task_specs
from domains.pde.predicting.ensemble import load_operator
from domains.pde.presets import PRESETS, resolve
from polyhead.runs.run import Run
from polyhead.train import TrainingDiverged
from polyhead.training.session import Session

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"branch.widths": (16,), "trunk.widths": (16, 16), "latent": 8, "validate_every": 1}


def prepared(config, data):
    """A model whose statistics are set, and its training samples."""
    torch.manual_seed(0)
    chosen = dict.fromkeys(data.tasks, data.problem)
    descriptions = {data.problem: Description.of(data, data.tasks)}
    model = build_model(task_specs(chosen, descriptions), config, descriptions)
    rows = {task: data.rows(task=task, split="train") for task in chosen}
    set_statistics(model, {data.problem: data}, chosen, rows)
    network = backbone_of(model).network(data.problem)
    return model, {task: TaskSamples(data, task, rows[task], network, config.loss.points) for task in chosen}


def validation_errors(operator, data, task):
    """(rows,) relative L2 errors in the mask of what a saved operator answers to the validation samples."""
    rows = data.rows(task=task, split="validation")
    place, given = data.geometry[rows], {}
    if data.distance is not None:
        given["distance"] = data.distance[place]
    if data.functions.shape[2:] == data.grid_shape:
        given["sensor_mask"] = data.mask[place].reshape(-1, *data.grid_shape)
        given["sensor_distance"] = data.distance[place].reshape(-1, *data.grid_shape)
    answer = operator.answer(task, data.parameters[rows], data.functions[rows], data.coordinates, **given)
    missed = np.where(data.mask[place], answer - data.solution[rows], 0)
    return np.linalg.norm(missed, axis=1) / np.linalg.norm(data.solution[rows], axis=1)


def test_losses_are_their_formulas():
    answer = torch.tensor([[1.0, 2.0, 5.0], [0.0, 1.0, 1.0]])
    field = torch.tensor([[0.0, 2.0, 0.0], [1.0, 1.0, 3.0]])
    weight = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    targets = {"field": field, "weight": weight, "unit": torch.tensor([2.0]), "norm": torch.tensor([4.0, 1.0])}
    assert LOSSES["mse"](answer, targets).item() == pytest.approx((1 + 0 + 25 + 1 + 0 + 4) / 6)
    assert LOSSES["mse-masked"](answer, targets).item() == pytest.approx((1 + 0 + 1 + 0 + 4) / 5)
    expected = (2 * np.sqrt(1 / 2) / 4 + 2 * np.sqrt(5 / 3) / 1) / 2
    assert LOSSES["relative"](answer, targets).item() == pytest.approx(expected)
    kernels = [torch.full((2, 2), 3.0), torch.ones(5)]
    assert with_penalty(LOSSES["mse"], kernels, 0.1)(answer, targets).item() == pytest.approx(31 / 6 + 0.1 * 41)
    exact = field.clone().requires_grad_()
    LOSSES["relative"](exact, targets).backward()
    assert exact.grad is not None and torch.isfinite(exact.grad).all()


def test_the_relative_loss_of_all_points_is_the_validated_error(darcy):
    config = resolve("tiny-darcy", {"image_size": None, "points": None})
    model, data = prepared(config, darcy)
    model.eval()
    for task, samples in data.items():
        inputs, targets = samples.batch([0, 3, 5], [1, 2, 3])
        errors = relative_errors(model, samples)
        loss = LOSSES["relative"](model(inputs, task), targets).item()
        assert loss == pytest.approx(errors[[0, 3, 5]].mean(), rel=1e-5)
        rows = samples.rows
        fields, mask = darcy.solution[rows], darcy.sample_mask(rows)
        np.testing.assert_allclose(
            samples.norm, [np.sqrt(np.mean(f[m] ** 2)) for f, m in zip(fields, mask, strict=True)], rtol=1e-5
        )


def test_batches_draw_points_inside_from_the_first_seed(darcy):
    _, data = prepared(resolve("tiny-darcy", {"image_size": None, "points": 60}), darcy)
    samples = data["darcy/circle"]
    first, again, other = (samples.batch([1, 2], seeds) for seeds in ([5, 6], [5, 6], [7, 6]))
    torch.testing.assert_close(first[0]["points"], again[0]["points"], rtol=0, atol=0)
    assert not torch.equal(first[0]["points"], other[0]["points"])
    assert first[0]["points"].shape == (60, 3) and first[0]["factor"].shape == (1, 60)
    assert first[1]["weight"].min() == 1
    position = first[0]["points"][:, :2] / 2 + 0.5
    assert (position - 0.5).norm(dim=1).max() < 0.5
    # The third input is the signed distance; the factor is tanh of it over a tenth of the side.
    torch.testing.assert_close(first[0]["points"][:, 2], 0.5 - (position - 0.5).norm(dim=1), rtol=0, atol=1e-5)
    torch.testing.assert_close(first[0]["factor"][0], torch.tanh(first[0]["points"][:, 2] / 0.1))
    image = first[0]["image"]
    assert image.shape == (2, 3, 17, 17)
    torch.testing.assert_close(image[1, 1].bool().numpy().ravel(), darcy.mask[1])


def test_rows_of_several_geometries_have_their_own_points(plate):
    _, data = prepared(resolve("tiny-plate", {"points": 300}), plate)
    inputs, targets = data["plate"].batch([0, 1, 2], [1, 2, 3])
    points, weight = inputs["points"], targets["weight"]
    assert points.shape == (3, 300, 5) and weight.shape == (3, 300)
    # Distance from the axis, height and edge are of the points alone; the last is the distance to a hole's wall.
    assert torch.equal(points[0, :, :3], points[1, :, :3]) and not torch.equal(points[0, :, 3:], points[1, :, 3:])
    assert 0.9 < weight.mean() < 1
    torch.testing.assert_close(weight, (points[..., 4] > -1e-6).float(), rtol=0, atol=0)


@pytest.mark.parametrize("scale", ["point", "mean-field", "global", "range", "rms"])
def test_scaling_and_back(fisher, scale):
    model, data = prepared(resolve("tiny-fisher", SMALL | {"scale": scale}), fisher)
    scaling = backbone_of(model).network("fisher").scaling
    samples = data["fisher/nws"]
    _, targets = samples.at(np.arange(len(samples)), np.arange(fisher.solution.shape[1]))
    offset, unit = scaling.at(fisher.coordinates)
    np.testing.assert_allclose(offset + unit * targets["field"].numpy(), fisher.solution[samples.rows], atol=2e-6)
    every = np.concatenate([(fisher.solution[s.rows] - offset) / unit for s in data.values()])
    if scale == "point":
        np.testing.assert_allclose(every.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(every.std(axis=0), 1, atol=1e-4)
    elif scale == "range":
        assert (every.min(), every.max()) == pytest.approx((0, 1), abs=1e-6)
    else:
        assert np.sqrt(np.mean(every**2)) == pytest.approx(1, abs=1e-4)
    between = (fisher.coordinates[3] + fisher.coordinates[4]) / 2
    halfway = [(values[3] + values[4]) / 2 if len(values) > 1 else values[0] for values in (offset, unit)]
    found = [values[0] for values in scaling.at(between[None])]
    assert found == pytest.approx(halfway, rel=1e-6)


def test_pod_modes_hold_the_energy():
    generator = np.random.default_rng(0)
    fields = generator.normal(size=(40, 3)) @ generator.normal(size=(3, 25))
    modes = pod_modes(fields, 10)
    assert modes.shape == (25, 3)
    coefficients = np.linalg.lstsq(modes, fields.T, rcond=None)[0]
    np.testing.assert_allclose(modes @ coefficients, fields.T, atol=1e-10)
    np.testing.assert_allclose(coefficients @ coefficients.T / 40, np.eye(3), atol=1e-10)


def test_a_trunk_of_pod_modes(fisher):
    model, data = prepared(resolve("tiny-fisher", SMALL), fisher)
    before = fit_trunk_to_pod(model, "fisher", list(data.values()), 1, seed=0)
    after = fit_trunk_to_pod(model, "fisher", list(data.values()), 200, seed=0)
    assert after < 0.2 * before and after < 0.1


def test_the_last_layer_by_least_squares_is_numpys(fisher, darcy):
    """Without a ridge to speak of: the dense least squares problem in all unknowns, solved by numpy in float64."""
    small = SMALL | {"branch.widths": (5,), "latent": 4}
    cases = [
        (resolve("tiny-fisher", small), fisher),
        (resolve("tiny-darcy", small | {"channels": (4,), "image_size": None, "linear_size": None}), darcy),
    ]
    for config, data in cases:
        model, samples = prepared(config, data)
        model.eval()
        head = model.head(data.tasks[1])
        with torch.no_grad():
            head.weight.mul_(1.5)
            head.bias.fill_(0.2)
        network = backbone_of(model).network(data.problem)
        rows, right = [], []
        for task, each in samples.items():
            head = model.head(task)
            for row in range(len(each)):
                inside = np.flatnonzero(data.mask[data.geometry[each.rows[row]]])
                inputs, targets = each.at([row], inside)
                with torch.no_grad():
                    hidden = torch.cat([network.branch.hidden(inputs)[0], torch.ones(1)]).double().numpy()
                    functions = (network.trunk(inputs["points"]) * head.weight).double().numpy()
                factor = inputs.get("factor", torch.ones(1, len(inside)))[0].double().numpy()
                size = targets["unit"].double().numpy() / targets["norm"].double().numpy() / np.sqrt(len(inside))
                rows.append(np.einsum("n,j,np->njp", factor * size, hidden, functions).reshape(len(inside), -1))
                right.append((targets["field"][0].double().numpy() - head.bias.item() * factor) * size)
        expected = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=None)[0]
        solve_last_layer(model, data.problem, last_layer_equations(model, data.problem, samples), ridge=1e-14)
        output = network.branch.output
        found = torch.cat([output.weight, output.bias[:, None]], dim=1).detach().T.double().numpy().ravel()
        matrix, target = np.concatenate(rows), np.concatenate(right)
        best, reached = (np.linalg.norm(matrix @ each - target) for each in (expected, found))
        assert reached == pytest.approx(best, rel=1e-4)


def test_training_learns_fisher_and_polish_is_kept_only_if_it_helps(tmp_path, fisher):
    config = resolve("tiny-fisher", {"epochs": 3, "steps_per_epoch": 60, "validate_every": 1, "pod_steps": 100})
    lines = []
    result = train({"fisher": fisher}, tmp_path / "run", config, session=Session(say=lines.append))
    run = Run.open(tmp_path / "run")
    polish = run.info.metrics["polish"]
    assert result.metrics["score"] == run.info.metrics["score"] == polish["score"] >= polish["score_before"] > 0.9
    assert lines[0] == "2 tasks; 72 samples to train, 24 to validate"
    # Two tasks: the preset's three tasks of 32 rows a step are 48 rows of each.
    assert run.info.configuration["training"]["tasks_per_step"] == 2
    assert run.info.configuration["training"]["batch_size"] == 48
    operator = load_operator(tmp_path / "run")
    for task in fisher.tasks:
        error = validation_errors(operator, fisher, task).mean()
        assert error == pytest.approx(1 - run.info.metrics["scores"][task], rel=1e-4)
    again = train({"fisher": fisher}, tmp_path / "run", config, session=Session(resume=True))
    assert again.metrics == run.info.metrics


def test_a_polish_that_harms_leaves_the_trained_weights(tmp_path, fisher, monkeypatch):
    tried = []

    def spoil(model, problem, data, *, ridge):
        tried.append(ridge)
        with torch.no_grad():
            backbone_of(model).network(problem).branch.output.weight.add_(5.0)

    monkeypatch.setattr("domains.pde.learning.training.solve_last_layer", spoil)
    settings = SMALL | {"epochs": 1, "steps_per_epoch": 5, "pod_steps": 0}
    plain = train({"fisher": fisher}, tmp_path / "plain", resolve("tiny-fisher", settings | {"polish": False}))
    polished = train({"fisher": fisher}, tmp_path / "polished", resolve("tiny-fisher", settings | {"polish": True}))
    assert tried == list(RIDGES)
    score = plain.metrics["score"]
    told = {"kept": False, "ridge": None, "score_before": pytest.approx(score), "score": pytest.approx(score)}
    assert polished.metrics["polish"] == told and polished.metrics["scores"] == plain.metrics["scores"]
    trained, kept = (Run.open(tmp_path / name).load_weights() for name in ("plain", "polished"))
    assert trained.keys() == kept.keys() and all(torch.equal(trained[name], kept[name]) for name in trained)


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path, darcy):
    config = resolve(
        "tiny-darcy",
        SMALL | {"epochs": 2, "steps_per_epoch": 6, "snapshot_every": 5, "channels": (4, 4), "image_size": None},
    )

    def stop(step):
        if step == 8:
            raise KeyboardInterrupt

    whole = train({"darcy": darcy}, tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        train({"darcy": darcy}, tmp_path / "part", config, session=Session(on_step=stop))
    part = train({"darcy": darcy}, tmp_path / "part", config, session=Session(resume=True))
    assert part.metrics == whole.metrics
    one, other = (Run.open(tmp_path / name).load_weights() for name in ("whole", "part"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_published_presets_take_a_step(tmp_path, fisher, darcy, plate):
    for preset, data in (("fisher", fisher), ("darcy", darcy), ("plate", plate)):
        config = resolve(f"mt-deeponet-{preset}", {"epochs": 1, "steps_per_epoch": 2, "batch_size": 8})
        result = train({preset: data}, tmp_path / preset, config)
        assert result.step == 2 and set(result.metrics["scores"]) == set(data.tasks)
        operator = load_operator(tmp_path / preset)
        for task, score in result.metrics["scores"].items():
            assert score == pytest.approx(max(0.0, 1 - validation_errors(operator, data, task).mean()), abs=1e-4)
    weights = Run.open(tmp_path / "fisher").load_weights()
    # The normalisation lies in the run: per sensor and per point, of the training samples.
    rows = fisher.rows(split="train")
    mean = weights["backbone.networks.fisher.encoding.function_mean"].numpy()
    np.testing.assert_allclose(mean, fisher.functions[rows].mean(axis=0), atol=1e-5)
    offset = weights["backbone.networks.fisher.scaling.offset"].numpy()
    np.testing.assert_allclose(offset, fisher.solution[rows].mean(axis=0), atol=1e-5)


def test_three_problems_at_once(tmp_path, fisher, darcy, plate):
    config = resolve(
        "mt-deeponet-joint", {"epochs": 1, "steps_per_epoch": 20, "loss.points": 40, "darcy.encoding.image_size": 17}
    )
    lines = []
    no_plate_validation = plate.take(plate.rows(split="train"))
    data = {"fisher": fisher, "darcy": darcy, "plate": no_plate_validation}
    result = train(data, tmp_path / "run", config, session=Session(say=lines.append))
    assert lines[0] == "no validation samples of plate: scored on training samples"
    assert set(result.metrics["scores"]) == {*fisher.tasks, *darcy.tasks, "plate"}
    operator = load_operator(tmp_path / "run")
    answer = operator.answer("plate", plate.parameters[:2], plate.functions[:2], plate.coordinates)
    assert answer.shape == (2, len(plate.coordinates)) and np.isfinite(answer).all()


def test_without_validation_the_last_weights_are_kept(tmp_path, plate):
    lines = []
    config = resolve("tiny-plate", SMALL | {"epochs": 2, "steps_per_epoch": 2, "polish": True})
    data = plate.take(plate.rows(split="train"))
    result = train({"plate": data}, tmp_path / "run", config, session=Session(say=lines.append))
    assert "no validation samples: the weights of the last epoch are kept" in lines
    assert result.metrics["polish"] == {"kept": False, "reason": "no validation samples"}


def test_what_is_refused(tmp_path, fisher, darcy):
    config = resolve("tiny-fisher", SMALL)
    out = tmp_path / "run"
    with pytest.raises(ValueError, match="the data have no task fisher/zfk; they have fisher/fisher, fisher/nws"):
        train({"fisher": fisher}, out, config, tasks=["fisher/zfk"])
    test_only = fisher.take(fisher.rows(split="test"))
    with pytest.raises(ValueError, match="no samples of the split 'train' in: fisher"):
        train({"fisher": test_only}, out, config)
    with pytest.raises(ValueError, match="a source term needs the parameters rate and beta"):
        train({"darcy": darcy}, out, config)
    with pytest.raises(ValueError, match="the network needs signed distances, and the data have none"):
        train({"darcy": dataclasses.replace(darcy, distance=None)}, out, resolve("tiny-darcy"))
    zero = dataclasses.replace(darcy, solution=np.zeros_like(darcy.solution))
    with pytest.raises(ValueError, match="task 'darcy/square', sample 0: the field is zero"):
        train({"darcy": zero}, out, resolve("tiny-darcy"))
    assert not out.exists()
    broken = fisher.functions.copy()
    broken[0] = np.nan
    with pytest.raises(ValueError, match="training inputs are not finite"):
        train({"fisher": dataclasses.replace(fisher, functions=broken)}, out, config)
    with pytest.raises(TrainingDiverged, match="step 1: "):
        train(
            {"fisher": fisher},
            out,
            resolve(
                "tiny-fisher",
                SMALL
                | {
                    "pod_steps": 0,
                    "learning_rate": 1e30,
                    "clip_norm": None,
                    "warmup_steps": 0,
                    "loss.kind": "mse",
                    "l2": 1e38,
                },
            ),
        )


def test_a_folder_of_data_files(tmp_path, fisher, darcy):
    from domains.pde.data.store import write_data

    folder = tmp_path / "data"
    folder.mkdir()
    write_data(fisher, folder / "fisher.h5")
    write_data(darcy, folder / "darcy.h5")
    lines = []
    config = resolve("tiny-fisher", SMALL | {"epochs": 1, "steps_per_epoch": 2, "pod_steps": 1})
    train(folder, tmp_path / "run", config, tasks=["fisher/nws"], session=Session(say=lines.append))
    assert lines[0] == "preset 'tiny-fisher' leaves out darcy"
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [task["name"] for task in info["tasks"]] == ["fisher/nws"]
    assert info["data"]["fingerprint"] == {"fisher": fisher.fingerprint()}


def test_presets_are_all_readable():
    assert len(PRESETS) == 10 and all(PRESETS[name].preset == name for name in PRESETS)
