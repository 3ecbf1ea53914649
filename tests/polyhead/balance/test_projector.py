"""The projection onto the dual cone against its optimality conditions and against quadprog."""

import numpy as np
import pytest
import quadprog
import torch

from polyhead.balance import make_balancer
from polyhead.balance.projector import REGULARISATION, NnlsProjector, gramian_factor, projection_weights
from polyhead.tasks import TaskSet, TaskSpec


def rows_of(kind, rng):
    match kind:
        case "random":
            return rng.normal(size=(6, 20))
        case "conflicting":
            common = rng.normal(size=20)
            return rng.choice([-1.0, 1.0], size=(8, 1)) * common + 0.3 * rng.normal(size=(8, 20))
        case "opposite":
            row = rng.normal(size=(1, 12))
            return np.concatenate([row, -row, 2 * row, rng.normal(size=(2, 12))])
        case "rank-deficient":
            return rng.normal(size=(10, 3)) @ rng.normal(size=(3, 50))
        case "of many tasks":
            return rng.normal(size=(27, 40)) * np.exp(2 * rng.normal(size=(27, 1)))
        case "tiny":
            return 1e-5 * rng.normal(size=(5, 9))
        case "with a zero row":
            return np.concatenate([np.zeros((1, 7)), rng.normal(size=(3, 7))])
        case _:
            return np.zeros((3, 7))


KINDS = ["random", "conflicting", "opposite", "rank-deficient", "of many tasks", "tiny", "with a zero row", "zero"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_projection_is_optimal_and_that_of_quadprog(kind):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        gramian = (rows := rows_of(kind, rng)) @ rows.T
        factor = gramian_factor(gramian, REGULARISATION)
        matrix, count = factor.T @ factor, len(gramian)
        trace = np.trace(gramian)
        normal = gramian / trace if trace > 0 else gramian
        np.testing.assert_allclose(matrix, normal + REGULARISATION * np.eye(count), atol=1e-12)
        for u in [np.full(count, 1 / count), np.eye(count)[0] / count, rng.uniform(0, 2, count)]:
            v = projection_weights(u, factor)
            dual = matrix @ v  # of the constraints v >= u
            scale = np.abs(matrix).max() * np.abs(v).max()
            assert (v - u).min() >= 0
            assert dual.min() >= -1e-10 * scale
            assert np.abs(dual * (v - u)).max() <= 1e-10 * scale * np.abs(v).max()
            expected = quadprog.solve_qp(matrix, np.zeros(count), np.eye(count), u)[0]
            assert np.linalg.norm(v - expected) <= 1e-6 * np.linalg.norm(expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shapes_and_types_are_those_of_the_vectors(dtype):
    rows = torch.randn(3, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    vectors = torch.eye(3, dtype=dtype).expand(2, 3, 3) / 3
    found = NnlsProjector()(vectors, rows @ rows.T)
    assert found.shape == (2, 3, 3) and found.dtype == dtype
    assert torch.equal(found[0], found[1])
    assert NnlsProjector()(vectors[0, 0], rows @ rows.T).shape == (3,)


def test_small_gradients_are_projected_like_large_ones():
    tasks = TaskSet(TaskSpec(name, "regression", "f", 1) for name in "ab")
    rows = torch.tensor([[1.0, 0.2], [-2.0, 0.3]])
    found = [make_balancer("UPGrad", {}, tasks)._aggregate(scale * rows) / scale for scale in (1e-6, 1.0)]
    torch.testing.assert_close(found[0], found[1])
    assert (rows @ found[0]).min() > -1e-3 and (rows @ rows.mean(dim=0)).min() < -1e-3
