"""The Fisher data: what is drawn, how it is split, and that the stored answers solve the equation."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from domains.pde.data.samples import OperatorData
from domains.pde.problems import fisher
from domains.pde.problems.fisher import FISHER, PRESETS
from domains.pde.solvers.reaction_diffusion import solve_reaction_diffusion
from domains.pde.solvers.reactions import source_term


def data_of(plan):
    """The plan, solved in memory."""
    solved = [plan.solve(number) for number in range(len(plan.blocks))]
    shared = {
        name: getattr(plan, name)
        for name in OperatorData.__dataclass_fields__
        if name not in {"parameters", "functions", "solution", "task", "split", "geometry"}
    }
    return OperatorData(
        parameters=np.concatenate([s.parameters for s in solved]),
        functions=np.concatenate([s.functions for s in solved]),
        solution=np.concatenate([s.solution for s in solved]),
        task=np.concatenate([np.full(b.count, b.task, dtype=np.int16) for b in plan.blocks]),
        split=np.concatenate([b.split for b in plan.blocks]),
        geometry=np.concatenate([b.geometry for b in plan.blocks]),
        **shared,
    )


@pytest.fixture(scope="module")
def tiny():
    return data_of(FISHER.plan("tiny"))


def test_tiny_has_its_samples_and_splits(tiny):
    assert len(tiny) == 240
    assert [len(tiny.rows(task=task)) for task in tiny.tasks] == [60, 60, 120]
    assert [len(tiny.rows(task="fisher/zfk", split=s)) for s in ("train", "validation", "test")] == [86, 10, 24]
    assert tiny.functions.shape == (240, 1, 64)
    assert tiny.functions.dtype == tiny.solution.dtype == np.float32
    assert tiny.grid_shape == (20, 64)
    grid = tiny.coordinates.reshape(20, 64, 2)
    np.testing.assert_allclose(grid[3, 5], [3 / 19 * 0.2, 5 / 63])
    np.testing.assert_allclose(grid[-1, -1], [0.2, 1.0])


def test_first_snapshot_is_the_initial_value(tiny):
    np.testing.assert_array_equal(tiny.solution.reshape(240, 20, 64)[:, 0], tiny.functions[:, 0])
    assert tiny.functions.min() >= 0
    assert np.isfinite(tiny.solution).all()
    assert tiny.functions.mean() == pytest.approx(5, abs=0.3)
    assert tiny.functions.std() == pytest.approx(np.sqrt(2), abs=0.15)


def test_parameters_cover_their_values(tiny):
    rate, beta = tiny.parameters.T
    for task in tiny.tasks:
        values, counts = np.unique(rate[tiny.rows(task=task)], return_counts=True)
        np.testing.assert_allclose(values, np.linspace(0.1, 1, 10))
        assert len(set(counts)) == 1
    assert not beta[tiny.rows(task="fisher/nws")].any()
    np.testing.assert_allclose(np.unique(beta[tiny.rows(task="fisher/zfk")]), np.linspace(0.5, 2, 10))


@pytest.mark.parametrize("task", ["fisher/fisher", "fisher/nws", "fisher/zfk"])
def test_stored_answers_solve_the_equation(tiny, task):
    """Method of lines by Radau on the grid itself, an independent integration in time and a coarser one in space."""
    row = tiny.rows(task=task)[-1]
    rate, beta = tiny.parameters[row]
    stiffness = 1e-3 * 63**2

    def right(t, u):
        mirrored = np.concatenate([u[1:2], u, u[-2:-1]])
        return stiffness * (mirrored[2:] - 2 * u + mirrored[:-2]) + source_term(task[7:], u, rate, beta)

    initial = tiny.functions[row, 0].astype(np.float64)
    times = np.linspace(0, 0.2, 20)
    lines = solve_ivp(right, (0, 0.2), initial, method="Radau", t_eval=times, rtol=1e-7, atol=1e-8).y.T
    stored = tiny.solution[row].reshape(20, 64)
    assert np.linalg.norm(stored - lines) < 2e-3 * np.linalg.norm(lines)


@pytest.mark.parametrize("preset", ["paper", "diffusive"])
def test_the_chosen_steps_are_fine_enough(preset):
    setting = PRESETS[preset]
    plan = FISHER.plan(preset, samples=10)
    for number, source in enumerate(("fisher", "nws", "zfk")):
        solved = plan.solve(number)
        reference = solve_reaction_diffusion(
            source,
            solved.functions[:, 0],
            *solved.parameters.T,
            horizon=setting.horizon,
            snapshots=20,
            diffusion=setting.diffusion,
            substeps=8 * setting.substeps,
            refine=8,
        ).reshape(10, -1)
        error = np.linalg.norm(solved.solution - reference, axis=1) / np.linalg.norm(reference, axis=1)
        assert error.max() < 2e-4, (source, error)


def test_diffusive_values_lie_in_the_unit_interval():
    data = data_of(FISHER.plan("diffusive", samples=40))
    assert data.functions.min() >= 0
    assert data.functions.max() <= 1
    assert data.solution.max() <= 1
    assert data.functions.mean() == pytest.approx(0.5, abs=0.08)


def test_equal_seeds_give_equal_data(tiny):
    assert data_of(FISHER.plan("tiny")).fingerprint() == tiny.fingerprint()
    assert data_of(FISHER.plan("tiny", seed=1)).fingerprint() != tiny.fingerprint()
    plan = FISHER.plan("tiny", seed=0)
    last = plan.solve(2)
    assert last.solution.tobytes() == tiny.solution[120:].tobytes()


def test_blocks_cover_the_data_set_in_order():
    plan = FISHER.plan("paper")
    assert len(plan) == 4000
    assert [block.start for block in plan.blocks] == list(range(0, 4000, 500))
    assert [block.task for block in plan.blocks] == [0, 0, 1, 1, 2, 2, 2, 2]
    uneven = FISHER.plan("paper", samples=501)
    assert [block.count for block in uneven.blocks] == [500, 1] * 3
    json.dumps(plan.attributes)
    assert plan.attributes["preset"] == "paper"


def test_negative_initial_values_are_drawn_again():
    low = replace(PRESETS["paper"], mean=1.0)
    values = fisher._initial_values(low, 200, np.random.default_rng(0))
    assert values.shape == (200, 64)
    assert values.min() >= 0
    # Untouched draws are where they would have been.
    field = fisher.gaussian_field("squared_exponential", (64,), 0.2)
    first = 1 + np.sqrt(2) * field.draw(200, np.random.default_rng(0))
    kept = first.min(axis=1) >= 0
    np.testing.assert_array_equal(values[kept], first[kept])
    assert 0 < kept.sum() < 200


def test_bad_input():
    with pytest.raises(ValueError, match="unknown preset 'huge'; fisher has: paper, diffusive, tiny"):
        FISHER.plan("huge")
    with pytest.raises(ValueError, match="at least 1"):
        FISHER.plan("tiny", samples=0)
    with pytest.raises(ValueError, match=r"needs parameters \(B, 2\)"):
        FISHER.solve("fisher/zfk", np.ones((2, 1)), np.ones((2, 1, 64)), FISHER.plan("tiny").attributes)


def test_blocks_may_be_solved_in_other_processes():
    plan = FISHER.plan("tiny", seed=3, samples=4)
    elsewhere = pickle.loads(pickle.dumps(plan.solve))(1)
    here = plan.solve(1)
    for name in ("parameters", "functions", "solution"):
        np.testing.assert_array_equal(getattr(elsewhere, name), getattr(here, name))
