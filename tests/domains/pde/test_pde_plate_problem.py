"""The plate's data sets: designs, splits, masks, what a sample holds."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from domains.pde.data.samples import SPLITS
from domains.pde.geometry.plate import plate_designs
from domains.pde.problems import plate
from domains.pde.problems.plan import Plan
from domains.pde.problems.plate import PLATE
from domains.pde.solvers.plate import solve_plate


@pytest.fixture(scope="module")
def tiny() -> Plan:
    return PLATE.plan("tiny")


def split_of(plan: Plan) -> np.ndarray:
    return np.concatenate([block.split for block in plan.blocks])


def test_the_published_split_holds_out_positions(tiny: Plan):
    designs = plate_designs()
    assert len(tiny) == 64
    assert tiny.geometry_names == tuple(design.name for design in designs)
    train = split_of(tiny) == SPLITS.index("train")
    assert train.sum() == 24
    assert (split_of(tiny) == SPLITS.index("test")).sum() == 40
    assert sorted({design.position for design, kept in zip(designs, train, strict=True) if kept}) == [0.9, 1.2, 1.6]


def test_held_out_hole_counts_are_never_trained_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(plate.CELLS, "holes-held-out", 16)
    plan = PLATE.plan("holes-held-out")
    holes = np.array([design.holes for design in plate_designs()])
    train = split_of(plan) == SPLITS.index("train")
    assert sorted(set(holes[train])) == [2, 3, 5, 6, 8, 9]
    assert sorted(set(holes[~train])) == [4, 7]


def test_blocks_cover_the_rows_in_order(tiny: Plan):
    assert [(block.start, block.count, block.task) for block in tiny.blocks] == [(i, 1, 0) for i in range(64)]
    assert [int(block.geometry[0]) for block in tiny.blocks] == list(range(64))


def test_a_sample_is_the_field_inside_its_design(tiny: Plan):
    number = 35
    solved = pickle.loads(pickle.dumps(tiny.solve))(number)
    design = plate_designs()[number]
    assert solved.parameters.tolist() == [[design.holes, design.position]]
    assert solved.functions.shape == (1, 0)
    assert solved.solution.dtype == np.float32
    field, mask = solved.solution[0], tiny.mask[number]
    assert (field[~mask] == 0).all()
    assert 0.15 < field[mask].min() < 0.3
    assert field[mask].max() == 1
    assert tiny.solve(number).solution.tobytes() == solved.solution.tobytes()


def test_the_grid_is_in_order_x_y_z(tiny: Plan):
    field = tiny.solve(1).solution[0].reshape(tiny.grid_shape)
    mask = tiny.mask[1].reshape(tiny.grid_shape)
    points = tiny.coordinates.reshape(*tiny.grid_shape, 3)
    assert tiny.grid_shape == (33, 33, 9)
    assert points[24, 16, 2].tolist() == [1.0, 0.0, 0.25]
    # Two holes at 1.0 on the x axis, none on the y axis, the hub up to z = 1.
    assert not mask[24, 16, 1] and mask[16, 24, 1]
    assert field[16, 16, 8] == 1 and mask[16, 16].all()
    assert (np.diff(field[16, 16]) > 0).all()
    assert (np.diff(field[16, 22:, 0]) < 0).all()


def test_mask_is_where_the_distance_is_not_negative(tiny: Plan):
    assert tiny.distance is not None
    assert ((tiny.distance > 1e-6) <= tiny.mask).all()
    assert ((tiny.distance < -1e-6) <= ~tiny.mask).all()
    # The surfaces belong to the solid: z = 0 under the hub.
    assert tiny.mask[:, 16 * 33 * 9 + 16 * 9].all()


def test_what_is_kept_lies_within_0_3_percent_of_a_grid_one_and_a_half_times_as_fine(tiny: Plan):
    number = 0
    field, mask = tiny.solve(number).solution[0], tiny.mask[number]
    finer = solve_plate(plate_designs()[number], 96).temperature[::3, ::3, ::3].ravel()
    assert np.linalg.norm((field - finer)[mask]) < 3e-3 * np.linalg.norm(finer[mask])


def test_fewer_samples_keep_both_splits_and_depend_on_the_seed():
    few, again, other = (PLATE.plan("tiny", samples=10, seed=seed) for seed in (1, 1, 2))
    assert len(few) == 10
    assert (split_of(few) == SPLITS.index("train")).sum() == 4
    assert few.geometry_names == again.geometry_names != other.geometry_names


def test_bad_requests_are_one_clear_line():
    with pytest.raises(ValueError, match="unknown preset 'huge' of the plate; known: paper, holes-held-out, tiny"):
        PLATE.plan("huge")
    with pytest.raises(ValueError, match=r"the plate has 64 designs.*got 100"):
        PLATE.plan("tiny", samples=100)
    with pytest.raises(ValueError, match="got 1"):
        PLATE.plan("tiny", samples=1)
