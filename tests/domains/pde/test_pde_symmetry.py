"""The square's symmetries: fields, points and geometries turned alike, and answers that follow."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from domains.pde.data.symmetry import COUNT, positions, turned
from domains.pde.learning.dataset import TaskSamples
from domains.pde.learning.starting import set_statistics
from domains.pde.learning.training import train
from domains.pde.networks.description import Description
from domains.pde.networks.model import backbone_of, build_model, task_specs
from domains.pde.presets import resolve
from domains.pde.solvers.darcy import solve_darcy
from domains.pde.solvers.embedded import embed, unit_grid
from polyhead.training.session import Session

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_eight_symmetries_are_eight_and_alike_for_arrays_and_tensors():
    field = np.arange(9).reshape(3, 3)
    found = {turned(field, k).tobytes() for k in range(COUNT)}
    assert len(found) == 8
    for k in range(COUNT):
        np.testing.assert_array_equal(turned(torch.from_numpy(field), k).numpy(), turned(field, k))


@pytest.fixture
def grid(darcy):
    """The toy's samples on a square's grid with given masks, one geometry a mask."""
    side = 12
    axis = np.linspace(0, 1, side)
    coordinates = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)

    def make(*masks):
        count = len(masks)
        return replace(
            darcy,
            coordinates=coordinates,
            grid_shape=(side, side),
            mask=np.stack([mask.ravel() for mask in masks]),
            distance=np.zeros((count, side * side), dtype=np.float32),
            functions=np.zeros((count, 1, side, side), dtype=np.float32),
            solution=np.ones((count, side * side), dtype=np.float32),
            parameters=np.zeros((count, 0)),
            task=np.zeros(count, dtype=np.int16),
            split=np.zeros(count, dtype=np.int8),
            geometry=np.arange(count, dtype=np.int32),
            geometry_names=tuple(str(i) for i in range(count)),
        )

    return make


def test_a_geometry_is_turned_only_by_what_leaves_it_in_place(grid):
    y, x = np.meshgrid(np.linspace(-1, 1, 12), np.linspace(-1, 1, 12), indexing="ij")
    full, triangle, ell = np.ones((12, 12), bool), np.abs(x) < (y + 1.01) / 2, (x < 0) | (y < 0)
    data = grid(full, triangle, ell)
    assert [len(positions(data, np.array([i]))) for i in range(3)] == [8, 2, 2]
    assert len(positions(data, np.array([0, 1]))) == 2 and len(positions(data, np.array([1, 2]))) == 1
    mirror = positions(data, np.array([1]))[1]
    place = data.coordinates[mirror.place]
    np.testing.assert_allclose(place[:, 0], data.coordinates[:, 0])
    np.testing.assert_allclose(place[:, 1], 1 - data.coordinates[:, 1])


def test_other_grids_stay_as_they_are(grid):
    data = grid(np.ones((12, 12), bool))
    long = replace(data, coordinates=data.coordinates * [1, 2])
    uneven = replace(data, coordinates=data.coordinates**2)
    assert [len(positions(each, np.array([0]))) for each in (long, uneven)] == [1, 1]


def test_solutions_turn_with_their_conductivity(grid):
    """The solver's answer to a turned sample is the turned answer, at every position that `positions` names."""
    ticks = unit_grid(12)
    embedding = embed(lambda points: 0.45 - np.hypot(*(points - 0.5).T), *ticks)
    conductivity = np.exp(np.random.default_rng(0).normal(size=(12, 12)) * 0.5)
    head = solve_darcy(embedding, conductivity)
    data = grid(embedding.inside)
    found = positions(data, np.array([0]))
    assert len(found) == 8
    for position in found:
        theirs = solve_darcy(embedding, turned(conductivity, position.symmetry).copy()).ravel()
        np.testing.assert_allclose(theirs[position.place], head.ravel(), atol=1e-10)


def test_a_turned_batch_is_the_batch_of_turned_samples(grid):
    mask = np.ones((12, 12), bool)
    data = grid(mask, mask, mask)
    generator = np.random.default_rng(1)
    data = replace(
        data,
        functions=generator.normal(size=(3, 1, 12, 12)).astype(np.float32),
        solution=generator.normal(size=(3, 144)).astype(np.float32),
        geometry=np.zeros(3, dtype=np.int32),
        mask=data.mask[:1],
        distance=data.distance[:1],
        geometry_names=("0",),
    )
    config = resolve("tiny-darcy", {"channels": (4,), "image_size": None, "linear_size": 4})
    task = data.tasks[0]
    descriptions = {"darcy": Description.of(data, (task,))}
    model = build_model(task_specs({task: "darcy"}, descriptions), config, descriptions)
    set_statistics(model, {"darcy": data}, {task: "darcy"}, {task: np.arange(3)})
    network = backbone_of(model).network("darcy")
    for position in positions(data, np.array([0])):
        both = replace(
            data,
            functions=turned(data.functions, position.symmetry).copy(),
            solution=turned(data.solution.reshape(3, 12, 12), position.symmetry).reshape(3, -1),
        )
        ours, theirs = (TaskSamples(each, task, np.arange(3), network) for each in (data, both))
        points = np.array([3, 17, 100])
        inputs, targets = ours.at([0, 2], points, position)
        others, expected = theirs.at([0, 2], position.place[points])
        for name, values in others.items():
            torch.testing.assert_close(inputs[name], values)
        torch.testing.assert_close(targets["field"], expected["field"])


def test_training_says_what_it_turns_and_leaves_other_problems_alone(tmp_path, darcy):
    config = resolve(
        "tiny-darcy", {"epochs": 1, "steps_per_epoch": 2, "channels": (4,), "image_size": None, "polish": False}
    )
    lines = []
    train({"darcy": darcy}, tmp_path / "run", config, session=Session(say=lines.append))
    assert any("positions" in line for line in lines)
    assert config.turns("darcy") and config.turns("darcy-target") and not config.turns("advection")
    assert not config.turns("darcyish")
    with pytest.raises(ValueError, match="symmetries turn images"):
        resolve("tiny-darcy", {"encoding.functions": "sensor"})
