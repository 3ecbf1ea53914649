"""One backbone, many heads: the shared part runs once, each head reads the feature that its task names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from polyhead.tasks import TaskSet

Rows = Mapping[str, Tensor]
"""For each name the 1-D int64 indices, ascending, of the inputs that are concerned."""


Feature = Any
"""A tensor, or lists, tuples and dicts of tensors, rows along the first dimension of each."""

Encode = Callable[[Any, Mapping[str, Tensor | None]], dict[str, Feature]]
"""A backbone: inputs and the features needed, each with the rows that need it, to those features."""


def _module_key(task: str) -> str:
    """A module name for any task name: module names may hold no dot and must not shadow an attribute."""
    return "task_" + quote(task, safe="").replace(".", "%2E")


class MultiHeadModel(nn.Module):
    """A shared backbone and one head a task.

    The backbone is called as ``backbone(inputs, needed)``, where `needed` maps the names of the features that are
    wanted to the rows they are wanted for (or to None for all rows), and returns those features and no others; row i
    of a feature belongs to the i-th of its rows. A head is called with the feature that its task reads, and one that
    has an attribute ``takes_inputs`` set also with the inputs, of the same rows.

    Args:
        backbone: the shared part.
        heads: one module a task; their names must be those of `tasks`.
        tasks: what the heads answer.
        last_shared: the last layer of the backbone, by which methods that balance gradients there differentiate; None
            takes the last module of the backbone, in order of registration, that has parameters of its own to train.
    """

    def __init__(
        self,
        backbone: nn.Module,
        heads: Mapping[str, nn.Module],
        tasks: TaskSet,
        *,
        last_shared: nn.Module | None = None,
    ):
        super().__init__()
        if set(heads) != set(tasks):
            raise ValueError(f"heads and tasks differ: {sorted(set(heads) ^ set(tasks))}")
        self.backbone = backbone
        self.tasks = tasks
        self.heads = nn.ModuleDict({_module_key(task): heads[task] for task in tasks})
        # In a tuple, so that the layer is not registered a second time.
        self._last_shared = (last_shared,)

    def head(self, task: str) -> nn.Module:
        return self.heads[_module_key(self.tasks[task].name)]

    def encode(self, inputs: Any, needed: Mapping[str, Tensor | None]) -> dict[str, Feature]:
        """The named features of `inputs`, each for the rows that need it, with one pass of the shared part."""
        return self.backbone(inputs, needed)

    def answer(self, features: Mapping[str, Feature], tasks: Sequence[str], inputs: Any = None) -> dict[str, Any]:
        """The raw outputs of the heads of `tasks`, on all rows of the features that they read."""
        return {task: self._ask(task, features[self.tasks[task].reads], inputs) for task in tasks}

    def _ask(self, task: str, feature: Feature, inputs: Any) -> Any:
        head = self.head(task)
        return head(feature, inputs) if getattr(head, "takes_inputs", False) else head(feature)

    def forward(self, inputs: Any, tasks: str | Sequence[str]) -> Any:
        """A training step's view of the model: tasks on all rows of `inputs`, which are encoded once.

        Returns:
            the raw output of the task, or for several a dict of them.
        """
        asked = [tasks] if isinstance(tasks, str) else list(tasks)
        features = self.encode(inputs, dict.fromkeys([self.tasks[task].reads for task in asked]))
        outputs = self.answer(features, asked, inputs)
        return outputs[tasks] if isinstance(tasks, str) else outputs

    def answer_rows(self, inputs: Any, rows: Rows, *, encode: Encode | None = None) -> dict[str, Any]:
        """A batch that mixes tasks: each input is encoded once, each head sees the rows that ask for it.

        Args:
            inputs: a batch as the backbone takes it.
            rows: for each task asked, the rows that ask for it; a row may stand under several tasks.
            encode: a quicker stand-in for the backbone, called as it is.

        Returns:
            For each task its raw output, row i belonging to ``rows[task][i]``.
        """
        needed = feature_rows(self.tasks, rows)
        features = (encode or self.backbone)(inputs, needed)
        outputs = {}
        for task, wanted in rows.items():
            reads = self.tasks[task].reads
            position = torch.searchsorted(needed[reads], wanted)
            whole = len(position) == len(needed[reads])
            feature = features[reads] if whole else select_rows(features[reads], position)
            sees = getattr(self.head(task), "takes_inputs", False)
            outputs[task] = self._ask(task, feature, select_rows(inputs, wanted) if sees else None)
        return outputs

    def shared_parameters(self) -> list[nn.Parameter]:
        return list(self.backbone.parameters())

    def head_parameters(self, task: str) -> list[nn.Parameter]:
        return list(self.head(task).parameters())

    def last_shared_parameters(self) -> list[nn.Parameter]:
        """The parameters of the last shared layer; none where the backbone is frozen."""
        (layer,) = self._last_shared
        if layer is not None:
            return list(layer.parameters())
        found: list[nn.Parameter] = []
        for module in self.backbone.modules():
            own = [parameter for parameter in module.parameters(recurse=False) if parameter.requires_grad]
            found = own or found
        return found


def select_rows(tree: Feature, rows: Tensor) -> Feature:
    """Rows of every tensor of a tree, along the first dimension."""
    return tree_map_only(Tensor, lambda tensor: tensor.index_select(0, rows.to(tensor.device)), tree)


def task_rows(asked: Sequence[Iterable[str]]) -> dict[str, Tensor]:
    """Turns the tasks asked of each input into the rows of each task, tasks in order of first appearance."""
    rows: dict[str, list[int]] = {}
    for index, tasks in enumerate(asked):
        for task in dict.fromkeys(tasks):
            rows.setdefault(task, []).append(index)
    return {task: torch.tensor(indices, dtype=torch.int64) for task, indices in rows.items()}


def feature_rows(tasks: TaskSet, rows: Rows) -> dict[str, Tensor]:
    """The rows for which each feature is needed, ascending and each once."""
    wanted: dict[str, list[Tensor]] = {}
    for task, indices in rows.items():
        wanted.setdefault(tasks[task].reads, []).append(indices)
    return {feature: torch.unique(torch.cat(parts)) for feature, parts in wanted.items()}
