"""Validating a model within a training: what a validation says, and in which precision it is found."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from accelerate.utils.operations import convert_to_fp32
from torch import nn


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes:
        metrics: for each task its metrics; None for one that the data do not define.
        scores: for every task of the model one number in [0, 1], higher is better; their mean chooses the weights.
    """

    metrics: Mapping[str, Mapping[str, float | None]]
    scores: Mapping[str, float]


def checked(validation: Validation, tasks: list[str]) -> tuple[float, dict[str, Any]]:
    """The mean score and what metrics.jsonl says of a validation; one that lacks or breaks something is a
    `ValueError`."""
    missing = [task for task in tasks if validation.scores.get(task) is None]
    if missing:
        raise ValueError(f"the validation has no score for: {', '.join(missing)}; every task counts")
    strange = sorted(set(validation.scores) - set(tasks))
    if strange:
        raise ValueError(f"the validation scores tasks that the model lacks: {', '.join(strange)}")
    scores = {task: float(validation.scores[task]) for task in tasks}
    for task, value in scores.items():
        if not 0 <= value <= 1:
            raise ValueError(f"the score of task {task!r} must lie in [0, 1], got {value}")
    metrics = {task: dict(values) for task, values in validation.metrics.items()}
    for task, values in metrics.items():
        for name, value in values.items():
            if value is not None and not math.isfinite(value):
                raise ValueError(f"the metric {name!r} of task {task!r} is {value}; give None where it is not defined")
    score = sum(scores.values()) / len(scores)
    return score, {"score": score, "scores": scores, "metrics": metrics}


@contextmanager
def modules_under(autocast: Callable[[], AbstractContextManager[Any]], model: nn.Module) -> Iterator[None]:
    """Within, a model and its parts run under `autocast`, and what the model and its heads give is float32.

    What the caller computes from that, metrics above all, is not under it: a mean in bfloat16 has two digits.
    """
    open_contexts: list[AbstractContextManager[Any]] = []

    def enter(module: nn.Module, inputs: Any) -> None:
        context = autocast()
        context.__enter__()
        open_contexts.append(context)

    def leave(module: nn.Module, inputs: Any, outputs: Any) -> None:
        open_contexts.pop().__exit__(None, None, None)

    def widen(module: nn.Module, inputs: Any, outputs: Any) -> Any:
        return convert_to_fp32(outputs)

    parts = list(model.children())
    heads = [part for container in parts if isinstance(container, _CONTAINERS) for part in container.children()]
    with ExitStack() as hooks:
        for module in (model, *parts, *heads):
            hooks.callback(module.register_forward_pre_hook(enter).remove)
            hooks.callback(module.register_forward_hook(leave, always_call=True).remove)
        for module in (model, *heads):
            hooks.callback(module.register_forward_hook(widen).remove)
        try:
            yield
        finally:
            # An interrupt within a forward pass, which is no `Exception`, lets no hook leave what it entered.
            while open_contexts:
                open_contexts.pop().__exit__(None, None, None)


_CONTAINERS = (nn.ModuleDict, nn.ModuleList)
