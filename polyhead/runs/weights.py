"""Weights in a safetensors file: tied tensors once, whole or absent, damage as one line; and what fits a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from polyhead.system.files import replacing

_NAMED = 3
"""Weights that a line names of each kind."""


@dataclass(frozen=True)
class Loaded:
    """What became of weights that a model was given; names are the model's.

    Attributes:
        loaded: taken.
        missing: the model has it, and it was not given.
        unexpected: given, and the model has it not.
        reshaped: both have it, in different shapes: ``name (given shape, own shape)``.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    reshaped: tuple[str, ...] = ()

    @classmethod
    def of(cls, own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Loaded:
        """Holds given weights against a model's own."""
        both = [name for name in own if name in given]
        other = {name: (tuple(given[name].shape), tuple(own[name].shape)) for name in both}
        other = {name: shapes for name, shapes in other.items() if shapes[0] != shapes[1]}
        return cls(
            tuple(name for name in both if name not in other),
            tuple(name for name in own if name not in given),
            tuple(name for name in given if name not in own),
            tuple(f"{name} ({given} for {own})" for name, (given, own) in other.items()),
        )

    @property
    def whole(self) -> bool:
        """Whether each given weight has its place, and each place its weight."""
        return not (self.missing or self.unexpected or self.reshaped)

    @property
    def misfits(self) -> str:
        """What was not taken, in one line; empty where all was."""
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.reshaped}
        return "; ".join(f"{len(names)} {kind}: {_some(names)}" for kind, names in kinds.items() if names)

    def __str__(self) -> str:
        return f"{len(self.loaded)} weights loaded" + ("" if self.whole else f"; {self.misfits}")


def save_tensors(file: Path, state: Mapping[str, Tensor]) -> None:
    """Replaces `file` by a state dict. Tensors that are one (tied weights) are written once and named twice."""
    unique: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    seen: dict[tuple, str] = {}
    for name, tensor in state.items():
        tensor = tensor.detach()
        place = (tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if tensor.numel() and place in seen:
            aliases[name] = seen[place]
            continue
        seen[place] = name
        unique[name] = tensor.cpu().contiguous()
    shared_storage = len({tensor.untyped_storage().data_ptr() for tensor in unique.values()}) < len(unique)
    if shared_storage:  # views of one buffer that are not equal: safetensors wants each on its own
        unique = {name: tensor.clone() for name, tensor in unique.items()}
    with replacing(file) as temporary:
        save_file(unique, temporary, metadata={"aliases": json.dumps(aliases)})


def load_tensors(file: Path) -> dict[str, Tensor]:
    """The state dict of a file, on the CPU; a damaged one is a `ValueError`."""
    try:
        with safe_open(file, framework="pt") as reader:
            tensors = {name: reader.get_tensor(name) for name in reader.keys()}  # noqa: SIM118
            aliases = json.loads((reader.metadata() or {}).get("aliases", "{}"))
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    return tensors | {name: tensors[source] for name, source in aliases.items()}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def state_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values, whatever their order, hexadecimal."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
