"""Methods that are to come, as toys: the seams bear them, and the training loop needs no change for any.

GradNorm wants gradients at the last shared layer, the first losses and weights of its own; SAMO moves shared and head
parameters; Rep-MTL differentiates by the features; FAMO looks at the losses again after the step.
"""

import pytest
import torch
from torch import nn
from torch.nn import Parameter

from polyhead.balance import StepLosses, making
from polyhead.balance.protocol import Parameters, finite_values
from polyhead.model import MultiHeadModel
from polyhead.runs.run import Run, RunInfo
from polyhead.tasks import TaskSet, TaskSpec
from polyhead.train import TrainConfig, fit
from polyhead.training.loading import LoadedBatch
from polyhead.training.sampling import TaskBatch
from polyhead.training.step_losses import LossMaker

pytestmark = pytest.mark.usefixtures("one_thread")

TASKS = TaskSet([TaskSpec("depth", "regression", "latent", 2), TaskSpec("normals", "regression", "latent", 3)])
GROUP = ("depth", "normals")
LOSSES = dict.fromkeys(GROUP, nn.functional.mse_loss)


class Encoder(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 5)
        self.norm, self.dropout, self.passes = nn.BatchNorm1d(6), nn.Dropout(dropout), 0

    def forward(self, inputs, needed):
        self.passes += 1
        return {name: torch.tanh(self.last(self.dropout(self.norm(self.first(inputs))))) for name in needed}


class Rows:
    def __len__(self):
        return 12

    def batch(self, rows, seeds):
        x = torch.linspace(-1, 1, 48).reshape(12, 4)[list(rows)].sin()
        return x, {"depth": x[:, :2] * 2, "normals": x[:, 1:].cos()}


def make_model(dropout=0.3):
    torch.manual_seed(0)
    encoder = Encoder(dropout)
    heads = {task: nn.Linear(5, spec.outputs) for task, spec in TASKS.items()}
    return MultiHeadModel(encoder, heads, TASKS, last_shared=encoder.last).train()


def make_step(model, parts=1):
    """One step of both tasks on eight rows, in so many parts."""
    loaded = []
    for part in range(parts):
        rows = tuple(range(8))[part::parts]
        loaded.append([LoadedBatch(TaskBatch(GROUP, rows, rows), *Rows().batch(rows, rows))])
    return LossMaker(model, TASKS, LOSSES, torch.device("cpu")).make(loaded)[0]


def parameters_of(model):
    heads = {task: model.head_parameters(task) for task in TASKS}
    return Parameters(model.shared_parameters(), heads, model.last_shared_parameters())


def flat(tensors):
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


class Toy:
    """What the toys share: no weights of their own, nothing at the end of an epoch."""

    needs = "all"

    def __init__(self, tasks, *, reduce=None):
        self.reduce, self.state = reduce, {}

    def after_step(self, losses):
        pass

    def parameters(self):
        return []

    def epoch_end(self):
        pass

    def state_dict(self):
        return dict(self.state)

    def load_state_dict(self, state):
        self.state = dict(state)


class GradNorm(Toy):
    """Chen et al. 2018, eq. 2: the gradient by w_k of sum of |w_k |g_k| - mean_j(w_j |g_j|) r_k^alpha|, g at `last`."""

    def __init__(self, tasks, *, alpha=1.5, reduce=None):
        super().__init__(tasks, reduce=reduce)
        self.alpha, self.weights = alpha, {task: Parameter(torch.ones(())) for task in tasks}

    def backward(self, losses, parameters):
        with torch.no_grad():
            total = sum(self.weights.values())
            for weight in self.weights.values():
                weight.mul_(len(self.weights) / total)
        values, norms = {}, {}
        for group in losses.groups():
            found = losses.together(group)
            for task in group:
                gradient = flat(torch.autograd.grad(found[task], list(parameters.last), retain_graph=True))
                norms[task] = (gradient if self.reduce is None else self.reduce(gradient)).norm()
            sum(self.weights[task].detach() * found[task] for task in group).div(len(losses)).backward()
            values |= {task: found[task].detach() for task in group}
        numbers = finite_values(values, self.reduce)
        self.state.setdefault("first", dict(numbers))
        rates = {task: value / self.state["first"][task] for task, value in numbers.items()}
        mean_rate = sum(rates.values()) / len(rates)
        mean_norm = sum(self.weights[task].item() * norms[task] for task in norms) / len(norms)
        for task, weight in self.weights.items():
            above = weight.detach() * norms[task] - mean_norm * (rates[task] / mean_rate) ** self.alpha
            weight.grad = torch.sign(above) * norms[task]
        return numbers

    def parameters(self):
        return list(self.weights.values())

    def state_dict(self):
        return self.state | {"weights": {task: weight.detach().clone() for task, weight in self.weights.items()}}

    def load_state_dict(self, state):
        with torch.no_grad():
            for task, weight in self.weights.items():
                weight.copy_(state["weights"][task])
        self.state = {key: value for key, value in state.items() if key != "weights"}


class Samo(Toy):
    """Each task's gradient at parameters moved by rho along its own slope, which two passes without a graph estimate
    along one random direction; shared and head parameters move."""

    rho, mu = 0.05, 1e-3

    def __init__(self, tasks, *, reduce=None):
        super().__init__(tasks, reduce=reduce)
        self.state = {"calls": 0}
        self.slopes = {}

    def backward(self, losses, parameters):
        generator = torch.Generator().manual_seed(self.state["calls"])
        self.state["calls"] += 1
        values = {}
        for task in losses:
            moved = [*parameters.shared, *parameters.heads[task]]
            direction = {each: torch.randn(each.shape, generator=generator) for each in moved}
            ends = []
            for sign in (1, -1):
                with torch.no_grad(), losses.at({each: sign * self.mu * d for each, d in direction.items()}):
                    ends.append(losses[task]())
            self.slopes[task] = (ends[0] - ends[1]) / (2 * self.mu)
            size = self.rho * torch.sign(self.slopes[task]) / flat(direction.values()).norm()
            with losses.at({each: size * d for each, d in direction.items()}):
                loss = losses[task]()
                (loss / len(losses)).backward()
            values[task] = loss.detach()
        return finite_values(values, self.reduce)


class Famo(Toy):
    """Liu et al. 2023: weights softmax(xi); xi follows the fall of each log loss over the step, on the same rows."""

    def __init__(self, tasks, *, beta=0.3, reduce=None):
        super().__init__(tasks, reduce=reduce)
        self.beta, self.state = beta, {"xi": torch.zeros(len(tasks))}

    def backward(self, losses, parameters):
        weights = torch.softmax(self.state["xi"], 0)
        found = losses.together(GROUP)
        stacked = torch.stack([found[task] for task in GROUP])
        factor = (weights / stacked.detach()).sum()
        ((weights * stacked.log()).sum() / factor / len(GROUP)).backward()
        self.before = stacked.detach().log()
        return finite_values(found, self.reduce)

    def after_step(self, losses):
        with torch.no_grad():
            after = torch.stack([losses.together(GROUP)[task] for task in GROUP]).log()
        weights = torch.softmax(self.state["xi"], 0)
        fall = self.before - after
        self.falls = [*getattr(self, "falls", []), fall]
        gradient = weights * (fall - (weights * fall).sum())
        self.state["xi"] = self.state["xi"] - self.beta * gradient


@pytest.mark.parametrize("parts", [1, 2])
def test_gradnorm_has_the_gradient_of_its_own_loss(parts):
    """Differentiated twice by autograd on the whole batch, parts or not."""
    model = make_model(dropout=0.0)
    model.backbone.norm.eval()
    balancer = GradNorm(TASKS)
    with torch.no_grad():
        balancer.weights["depth"].fill_(0.6), balancer.weights["normals"].fill_(1.4)
    balancer.state["first"] = {"depth": 3.0, "normals": 0.4}
    numbers = balancer.backward(make_step(model, parts), parameters_of(model))
    weights = {task: torch.tensor(value, requires_grad=True) for task, value in [("depth", 0.6), ("normals", 1.4)]}
    losses = make_step(model).together(GROUP)
    norms = [
        flat(
            torch.autograd.grad(weights[task] * losses[task], list(model.backbone.last.parameters()), create_graph=True)
        ).norm()
        for task in GROUP
    ]
    rates = [losses[task].item() / balancer.state["first"][task] for task in GROUP]
    target = [sum(norms).detach() / 2 * (rate / (sum(rates) / 2)) ** 1.5 for rate in rates]
    sum((norm - goal).abs() for norm, goal in zip(norms, target, strict=True)).backward()
    for task in GROUP:
        assert numbers[task] == pytest.approx(losses[task].item(), rel=1e-5)
        assert balancer.weights[task].grad.item() == pytest.approx(weights[task].grad.item(), rel=1e-4)


def test_a_slope_without_a_graph_is_that_of_the_gradient():
    model = make_model()
    losses, balancer, parameters = make_step(model), Samo(TASKS), parameters_of(model)
    torch.manual_seed(1)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    balancer.backward(losses, parameters)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert model.backbone.norm.num_batches_tracked == 1
    found = [parameter.grad.clone() for parameter in parameters.shared]
    generator = torch.Generator().manual_seed(0)
    expected = 0
    for task in GROUP:
        moved = [*parameters.shared, *parameters.heads[task]]
        direction = [torch.randn(each.shape, generator=generator) for each in moved]
        gradient = torch.autograd.grad(losses[task](), moved)
        slope = (flat(gradient) * flat(direction)).sum().item()
        assert balancer.slopes[task].item() == pytest.approx(slope, rel=2e-2, abs=1e-3)
        size = (1 if slope > 0 else -1) * 0.05 / flat(direction).norm()
        with torch.no_grad():
            for each, d in zip(moved, direction, strict=True):
                each.add_(size * d)
        expected = expected + flat(torch.autograd.grad(losses[task](), list(parameters.shared))) / 2
        with torch.no_grad():
            for each, value in zip(model.parameters(), before, strict=True):
                each.copy_(value)
    torch.testing.assert_close(flat(found), expected, rtol=1e-4, atol=1e-6)


def test_a_graph_from_without_does_not_run_within():
    """The saved weights would be others: autograd says so, whichever way round."""
    model = make_model()
    losses = make_step(model)
    shift = {parameter: 0.1 * torch.ones_like(parameter) for parameter in model.parameters()}
    loss = losses["depth"]()
    with losses.at(shift):
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()
        inside = losses["depth"]()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        inside.backward()


def test_features_and_losses_are_in_one_graph():
    """The saliency of Rep-MTL: the gradient of each task by the shared representation, and a penalty of it."""
    model = make_model()
    losses = make_step(model)
    torch.manual_seed(3)
    features, found = losses.encoded(GROUP)
    assert model.backbone.passes == 1 and set(features) == {"latent"} and features["latent"].shape == (8, 5)
    saliency = {task: torch.autograd.grad(found[task], features["latent"], create_graph=True)[0] for task in GROUP}
    _, targets = Rows().batch(range(8), range(8))
    for task in GROUP:
        head = model.head(task)
        error = head(features["latent"]) - targets[task]
        torch.testing.assert_close(saliency[task], 2 * error @ head.weight / error.numel())
    share = torch.stack([each.norm(dim=1) for each in saliency.values()]).softmax(dim=0)
    penalty = -(share * share.log()).sum(dim=0).mean()
    (sum(found.values()) / 2 + 0.1 * penalty).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters() if parameter.ndim > 1)
    # Called again it is the same function; and it is the one of `together`.
    again = losses.encoded(GROUP)
    assert torch.equal(again[0]["latent"], features["latent"]) and model.backbone.norm.num_batches_tracked == 1
    assert {task: loss.item() for task, loss in again[1].items()} == {
        task: loss.item() for task, loss in losses.together(GROUP).items()
    }


def test_features_that_are_never_all_there_are_refused():
    with pytest.raises(ValueError, match=r"worked on in parts.*no micro_batches"):
        make_step(make_model(), parts=2).encoded(GROUP)
    with pytest.raises(ValueError, match="tells no features of depth"):
        StepLosses({"depth": lambda: torch.zeros(())}).encoded(("depth",))


def test_gradients_of_parts_are_differentiated_once():
    """Their graphs are gone, so a second derivative would be zero without a word."""
    model = make_model()
    loss = make_step(model, parts=2)["depth"]() * torch.ones((), requires_grad=True)
    (gradient,) = torch.autograd.grad(loss, [model.backbone.last.weight], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()


class Stopped(Exception):
    pass


def stop(done):
    if done == 7:
        raise Stopped


@pytest.mark.parametrize("toy", [GradNorm, Samo, Famo])
def test_the_loop_trains_and_resumes_them(tmp_path, monkeypatch, toy):
    made = []
    monkeypatch.setattr(
        making, "SCALAR", {"toy": lambda tasks, *, reduce: made.append(toy(tasks, reduce=reduce)) or made[-1]}
    )
    config = TrainConfig(
        epochs=2, steps_per_epoch=5, batch_size=6, balancer="toy", learning_rate=2e-2, snapshot_every=3, clip_norm=1.0
    )
    info = RunInfo(
        application="toy", system="toy", preset="toy", tasks=TASKS.to_json(), configuration=config.model_dump()
    )

    def train(path, **options):
        model = make_model()
        with Run.begin(path, info, resume=options.get("resume", False)) as run:
            fit(model, LOSSES, {GROUP: Rows()}, config, run, progress="quiet", **options)
        return model

    whole = train(tmp_path / "whole")
    with pytest.raises(Stopped):
        train(tmp_path / "run", on_step=stop)
    resumed = train(tmp_path / "run", resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    lines = Run.open(tmp_path / "whole").metrics()
    assert sum(lines[-1]["losses"].values()) < sum(lines[0]["losses"].values())
    if toy is GradNorm:
        assert sum(weight.item() for weight in made[0].weights.values()) == pytest.approx(2, abs=0.1)
        assert made[0].weights["depth"].item() != 1.0
    if toy is Famo:
        # The running statistics move in the first evaluation of a step alone.
        assert whole.backbone.norm.num_batches_tracked == 10 and len(made[0].falls) == 10
        assert sum(fall.sum().item() for fall in made[0].falls) > 0
