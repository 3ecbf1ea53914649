"""A training that is prepared: its parts, one step of it, and what it writes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import send_to_device, set_seed
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from polyhead.balance import Balancer, NonFiniteLoss, Parameters, make_balancer
from polyhead.runs.differences import differences, refuse_differences
from polyhead.runs.run import FROZEN_FILE, Run
from polyhead.runs.snapshots import latest_snapshot, save_snapshot
from polyhead.runs.weights import state_digest
from polyhead.settings import with_defaults
from polyhead.system.memory import channels_last, to_channels_last
from polyhead.system.ranks import Ranks
from polyhead.tasks import TaskSet
from polyhead.training.average import Average
from polyhead.training.loading import Data, LoadedBatch, batch_keys, load_steps
from polyhead.training.optimizers import Grouping, by_owner, make_optimizer, set_learning_rates
from polyhead.training.sampling import Group, Step, StepsAhead, TaskSampler, shard
from polyhead.training.settings import TrainConfig
from polyhead.training.state import Best, TrainingState, random_states, restore_random_states
from polyhead.training.states import frozen_state, inexact_buffers, trained_state
from polyhead.training.step_losses import BatchLosses, Loss, LossMaker
from polyhead.training.validation import Validation, checked, modules_under

if TYPE_CHECKING:
    from polyhead.model import MultiHeadModel

LAYOUT = 2
"""Of the content of snapshots."""


class TrainingDiverged(ValueError):
    """A loss or a gradient that is infinite or not a number; the weights before that step are untouched.

    Running statistics of the model in memory have seen that step; those in the run have not.
    """


@dataclass
class Training:
    """A training that is ready to step.

    Attributes:
        batches: for each step to come its parts, and in each its batches.
        identity: what must be the same where a snapshot is gone on from.
        done: steps done.
        kept: step of the last snapshot.
        remarks: lines for people.
    """

    model: MultiHeadModel
    config: TrainConfig
    run: Run
    ranks: Ranks
    state: TrainingState
    losses: LossMaker
    parameters: Parameters
    batches: Generator[list[list[LoadedBatch]], None, None]
    identity: Mapping[str, Any]
    steps_per_epoch: int
    done: int = 0
    kept: int | None = None
    remarks: list[str] = field(default_factory=list)
    _last: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        optimised = [parameter for group in self.state.optimizer.param_groups for parameter in group["params"]]
        self._optimised: list[Tensor] = optimised
        self._own = [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    @property
    def total(self) -> int:
        return self.config.epochs * self.steps_per_epoch

    def step(self, loaded: list[list[LoadedBatch]]) -> dict[str, Any]:
        """One optimiser step; what metrics.jsonl says of it."""
        ranks, optimizer = self.ranks, self.state.optimizer
        step = self.state.steps.take()
        parts: Any = send_to_device(loaded, ranks.device, non_blocking=True)
        if self.config.channels_last:
            parts = [[_formatted(batch) for batch in part] for part in parts]
        rate = set_learning_rates(optimizer, self.config, step.index, self.steps_per_epoch)
        optimizer.zero_grad(set_to_none=True)
        losses, batches = self.losses.make(parts)
        try:
            values = self.state.balancer.backward(losses, self.parameters)
        except NonFiniteLoss as error:
            raise self._diverged(str(error), step, error.task) from error
        named = _named_parts(batches, ranks)
        for task, found in named.items():
            for name, value in found.items():
                if not math.isfinite(value):
                    raise self._diverged(f"the part {name!r} of the loss of task {task!r} is {value}", step, task)
        ranks.average_(parameter.grad for parameter in self._optimised if parameter.grad is not None)
        norm = nn.utils.get_total_norm([each.grad for each in self._own if each.grad is not None])
        size = norm.item()
        if not math.isfinite(size):
            raise self._diverged(f"the norm of the gradient is {size}", step, None)
        if self.config.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(self._own, self.config.clip_norm, norm)
        optimizer.step()
        self.state.balancer.after_step(losses)
        ranks.average_(inexact_buffers(self.model))
        if self.state.average is not None:
            self.state.average.update()
        self.done = step.index + 1
        now, before = time.monotonic(), self._last
        self._last = now
        numbers = {task: value / self.model.tasks[task].weight for task, value in values.items()}
        line = {"losses": numbers, "lr": rate, "gradient_norm": size, "seconds": round(now - before, 4)}
        return line | ({"parts": named} if named else {})

    def validate(self, validate: Callable[[nn.Module], Validation], epoch: int) -> str:
        """Validates and writes the metrics, and the weights if their mean score is the best so far; a line on it."""
        state, score, found = self.state, math.nan, {}
        if self.ranks.first:
            with state.answering() as model, torch.no_grad(), modules_under(self.losses.autocast, model):
                model.eval()
                score, found = checked(validate(model), list(self.model.tasks))
            self.model.train()
            self.run.append_metrics({"step": self.done, "epoch": epoch, "split": "validation", **found})
        score = self.ranks.first_says(score)
        if state.best.score is None or score > state.best.score:
            state.best = Best(score, epoch, self.done, 0, found)
            self.save_weights()
        else:
            state.best.since += 1
        self._last = time.monotonic()
        return f"epoch {epoch}: score {score:.4f}, best {state.best.score:.4f} of epoch {state.best.epoch}"

    def save_weights(self) -> None:
        """Writes the weights that answer."""
        if self.ranks.first:
            with self.state.answering() as model:
                self.run.save_weights(trained_state(model))

    def save_snapshot(self) -> None:
        """Writes what is needed to go on from here."""
        generators = self.ranks.gather(random_states(self.ranks.device))
        if self.ranks.first:
            content = {"layout": LAYOUT, **self.identity, "training": self.state.state_dict(), "random": generators}
            save_snapshot(self.run.snapshots, self.done, content)
        self.kept = self.done

    def _diverged(self, what: str, step: Step, task: str | None) -> TrainingDiverged:
        rows = "; ".join(
            f"{batch.name} {', '.join(map(str, batch.rows))}"
            for batch in step.batches
            if task is None or task in batch.tasks
        )
        kept = f"the snapshot of step {self.kept} in {self.run.snapshots} is kept"
        saved = kept if self.kept else "there is no snapshot before it"
        return TrainingDiverged(
            f"step {step.index + 1}: {what} (rows: {rows}); {saved}; look at these rows, lower the learning rate or "
            "clip"
        )


def prepare(
    model: MultiHeadModel,
    losses: Mapping[str, Loss],
    data: Data,
    config: TrainConfig,
    run: Run,
    *,
    resume: bool = False,
    base: str | None = None,
    groups: Grouping = by_owner,
) -> Training:
    """Everything that `fit` needs before its first step; see there."""
    tasks = model.tasks
    data = {(each,) if isinstance(each, str) else tuple(each): rows for each, rows in data.items()}
    for what, given in (("loss", losses), ("data", [task for group in data for task in group])):
        if set(given) != set(tasks):
            raise ValueError(f"{what} and tasks of the model differ in: {', '.join(sorted(set(given) ^ set(tasks)))}")
    data = _weighted(model, data)
    ranks = Ranks(config.device)
    set_seed(config.seed + ranks.index)
    sampler = TaskSampler(
        {group: len(rows) for group, rows in data.items()},
        batch_size=_batch_sizes(config, model, data),
        tasks_per_step=config.tasks_per_step,
        policy=config.sampler,
        temperature=config.temperature,
        seed=config.seed,
        keys=batch_keys(data),
    )
    balancer = make_balancer(config.balancer, config.balancer_options, tasks, reduce=ranks.mean)
    trained = [tuple(task for task in group if tasks[task].weight > 0) for group in data]
    _check_needs(balancer, config, trained)
    model.to(ranks.device)
    if config.channels_last:
        to_channels_last(model)
    ranks.same([*model.parameters(), *model.buffers()])
    steps_per_epoch = config.steps_per_epoch or sampler.steps_per_epoch
    total = config.epochs * steps_per_epoch
    identity = {
        "config": config.model_dump(mode="json"),
        "rows": sampler.sizes,
        "tasks": tasks.to_json(),
        "ranks": ranks.world,
        "frozen": _keep_frozen(model, run, base, ranks),
    }
    found = latest_snapshot(run.snapshots) if resume else None
    if resume and found is None:
        _refuse_lost_snapshots(run, config)
    done, saved = found if found is not None else (0, None)
    if saved is not None:
        if not isinstance(saved, dict) or saved.get("layout") != LAYOUT:
            raise ValueError(
                f"{run.path} cannot be resumed: the snapshot of step {done} was made by another version of polyhead; "
                "finish the training with that version, or begin anew with --overwrite"
            )
        there = saved | {
            "config": with_defaults(TrainConfig, saved["config"]),
            "tasks": TaskSet.from_json(saved["tasks"]).to_json(),
        }
        changed = [line for key in identity for line in differences(there[key], identity[key], key)]
        refuse_differences(run.path, changed)
        sampler.load_state_dict(saved["training"]["sampler"])
    average = None if config.ema_decay is None else Average(model, config.ema_decay, warmup=config.ema_warmup)
    optimizer = make_optimizer(model, config, groups=groups, learned=balancer.parameters())
    steps = StepsAhead(sampler, total - done)
    state = TrainingState(model, average, optimizer, balancer, steps)
    if saved is not None:
        state.load_state_dict(saved["training"])
        restore_random_states(saved["random"][ranks.index], ranks.device)
    if resume and ranks.first:
        run.truncate_metrics(done)
    parts = partial(_parts, ranks=ranks, count=config.micro_batches)
    # A new context each time: one that is entered within itself would not be left.
    autocast = partial(torch.autocast, ranks.device.type, torch.bfloat16, enabled=config.precision == "bf16")
    model.train()
    remarks = [f"going on from the snapshot of step {done}" if done else "no snapshot: from the start"]
    return Training(
        model,
        config,
        run,
        ranks,
        state,
        LossMaker(model, tasks, losses, ranks.device, autocast),
        _parameters(model),
        load_steps(data, map(parts, steps), workers=config.workers, pin_memory=ranks.device.type == "cuda"),
        identity,
        steps_per_epoch,
        done,
        None if saved is None else done,
        [*(remarks if resume else []), *_short_of_the_top(config, total)],
    )


def _refuse_lost_snapshots(run: Run, config: TrainConfig) -> None:
    """Beginning anew would drop what a training has done that had snapshots, which are gone."""
    steps = max((line["step"] for line in run.metrics()), default=0)
    if steps > config.snapshot_every:
        raise ValueError(
            f"{run.path} cannot be resumed: it has trained {steps} steps and has no snapshot; bring back "
            f"{run.snapshots.name}/, or begin anew with --overwrite"
        )


def _weighted(model: MultiHeadModel, data: Mapping[Group, Any]) -> dict[Group, Any]:
    """The data of tasks that are trained: some of those that share them have a weight above 0."""
    found = {group: rows for group, rows in data.items() if any(model.tasks[task].weight > 0 for task in group)}
    if not found:
        raise ValueError("nothing to train: every task has the weight 0")
    return found


def _batch_sizes(config: TrainConfig, model: MultiHeadModel, data: Mapping[Group, Any]) -> int | dict[str, int]:
    """The configured sizes, without those of tasks that are in no step."""
    if isinstance(config.batch_size, int):
        return config.batch_size
    met = {task for group in data for task in group}
    return {task: size for task, size in config.batch_size.items() if task in met or task not in model.tasks}


def _check_needs(balancer: Balancer, config: TrainConfig, groups: list[Group]) -> None:
    """Refuses steps that may hold fewer tasks that are trained than the balancer needs."""
    sizes = sorted(len(group) for group in groups)
    fewest, tasks = sum(sizes[: config.tasks_per_step]), sum(sizes)
    if balancer.needs == "several" and fewest < 2 <= tasks:
        raise ValueError(f"balancer {config.balancer!r} weighs tasks of one step: set tasks_per_step to at least 2")
    if balancer.needs == "all" and (fewest < tasks or (config.sampler == "proportional" and len(groups) > 1)):
        raise ValueError(
            f"balancer {config.balancer!r} tells the tasks apart, so all must meet in every step: set tasks_per_step "
            f"to {len(groups)} and a sampler other than proportional"
        )


def _keep_frozen(model: MultiHeadModel, run: Run, base: str | None, ranks: Ranks) -> str | None:
    """Sees to it that the frozen weights can be had again; their digest, None where nothing is frozen."""
    frozen = frozen_state(model)
    if not frozen:
        return None
    named = {"source": base or FROZEN_FILE, "sha256": state_digest(frozen)}
    if run.info.base not in (None, named):
        raise ValueError(f"{run.path} cannot be resumed: its frozen weights, of {run.info.base['source']}, are others")
    if ranks.first and run.info.base is None:
        if base is None:
            run.save_frozen(frozen)
        run.info = run.info.model_copy(update={"base": named})
        run.save_info()
    return named["sha256"]


def _parameters(model: MultiHeadModel) -> Parameters:
    def trained(parameters: list[nn.Parameter]) -> list[nn.Parameter]:
        return [parameter for parameter in parameters if parameter.requires_grad]

    heads = {task: trained(model.head_parameters(task)) for task in model.tasks}
    last = model.last_shared_parameters() if hasattr(model, "last_shared_parameters") else []
    return Parameters(trained(model.shared_parameters()), heads, trained(last))


def _parts(step: Step, *, ranks: Ranks, count: int) -> list[Step]:
    """The parts of a step that this rank works on, one after the other."""
    return [shard(step, ranks.index * count + part, ranks.world * count) for part in range(count)]


def _formatted(batch: LoadedBatch) -> LoadedBatch:
    return batch._replace(inputs=tree_map_only(Tensor, channels_last, batch.inputs))


def _short_of_the_top(config: TrainConfig, total: int) -> list[str]:
    if config.warmup_steps < total:
        return []
    return [
        f"the warm-up of {config.warmup_steps} steps is no shorter than the training of {total}: "
        "the learning rate never reaches its top"
    ]


def _named_parts(batches: list[BatchLosses], ranks: Ranks) -> dict[str, dict[str, float]]:
    """The named parts of the losses of each task, mean over ranks."""
    named = {task: parts for batch in batches for task, parts in batch.named.items()}
    places = [(task, name) for task, parts in named.items() for name in parts]
    if not places:
        return {}
    values = ranks.mean(torch.stack([named[task][name].float() for task, name in places])).tolist()
    found: dict[str, dict[str, float]] = {}
    for (task, name), value in zip(places, values, strict=True):
        found.setdefault(task, {})[name] = value
    return found
