"""Waves of the trunk's coordinates, and the branch's linear part past its hidden layers, by value."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from domains.pde.learning.dataset import TaskSamples
from domains.pde.learning.polish import Equations, _conjugate_gradients, last_layer_equations, solve_last_layer
from domains.pde.learning.starting import set_statistics
from domains.pde.learning.training import relative_errors
from domains.pde.networks.branch import Branch, LinearPart
from domains.pde.networks.description import Description
from domains.pde.networks.model import backbone_of, build_model, freeze_parts, task_specs
from domains.pde.networks.trunk import Trunk
from domains.pde.presets import resolve
from domains.pde.settings import BranchConfig, TrunkConfig

pytestmark = pytest.mark.usefixtures("one_thread")


def test_waves_are_sines_and_cosines_of_half_turns_over_the_box():
    trunk = Trunk(TrunkConfig(widths=(4,), features="distance", frequencies=3), 3, 2)
    assert trunk.dense.layers[0][0].in_features == 3 + 2 * 2 * 3
    points = torch.tensor([[-1.0, 1.0, 0.7], [0.0, -0.5, 0.1]], dtype=torch.float64)
    waves = trunk._waves(points).reshape(2, 2, 2, 3)
    order = np.arange(1, 4) * np.pi / 2
    angles = (points[:, :2, None].numpy() + 1) * order
    expected = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    np.testing.assert_allclose(waves.numpy(), expected, atol=1e-12)
    # The distance has no waves.
    moved = points.clone()
    moved[:, 2] += 1
    assert torch.equal(trunk._waves(moved), trunk._waves(points))


def test_waves_need_coordinates():
    with pytest.raises(ValueError, match="frequencies are of coordinates"):
        TrunkConfig(features="holes", frequencies=2)


def test_the_linear_part_is_the_coarse_image_shared_out_between_gates():
    torch.manual_seed(0)
    image = torch.randn(3, 4, 24, 24)
    part = LinearPart(6, gates=5, functions=2, geometry=2)
    assert part.outputs == 5 * 2 * 36
    coarse = image[:, :2].reshape(3, 2, 6, 4, 6, 4).mean(dim=(3, 5)).flatten(1)
    shared = part(image).reshape(3, 5, 72)
    torch.testing.assert_close(shared.sum(1), coarse)
    share = (shared / coarse[:, None])[:, :, 0]
    assert (share > 0).all()
    # The shares follow from the geometry alone, and differ between geometries.
    other = image.clone()
    other[:, :2] = torch.randn(3, 2, 24, 24)
    theirs = part(other).reshape(3, 5, 72) / part(other).reshape(3, 5, 72).sum(1, keepdim=True)
    torch.testing.assert_close(theirs[:, :, 0], share)
    assert (share[0] - share[1]).abs().max() > 1e-3
    torch.testing.assert_close(LinearPart(6, gates=5, functions=4, geometry=0)(image)[:, :72], coarse)


def test_a_branch_reads_hidden_and_linear_numbers_with_its_last_layer():
    config = BranchConfig(channels=(4, 4), widths=(8,), linear_size=5, gates=2)
    branch = Branch(config, 0, (2, 20, 20), 7, functions=1)
    assert branch.output.in_features == 8 + 2 * 25
    assert "gates" in branch.parts()
    inputs = {"image": torch.randn(3, 2, 20, 20), "vector": torch.zeros(3, 0)}
    assert branch.hidden(inputs).shape == (3, 58) and branch(inputs).shape == (3, 7)


def test_the_last_layer_finds_what_is_linear_in_the_functions(darcy):
    """Fields that are a linear map of the coarse image times the boundary's factor are answered exactly."""
    config = resolve(
        "tiny-darcy",
        {
            "channels": (4, 4),
            "branch.widths": (8,),
            "trunk.widths": (32, 32),
            "latent": 24,
            "image_size": None,
            "linear_size": 4,
            "frequencies": 3,
        },
    )
    task = darcy.tasks[0]
    descriptions = {"darcy": Description.of(darcy, (task,))}
    torch.manual_seed(0)
    model = build_model(task_specs({task: "darcy"}, descriptions), config, descriptions)
    rows = darcy.rows(task=task, split="train")
    set_statistics(model, {"darcy": darcy}, {task: "darcy"}, {task: rows})
    network = backbone_of(model).network("darcy")
    samples = TaskSamples(darcy, task, rows, network)
    with torch.no_grad():
        wanted = torch.randn(network.branch.output.weight.shape) * 0.3
        wanted[:, :8] = 0
        network.branch.output.weight.copy_(wanted)
        fields = model(samples.at(np.arange(len(rows)), np.arange(darcy.solution.shape[1]))[0], task)
        network.branch.output.weight.zero_()
    solution = darcy.solution.copy()
    solution[rows] = samples._unit * fields.numpy() * darcy.mask[darcy.geometry[rows]]
    made = TaskSamples(replace(darcy, solution=solution), task, rows, network)
    assert relative_errors(model, made).min() == pytest.approx(1.0)
    solve_last_layer(model, "darcy", last_layer_equations(model, "darcy", {task: made}), ridge=1e-13)
    assert relative_errors(model, made).max() < 2e-3
    assert freeze_parts(model, "darcy", ["branch.gates"]) == ["branch.gates"]


def test_geometries_of_few_and_of_many_samples_give_one_dense_solution():
    generator = torch.Generator().manual_seed(0)
    groups, gram, right = [], torch.zeros(30, 30, dtype=torch.float64), torch.zeros(30, dtype=torch.float64)
    for count in (2, 4, 5, 40):
        a, trunk, fields = (
            torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((count, 10), (7, 3), (count, 7))
        )
        groups.append(Equations.of(a, trunk.T @ trunk, a.T @ fields @ trunk))
        gram += torch.kron(a.T @ a, trunk.T @ trunk)
        right += (a.T @ fields @ trunk).reshape(-1)
    assert [len(group.rows) for group in groups] == [2, 4, 10, 10]
    found = _conjugate_gradients(groups, torch.zeros(10, 3, dtype=torch.float64), ridge=0.0)
    torch.testing.assert_close(found.reshape(-1), torch.linalg.solve(gram, right), rtol=1e-5, atol=1e-6)
