"""The scale of every aggregator's answer: that of the rows' mean, and following that of the gradients."""

import subprocess
import sys

import pytest
import torch

from polyhead.balance import make_balancer
from polyhead.balance.jacobian import UNWEIGHABLE, JacobianBalancer, aggregator_names
from polyhead.tasks import TaskSet, TaskSpec

COUNT = 4
OPTIONS = {
    "Constant": {"weights": [1.0] * COUNT},
    "CAGrad": {"c": 0.4},
    "FairGrad": {"alpha": 2.0},
    "Krum": {"n_byzantine": 0},
    "NashMTL": {"n_tasks": COUNT},
    "TrimmedMean": {"trim_number": 1},
}
EXTRAS = {"CAGrad", "NashMTL"}
MADE = sorted(set(aggregator_names()) - EXTRAS)


def tasks(weights=(1.0,) * COUNT):
    return TaskSet(TaskSpec(f"t{i}", "regression", "f", 1, weight=weight) for i, weight in enumerate(weights))


def answer(name, rows):
    balancer = make_balancer(name, OPTIONS.get(name), tasks())
    assert isinstance(balancer, JacobianBalancer)
    return balancer._aggregate(rows)


def some_rows(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(COUNT, 9, generator=generator) + 0.4 * torch.randn(9, generator=generator)


@pytest.mark.parametrize("name", sorted(EXTRAS))
def test_aggregators_of_an_extra_are_refused_without_it(name):
    with pytest.raises(ValueError, match=f"balancer '{name}' needs more than is installed"):
        make_balancer(name, OPTIONS[name], tasks())


@pytest.mark.parametrize("name", sorted(set(MADE) - {"ExcessMTL"}))
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_answer_follows_the_scale_of_the_gradients(name, scale):
    for seed in range(3):
        rows = some_rows(seed)
        torch.testing.assert_close(answer(name, scale * rows) / scale, answer(name, rows), rtol=5e-3, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_answer_of_excess_mtl_is_a_weighted_mean(scale):
    rows = scale * some_rows(0)
    weights = torch.linalg.lstsq(rows.T, answer("ExcessMTL", rows)[:, None]).solution.squeeze()
    assert weights.sum().item() == pytest.approx(1.0, abs=1e-3) and weights.min() > -1e-4


@pytest.mark.parametrize("name", MADE)
def test_equal_gradients_give_that_gradient(name):
    row = some_rows(1)[0]
    torch.testing.assert_close(answer(name, row.expand(COUNT, 9).contiguous()), row, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", MADE)
def test_orthogonal_gradients_give_no_more_than_one_of_them(name):
    rows = 2 * torch.eye(COUNT, 9)
    length = answer(name, rows).norm().item()
    mean = rows.mean(dim=0).norm().item()
    # The trimmed mean cuts the only number of each coordinate; the rest lie between the mean and a single gradient.
    assert length == 0 if name == "TrimmedMean" else mean * 0.999 <= length <= 2.001


@pytest.mark.parametrize("name", MADE)
def test_which_aggregators_obey_a_weight(name):
    """Twice the gradient of a task raises its share of the answer, or the aggregator is known not to obey."""
    changes = []
    for seed in range(10):
        rows = some_rows(seed)
        before = answer(name, rows)
        for task in range(COUNT):
            doubled = rows.clone()
            doubled[task] *= 2
            after, direction = answer(name, doubled), rows[task] / rows[task].norm()
            changes.append((after @ direction / after.norm() - before @ direction / before.norm()).item())
    mean = sum(changes) / len(changes)
    assert (mean > 0.05 and min(changes) >= -1e-6) is (name not in UNWEIGHABLE), (mean, min(changes))


@pytest.mark.parametrize("name", sorted(UNWEIGHABLE - EXTRAS))
def test_weights_that_would_not_act_are_refused(name):
    make_balancer(name, OPTIONS.get(name), tasks((2.0,) * COUNT))
    with pytest.raises(ValueError, match=f"balancer '{name}' does not obey the tasks' weights"):
        make_balancer(name, OPTIONS.get(name), tasks((1.0, 1.0, 1.0, 2.0)))
    make_balancer(name, OPTIONS.get(name), tasks((1.0, 1.0, 1.0, 1.0)))


@pytest.mark.parametrize(
    ("name", "options", "needs"),
    [
        ("equal", {}, "one"),
        ("fixed", {}, "one"),
        ("uncertainty", {}, "one"),
        ("dwa", {}, "one"),
        ("UPGrad", {}, "several"),
        ("PCGrad", {}, "several"),
        ("UPGrad", {"pref_vector": [1.0, 2.0, 3.0, 4.0]}, "all"),
        ("Constant", {"weights": [1.0, 2.0, 3.0, 4.0]}, "all"),
        ("GradVac", {}, "all"),
        ("ExcessMTL", {}, "all"),
        ("PCD", {}, "all"),
    ],
)
def test_what_a_balancer_needs(name, options, needs):
    assert make_balancer(name, options, tasks()).needs == needs


def test_a_model_of_one_task_needs_no_other():
    assert make_balancer("UPGrad", {}, tasks((1.0,))).needs == "one"


def test_options_for_another_number_of_tasks_are_found_at_once():
    with pytest.raises(ValueError, match=r"balancer 'Constant' does not fit a model of 4 tasks: .*should have 2 rows"):
        make_balancer("Constant", {"weights": [1.0, 2.0]}, tasks())


@pytest.mark.parametrize("name", ["UPGrad", "IMTLG", "GradVac"])
def test_gradients_that_are_not_finite_reach_no_state(name):
    balancer = make_balancer(name, OPTIONS.get(name), tasks())
    before = balancer.state_dict()
    rows = some_rows(0)
    rows[1, 2] = torch.inf
    assert not torch.isfinite(balancer._aggregate(rows)).all()
    assert balancer.state_dict() == before


def test_the_training_loop_imports_neither_torchjd_nor_jax():
    script = (
        "import sys, polyhead.train; print([name for name in ('torchjd', 'jax', 'qpsolvers') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
