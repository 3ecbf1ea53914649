"""Balancers by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from polyhead.balance.protocol import Balancer, Reduce
from polyhead.balance.scalar import DynamicWeightAverage, Fixed, Uncertainty
from polyhead.registry import UnknownName
from polyhead.tasks import TaskSet


def _equal(tasks: TaskSet, *, reduce: Reduce | None) -> Balancer:
    return Fixed(tasks, reduce=reduce)


def trained_tasks(tasks: TaskSet) -> TaskSet:
    """The tasks that steps hold: those whose `TaskSpec.weight` is above 0."""
    return TaskSet(task for task in tasks.values() if task.weight > 0)


SCALAR: Mapping[str, Callable[..., Balancer]] = {
    "equal": _equal,
    "fixed": Fixed,
    "uncertainty": Uncertainty,
    "dwa": DynamicWeightAverage,
}
"""The balancers that weight losses; every other name is that of an aggregator of gradients."""


def make_balancer(
    name: str, options: Mapping[str, Any] | None, tasks: TaskSet, *, reduce: Reduce | None = None
) -> Balancer:
    """A balancer by name.

    It is given losses that are multiplied by their `TaskSpec.weight` already, so that weights act with every balancer;
    tasks of weight 0 are in no step.

    Args:
        name: ``equal``, ``fixed``, ``uncertainty``, ``dwa``, or the name of a TorchJD aggregator such as ``UPGrad``.
        options: keyword arguments of the balancer; lists of numbers become tensors for TorchJD.
        tasks: all tasks of the model.
        reduce: averages a tensor over ranks; None on one rank.

    Raises:
        UnknownName: an unknown name; lists the near ones.
        ValueError: options that do not fit, a TorchJD extra that is not installed, a state that cannot be saved, no
            task with a weight, weights that the aggregator would not obey.
    """
    weighted = trained_tasks(tasks)
    if not weighted:
        raise ValueError("every task has weight 0: give at least one a positive weight")
    given = (options or {}).get("weights")
    idle = [task for task in given if task in tasks and task not in weighted] if isinstance(given, Mapping) else []
    if idle:
        raise ValueError(f"balancer {name!r} cannot weigh task {idle[0]!r}: its own weight is 0, so no step holds it")
    try:
        if name in SCALAR:
            return SCALAR[name](weighted, reduce=reduce, **(options or {}))
        # Only here, since TorchJD imports every solver that is installed.
        from polyhead.balance.jacobian import JacobianBalancer, aggregator_names

        if name not in aggregator_names():
            raise UnknownName(f"unknown balancer {name!r}; known: {', '.join(_near(name, aggregator_names()))}")
        return JacobianBalancer(name, weighted, reduce=reduce, options=options or {})
    except TypeError as error:
        raise ValueError(f"balancer {name!r}: options {dict(options or {})} do not fit: {error}") from error


def _near(name: str, aggregators: Iterable[str]) -> list[str]:
    """The known names like `name` whatever their case, or all."""
    known = {candidate.lower(): candidate for candidate in [*SCALAR, *aggregators]}
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    return [known[match] for match in near or known]
