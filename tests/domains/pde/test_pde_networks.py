"""Operator networks by value: published sizes, encodings, symmetries, products, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from operator_toys import darcy_data, fisher_data, plate_data

from domains.pde.data.samples import Quantity
from domains.pde.networks.description import Description
from domains.pde.networks.encoding import hole_features, taylor_coefficients
from domains.pde.networks.model import (
    InnerProduct,
    OperatorFeature,
    WeightedProduct,
    backbone_of,
    build_model,
    freeze_parts,
    size,
    task_specs,
)
from domains.pde.presets import PRESETS, resolve
from domains.pde.solvers.reactions import source_term


def described(problem, axes, parameters=(), sensors=(), functions=()):
    span = [(0.0, 1.0)] * len(axes)
    return Description(
        problem=problem,
        axes=tuple(map(Quantity, axes)),
        lower=tuple(low for low, _ in span),
        upper=tuple(high for _, high in span),
        grid=tuple(tuple(np.linspace(0, 1, 4 + i).tolist()) for i in range(len(axes))),
        points=int(np.prod([4 + i for i in range(len(axes))])),
        parameters=tuple(map(Quantity, parameters)),
        functions=tuple(map(Quantity, functions)),
        sensors=tuple(tuple(np.linspace(0, 1, count).tolist()) for count in sensors),
        solution=Quantity("u"),
    )


FISHER = described("fisher", "tx", ("rate", "beta"), (64,), ("initial value",))
DARCY = described("darcy", "yx", (), (100, 100), ("log conductivity",))
PLATE = described("plate", "xyz", ("holes", "hole position"))


def model_of(preset, *descriptions):
    known = {each.problem: each for each in descriptions}
    tasks = task_specs({f"{name}/one": name for name in known}, known)
    return build_model(tasks, PRESETS[preset], known)


@pytest.mark.parametrize(
    ("preset", "description", "trained", "all_numbers"),
    [
        ("mt-deeponet-fisher", FISHER, 136_664, 136_664),
        ("mt-deeponet-darcy", DARCY, 559_164, 559_164),
        # The published 240,880 numbers of the plate's network hold running statistics of batch normalisation.
        ("mt-deeponet-plate", PLATE, 238_448, 240_880),
    ],
)
def test_published_sizes(preset, description, trained, all_numbers):
    model = model_of(preset, description)
    assert size(model) == trained
    assert size(model, buffers=True) == all_numbers
    assert not list(model.head(f"{description.problem}/one").parameters())


def test_published_darcy_branch_ends_in_2304_numbers():
    branch = backbone_of(model_of("mt-deeponet-darcy", DARCY)).network("darcy").branch
    assert branch.dense.layers[0][0].in_features == 2304


def test_taylor_coefficients_are_the_polynomials_of_the_sources():
    rate, beta = np.array([[0.3], [0.7]]), np.array([[0.5], [2.0]])
    u = np.linspace(-1, 3, 9)
    cut = rate * u * (1 - u) * np.exp(-beta) * (1 + beta * u + beta**2 * u**2 / 2)
    expected = {"fisher": source_term("fisher", u, rate), "nws": source_term("nws", u, rate), "zfk": cut}
    for source, values in expected.items():
        found = taylor_coefficients(source, rate[:, 0], beta[:, 0]) @ np.stack([u, u**2, u**3, u**4])
        np.testing.assert_allclose(found, values, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="unknown source term 'linear'"):
        taylor_coefficients("linear", rate[:, 0], beta[:, 0])


def test_source_samples_tell_sources_apart_where_taylor_labels_do_not():
    data = fisher_data(samples=10)
    description = Description.of(data, data.tasks)
    config = resolve("tiny-fisher")
    model = build_model(
        task_specs(dict.fromkeys(data.tasks, "fisher"), {"fisher": description}), config, {"fisher": description}
    )
    encoding = backbone_of(model).network("fisher").encoding
    rows = data.rows(split="train")
    encoding.fit(data, rows)
    vector = encoding.encode("fisher/nws", data.parameters[[12]], data.functions[[12]])["vector"]
    assert vector.shape == (1, encoding.numbers) == (1, 32 + 2 + 16)
    grid = np.linspace(data.solution[rows].min(), data.solution[rows].max(), 32)
    samples = {
        name: np.arcsinh(source_term(name, grid, data.parameters[data.task == index, :1]))
        for index, name in enumerate(("fisher", "nws"))
    }
    chosen = np.concatenate([samples["fisher"][data.split[:10] == 0], samples["nws"][data.split[10:] == 0]])
    expected = (samples["nws"][2] - chosen.mean(0)) / chosen.std(0)
    np.testing.assert_allclose(vector[0, :32], expected, rtol=1e-4, atol=1e-4)


def test_hole_features_do_not_change_when_the_plate_is_turned_by_a_hole():
    generator = np.random.default_rng(0)
    points = np.column_stack([generator.uniform(-1.8, 1.8, (50, 2)), generator.uniform(0, 1, 50)])
    parameters = np.array([[3, 0.9], [5, 1.4]])
    features = hole_features(points, parameters)
    assert features.shape == (2, 50, 5) and features.dtype == np.float32
    for row, holes in enumerate((3, 5)):
        angle = 2 * np.pi / holes
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        np.testing.assert_allclose(hole_features(points @ turn.T, parameters)[row], features[row], atol=1e-5)
        np.testing.assert_allclose(hole_features(points * [1, -1, 1], parameters)[row], features[row], atol=1e-5)
    from domains.pde.geometry.plate import PlateDesign, hole_distance

    for row, design in enumerate((PlateDesign(3, 0.9), PlateDesign(5, 1.4))):
        np.testing.assert_allclose(features[row, :, 4] / 2, hole_distance(design, points), atol=1e-5)


def test_products_are_sums_over_terms():
    generator = torch.Generator().manual_seed(0)
    branch, shared, own = (torch.randn(*shape, generator=generator) for shape in ((3, 5), (7, 5), (3, 7, 5)))
    factor = torch.randn(1, 7, generator=generator)
    expected = torch.stack([torch.stack([(b * t).sum() for t in shared]) for b in branch])
    torch.testing.assert_close(InnerProduct()(OperatorFeature(branch, shared, None)), expected)
    torch.testing.assert_close(InnerProduct()(OperatorFeature(branch, shared, factor)), expected * factor)
    expected = torch.stack(
        [torch.stack([(b * t).sum() for t in points]) for b, points in zip(branch, own, strict=True)]
    )
    torch.testing.assert_close(InnerProduct()(OperatorFeature(branch, own, None)), expected)
    head = WeightedProduct(5)
    torch.testing.assert_close(head(OperatorFeature(branch, own, factor)), expected * factor)
    with torch.no_grad():
        head.weight.mul_(2)
        head.bias.fill_(1)
    torch.testing.assert_close(head(OperatorFeature(branch, own, factor)), (2 * expected + 1) * factor)
    part = OperatorFeature(branch, own, factor).index_select(0, torch.tensor([2]))
    torch.testing.assert_close(InnerProduct()(part), expected[2:] * factor)


def test_the_published_skip_connections():
    """Layer i = swish(batch norm(W x)) + P x of layer i - 2, from the third layer on."""
    trunk = backbone_of(model_of("mt-deeponet-plate", PLATE)).network("plate").trunk.eval().double()
    assert len(trunk.dense.skips) == 7
    x = torch.rand(6, 3, dtype=torch.float64)
    with torch.no_grad():
        for layer in trunk.modules():
            if isinstance(layer, torch.nn.Linear):
                torch.nn.init.normal_(layer.weight, std=0.3)
        outputs = [x]
        for index, (linear, norm, _) in enumerate(trunk.dense.layers):
            z = linear(outputs[-1]) / np.sqrt(1 + norm.eps)
            z = z * torch.sigmoid(z)
            if index >= 2:
                skip = trunk.dense.skips[index - 2]
                z = z + outputs[index - 1] @ skip.weight.T + skip.bias
            outputs.append(z)
        torch.testing.assert_close(trunk(x), trunk.output(outputs[-1]))


def test_joint_model_shares_bodies_and_keeps_stems():
    model = model_of("mt-deeponet-joint", FISHER, DARCY, PLATE)
    backbone = backbone_of(model)
    inputs = {"vector": torch.rand(2, backbone.network("plate").encoding.numbers), "points": torch.rand(2, 7, 5)}
    answer = model(inputs, "plate/one")
    assert answer.shape == (2, 7)
    answer.sum().backward()
    shared = {id(parameter) for parameter in model.shared_parameters()}
    touched = {name for name, parameter in backbone.named_parameters() if parameter.grad is not None}
    assert {name.split(".")[0] for name in touched} == {"networks", "stems", "bodies"}
    assert all("fisher" not in name and "darcy" not in name for name in touched)
    assert all(id(parameter) in shared for parameter in backbone.bodies.parameters())
    with pytest.raises(ValueError, match="inputs are of one problem"):
        backbone(inputs, {"plate": None, "darcy": None})


def test_freezing_by_name():
    model = model_of("mt-deeponet-darcy", DARCY)
    frozen = freeze_parts(model, "darcy", ("branch.conv[2-9]", "trunk.layer*"))
    assert frozen == ["branch.conv2", "branch.conv3", "branch.conv4", *(f"trunk.layer{i}" for i in range(1, 5))]
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    kept = ("branch.convolutions.0", "branch.dense", "branch.output", "trunk.output")
    assert all(any(part in name for part in kept) for name in trained) and len(trained) == 10
    with pytest.raises(ValueError, match=r"no part of 'darcy' is named 'branch\.pool'; parts: branch\.conv1, "):
        freeze_parts(model, "darcy", ("branch.pool",))


def test_descriptions_survive_json():
    import json

    for data in (fisher_data(samples=5), darcy_data(samples=5, nodes=9), plate_data((5, 5, 3))):
        description = Description.of(data, data.tasks)
        again = Description.from_json(json.loads(json.dumps(description.to_json())))
        assert again.to_json() == description.to_json()
        # Distances hold arrays, which have no equality of their own.
        assert replace(again, joint={}) == replace(description, joint={})
        assert [len(axis) for axis in description.grid] == list(data.grid_shape)
        assert description.sensor_shape == data.functions.shape[2:]
    assert description.inputs["plate"].low == (2.0, 0.9)
    with pytest.raises(ValueError, match="description of a problem is damaged: KeyError: 'axes'"):
        Description.from_json({"problem": "x"})


def test_settings_are_found_by_the_end_of_their_path():
    config = resolve("mt-deeponet-fisher", {"epochs": 3, "branch.widths": (8,), "training.seed": 7})
    assert config.training.epochs == 3 and config.problems["fisher"].branch.widths == (8,)
    with pytest.raises(ValueError, match=r"the setting 'widths' fits problems\.fisher\.branch\.widths and "):
        resolve("mt-deeponet-fisher", {"widths": (8,)})
    with pytest.raises(ValueError, match=r"unknown setting 'epoch'; near: .*epochs"):
        resolve("mt-deeponet-fisher", {"epoch": 8})
    with pytest.raises(ValueError, match="unknown preset 'mt-deeponet-fishes'; known: mt-deeponet-fisher"):
        resolve("mt-deeponet-fishes")
    with pytest.raises(ValueError, match="needs a scale without offset: rms or factor"):
        resolve("mt-deeponet-darcy-plus", {"scale": "global"})
    with pytest.raises(ValueError, match=r"settings that do not fit: training\.epochs"):
        resolve("tiny-darcy", {"epochs": 0})
