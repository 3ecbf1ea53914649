"""Where a model begins: the weights of another run under new names, and what of them was taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from polyhead.runs.run import Run
from polyhead.runs.weights import Loaded


def start_from(
    model: nn.Module,
    source: Run | str | Path | Mapping[str, Tensor],
    *,
    rename: Sequence[tuple[str, str]] = (),
    strict: bool = True,
) -> Loaded:
    """Copies weights into a model, keeping its own devices and dtypes.

    Args:
        model: changed in place; weights that are not given stay as they are.
        source: a run, its folder, or a state dict.
        rename: pairs (prefix of the source, prefix of the model). Of the pairs whose first part a name begins with the
            longest counts; names that none fits stay as they are. An empty prefix fits every name.
        strict: weights that are missing, unexpected or of another shape are an error, and the model stays as it was;
            else they are passed over, and told.

    Raises:
        ValueError: no weights, damaged ones, two that would get one name, or, where `strict`, any that does not fit.
    """
    if isinstance(source, str | Path):
        source = Run.open(source)
    where = f"{source.path}: " if isinstance(source, Run) else ""
    state = source.load_weights() if isinstance(source, Run) else source
    given: dict[str, Tensor] = {}
    for name, values in state.items():
        new = _renamed(name, rename)
        if new in given:
            raise ValueError(f"{where}two weights would be called {new}: look at the names that are changed")
        given[new] = values
    own = model.state_dict()
    found = Loaded.of(own, given)
    if strict and not found.whole:
        raise ValueError(f"{where}the weights do not fit the model: {found.misfits}")
    with torch.no_grad():
        for name in found.loaded:
            own[name].copy_(given[name])
    return found


def _renamed(name: str, rename: Sequence[tuple[str, str]]) -> str:
    fitting = [pair for pair in rename if name.startswith(pair[0])]
    if not fitting:
        return name
    old, new = max(fitting, key=lambda pair: len(pair[0]))
    return new + name[len(old) :]
