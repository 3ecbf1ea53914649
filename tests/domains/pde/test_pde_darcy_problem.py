"""The Darcy data sets: what their plans promise, and that the samples keep it."""

import pickle

import numpy as np
import pytest

from domains.pde.data.samples import OperatorData
from domains.pde.geometry.shapes import shape
from domains.pde.problems.catalogue import problem
from domains.pde.problems.darcy import DARCY, DARCY_TARGET, SOURCE_PRESETS, TARGET_PRESETS
from domains.pde.problems.plan import Plan, draw_split
from domains.pde.solvers.darcy import solve_darcy
from domains.pde.solvers.embedded import embed, unit_grid


def solved(plan: Plan) -> OperatorData:
    """The whole data set of a plan, solved here."""
    blocks = [plan.solve(number) for number in range(len(plan.blocks))]
    return OperatorData(
        problem=plan.problem,
        tasks=plan.tasks,
        coordinates=plan.coordinates,
        axes=plan.axes,
        grid_shape=plan.grid_shape,
        parameters=np.concatenate([block.parameters for block in blocks]),
        parameter_names=plan.parameter_names,
        functions=np.concatenate([block.functions for block in blocks]),
        function_names=plan.function_names,
        solution=np.concatenate([block.solution for block in blocks]),
        solution_name=plan.solution_name,
        task=np.concatenate([np.full(block.count, block.task, dtype=np.int16) for block in plan.blocks]),
        split=np.concatenate([block.split for block in plan.blocks]),
        geometry=np.concatenate([block.geometry for block in plan.blocks]),
        mask=plan.mask,
        distance=plan.distance,
        geometry_names=plan.geometry_names,
    )


def numbers(plan: Plan, task: int) -> list[int]:
    """Samples of a task in train, validation and test."""
    splits = np.concatenate([block.split for block in plan.blocks if block.task == task])
    return np.bincount(splits, minlength=3).tolist()


@pytest.fixture(scope="module")
def sources() -> tuple[Plan, OperatorData]:
    plan = DARCY.plan("tiny", seed=4, samples=12)
    return plan, solved(plan)


@pytest.fixture(scope="module")
def targets() -> tuple[Plan, OperatorData]:
    plan = DARCY_TARGET.plan("tiny", seed=4, samples=20)
    return plan, solved(plan)


def test_the_catalogue_knows_both():
    assert problem("darcy") is DARCY
    assert problem("darcy-target") is DARCY_TARGET
    assert DARCY.presets == ("paper", "shapes", "medium", "tiny")
    assert DARCY_TARGET.presets == ("paper", "medium", "tiny")


def test_presets_have_the_published_numbers():
    plan = DARCY.plan("paper")
    assert plan.tasks == ("darcy/square", "darcy/circle", "darcy/triangle")
    assert plan.grid_shape == (100, 100) and len(plan) == 6000
    assert [numbers(plan, task) for task in range(3)] == [[1700, 100, 200]] * 3
    for presets, name, expected in (
        (SOURCE_PRESETS, "medium", [480, 60, 60]),
        (SOURCE_PRESETS, "tiny", [36, 12, 12]),
        (TARGET_PRESETS, "paper", [100, 50, 550]),
        (TARGET_PRESETS, "medium", [100, 20, 300]),
        (TARGET_PRESETS, "tiny", [30, 10, 20]),
    ):
        preset = presets[name]
        for per_geometry in (1, 10) if presets is TARGET_PRESETS else (1,):
            split = draw_split(preset.samples // per_geometry, preset.fractions, np.random.default_rng(0))
            assert (np.bincount(split) * per_geometry).tolist() == expected


def test_more_shapes_to_learn_from_leave_a_target_to_transfer_to():
    plan = DARCY.plan("shapes", samples=20)
    assert plan.tasks[:3] == ("darcy/square", "darcy/circle", "darcy/triangle") and len(plan) == 20 * 9
    assert set(DARCY_TARGET.plan("tiny").tasks) - set(plan.tasks) == {"darcy/square_with_cross"}
    assert plan.problem == "darcy" and sum(name.startswith("star:") for name in plan.geometry_names) == 2


def test_points_run_in_rows_of_y(sources: tuple[Plan, OperatorData]):
    plan, data = sources
    grid = plan.coordinates.reshape(32, 32, 2)
    np.testing.assert_allclose(grid[3, 20], [3 / 31, 20 / 31])
    assert [axis.name for axis in data.axes] == ["y", "x"]
    triangle = data.mask[2].reshape(32, 32)
    # The triangle stands on y = 0: wide at low rows, none at the highest.
    assert triangle[1].sum() > 28 and triangle[15].sum() < 17 and not triangle[-2].any()


def test_masks_and_distances_are_those_of_the_shapes(targets: tuple[Plan, OperatorData]):
    plan, data = targets
    assert data.distance is not None
    for name, mask, distance in zip(plan.geometry_names, data.mask, data.distance, strict=True):
        expected = shape(name).distance(plan.coordinates[:, ::-1])
        np.testing.assert_allclose(distance, expected, atol=1e-6)
        np.testing.assert_array_equal(mask, expected > 1e-7)
        assert mask.any()


def test_samples_are_what_the_solver_says_of_the_stored_field(targets: tuple[Plan, OperatorData]):
    plan, data = targets
    inside = data.sample_mask(np.arange(len(data)))
    assert (data.solution[~inside] == 0).all()
    assert (data.solution[inside] > 0).all()
    y, x = unit_grid(32)
    for row in (0, 25, 105, 139):
        name = plan.geometry_names[data.geometry[row]]
        again = solve_darcy(embed(shape(name).distance, y, x), np.exp(data.functions[row, 0].astype(np.float64)))
        np.testing.assert_allclose(data.solution[row], again.ravel(), rtol=1e-6)
        assert name.split(":")[0] == data.tasks[data.task[row]].split("/")[1]


def test_fields_have_the_stated_spread():
    plan = DARCY.plan("tiny", seed=1, samples=200)
    fields = np.concatenate([plan.solve(number).functions for number in range(2)])
    assert fields.shape == (200, 1, 32, 32)
    # The 100 terms hold most of the variance of 0.25, never more.
    assert 0.42 < fields.std() < 0.5
    assert abs(fields.mean()) < 0.03
    neighbours = np.mean(fields[..., 1:] * fields[..., :-1]) / fields.var()
    assert 0.85 < neighbours < 1


def test_equal_seeds_make_equal_data(sources: tuple[Plan, OperatorData]):
    _, data = sources
    assert solved(DARCY.plan("tiny", seed=4, samples=12)).fingerprint() == data.fingerprint()
    assert solved(DARCY.plan("tiny", seed=5, samples=12)).fingerprint() != data.fingerprint()


def test_samples_differ_between_tasks_and_blocks():
    plan = DARCY.plan("tiny", samples=102)
    assert [(block.start, block.count, block.task) for block in plan.blocks] == [
        (0, 100, 0),
        (100, 2, 0),
        (102, 100, 1),
        (202, 2, 1),
        (204, 100, 2),
        (304, 2, 2),
    ]
    small = [plan.solve(number).functions[:2] for number in (1, 3, 5)]
    first = plan.solve(0).functions[:2]
    for other in small:
        assert np.abs(first - other).max() > 0.1
    assert np.abs(small[0] - small[1]).max() > 0.1


def test_the_plan_can_be_sent_to_another_process(sources: tuple[Plan, OperatorData]):
    plan, data = sources
    again = pickle.loads(pickle.dumps(plan)).solve(1)
    np.testing.assert_array_equal(again.solution, data.solution[12:24])
    assert len(pickle.dumps(plan.solve)) < 10_000


def test_no_random_shape_of_the_test_is_seen_in_training():
    plan = DARCY_TARGET.plan("tiny", seed=2)
    for task in ("darcy/star", "darcy/ellipse"):
        blocks = [block for block in plan.blocks if block.task == plan.tasks.index(task)]
        split = np.concatenate([block.split for block in blocks])
        geometry = np.concatenate([block.geometry for block in blocks])
        assert len(np.unique(geometry)) == 6
        assert np.bincount(split).tolist() == [30, 10, 20]
        for member in np.unique(geometry):
            assert len(np.unique(split[geometry == member])) == 1
    assert len(set(plan.geometry_names)) == 5 + 2 * 6


@pytest.mark.parametrize(
    ("preset", "seed", "samples", "message"),
    [
        ("huge", 0, None, "unknown preset 'huge' of darcy; known: paper, shapes, medium, tiny"),
        ("tiny", 0, 0, "at least one sample"),
        ("tiny", -1, None, "seed >= 0"),
    ],
)
def test_bad_requests(preset: str, seed: int, samples: int | None, message: str):
    with pytest.raises(ValueError, match=message):
        DARCY.plan(preset, seed=seed, samples=samples)
