"""Where a training starts: normalisation of its samples, and the networks of another run as they were before polish."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from domains.pde.data.samples import OperatorData
from domains.pde.networks.model import WeightedProduct, backbone_of
from domains.pde.saved import load_run
from polyhead.model import MultiHeadModel
from polyhead.runs.run import Run
from polyhead.runs.weights import load_tensors, save_tensors
from polyhead.training.start import start_from

UNPOLISHED_FILE = "unpolished.safetensors"
"""The weights that a polish replaced. They fit the training samples less closely, and carry over to others better."""


def keep_unpolished(run: Run, trained: Mapping[str, Tensor], polished: Mapping[str, Tensor]) -> None:
    """Writes those of the trained weights that the polish replaced."""
    replaced = {name: values for name, values in trained.items() if not torch.equal(values, polished[name])}
    save_tensors(run.path / UNPOLISHED_FILE, replaced)


def forget_unpolished(run: Run) -> None:
    """Removes what a former training in this folder kept."""
    (run.path / UNPOLISHED_FILE).unlink(missing_ok=True)


def load_unpolished(source: Path) -> MultiHeadModel:
    """The model of a run, with the weights from before its polish where there are such.

    Raises:
        ValueError: not a run of this application, or its weights are damaged.
    """
    model, _, _ = load_run(source)
    file = source / UNPOLISHED_FILE
    if file.is_file():
        found = start_from(model, load_tensors(file), strict=False)
        strange = [*found.unexpected, *found.reshaped]
        if strange:
            raise ValueError(f"{file} is of another network: it has {strange[0]}")
    return model


def set_statistics(
    model: MultiHeadModel,
    data: Mapping[str, OperatorData],
    chosen: Mapping[str, str],
    rows: Mapping[str, np.ndarray],
    *,
    encoding_only: bool = False,
) -> None:
    """Sets every problem's normalisation to that of its training samples."""
    for name, samples in data.items():
        used = np.sort(np.concatenate([rows[task] for task, problem in chosen.items() if problem == name]))
        network = backbone_of(model).network(name)
        network.encoding.fit(samples, used)
        if not encoding_only:
            network.scaling.fit(samples, used)


def take_networks(
    model: MultiHeadModel,
    source: Path,
    data: Mapping[str, OperatorData],
    chosen: Mapping[str, str],
    rows: Mapping[str, np.ndarray],
) -> None:
    """Takes branches, trunks, field scalings and shared bodies of a run; encodings are set to the new samples'."""
    given = load_unpolished(source)
    theirs, mine = backbone_of(given), backbone_of(model)
    problems = list(dict.fromkeys(task.reads for task in given.tasks.values()))
    taken: list[tuple[nn.Module, nn.Module]] = [(mine.bodies, theirs.bodies)]
    for name in data:
        other = name if name in problems else problems[0] if len(problems) == 1 else None
        if other is None:
            raise ValueError(f"{source} has no problem {name!r}; it has {', '.join(problems)}")
        taken.append((mine.network(name), theirs.network(other)))
    try:
        for own, its in taken:
            start_from(own, its.state_dict())
    except ValueError as failure:
        raise ValueError(f"{source}: its networks are not of this configuration: {failure}") from failure
    set_statistics(model, data, chosen, rows, encoding_only=True)
    heads = [head for task in given.tasks if isinstance(head := given.head(task), WeightedProduct)]
    for task in model.tasks:
        head = model.head(task)
        if isinstance(head, WeightedProduct) and heads:
            with torch.no_grad():
                like = [own] if task in given.tasks and isinstance(own := given.head(task), WeightedProduct) else heads
                head.weight.copy_(torch.stack([each.weight for each in like]).mean(0))
                head.bias.copy_(torch.stack([each.bias for each in like]).mean(0))
