"""Snapshots: nested state of tensors and plain values, exact to the bit, without pickle; damaged ones are found."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from polyhead.system.files import hash_file, sync_file, sync_folder

FORMAT = 1
KEPT = 2
TENSORS_FILE, TREE_FILE = "state.safetensors", "state.json"
_NAME = re.compile(r"step-(\d+)")
_TEMPORARY = re.compile(r"\.step-\d+\.(\d+)\.tmp")

log = logging.getLogger(__name__)


def save_snapshot(folder: Path, step: int, state: Any) -> Path:
    """Writes ``folder/step-N`` and removes all but the two snapshots that were written last.

    Args:
        folder: the snapshots of one run.
        step: number of steps done.
        state: nested dicts (any keys of the kinds below), lists and tuples of tensors, numpy arrays and scalars,
            numbers (infinities and NaN too), strings and None.

    Returns:
        The snapshot's folder. It appears whole or not at all.

    Raises:
        ValueError: for a value of another kind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, torch.Tensor] = {}
    tree = _encode(state, tensors, "state")
    target = folder / f"step-{step:010d}"
    temporary = folder / f".{target.name}.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    save_file(_apart(tensors), temporary / TENSORS_FILE)
    content = {"format": FORMAT, "step": step, "sha256": hash_file(temporary / TENSORS_FILE), "state": tree}
    (temporary / TREE_FILE).write_text(json.dumps(content), encoding="utf-8")
    for name in (TENSORS_FILE, TREE_FILE):
        sync_file(temporary / name)
    sync_folder(temporary)
    if target.exists():
        shutil.rmtree(target)
    temporary.rename(target)
    sync_folder(folder)
    _prune(folder)
    return target


def latest_snapshot(folder: Path) -> tuple[int, Any] | None:
    """Step and state of the snapshot that was written last, tensors on the CPU; None where there is none.

    One that cannot be read is passed over, with a warning, for the one before it.

    Raises:
        ValueError: there are snapshots, and none of them can be read.
    """
    unreadable = []
    for step, path in reversed(_snapshots(folder)):
        try:
            state = _load(path)
        except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError) as error:
            unreadable.append(f"{path.name}: {' '.join(str(error).split())}")
            continue
        for line in unreadable:
            log.warning("a snapshot in %s cannot be read and is passed over: %s", folder, line)
        return step, state
    if unreadable:
        raise ValueError(
            f"none of the snapshots in {folder} can be read ({'; '.join(unreadable)}): "
            "bring one back from a copy, or train anew, overwriting the run or in another folder"
        )
    return None


def _snapshots(folder: Path) -> list[tuple[int, Path]]:
    """Steps and folders of the snapshots in the order in which they were written."""
    if not folder.is_dir():
        return []
    try:
        found = [(int(match[1]), path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
        # A training that went on from an earlier snapshot writes lower numbers than those that lie there.
        return sorted(found, key=lambda snapshot: (snapshot[1].stat().st_mtime_ns, snapshot[0]))
    except OSError as error:
        raise ValueError(f"the snapshots in {folder} cannot be listed: {error.strerror or error}") from error


def _prune(folder: Path) -> None:
    for _, path in _snapshots(folder)[:-KEPT]:
        shutil.rmtree(path)
    for path in folder.iterdir():
        match = _TEMPORARY.fullmatch(path.name)
        if match and not _at_work(int(match[1])):
            shutil.rmtree(path)


def _at_work(process: int) -> bool:
    """Whether another process of that number runs; this one leaves no snapshot unfinished."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _load(path: Path) -> Any:
    content = json.loads((path / TREE_FILE).read_text(encoding="utf-8"))
    if content["format"] > FORMAT:
        raise ValueError(f"it is of format {content['format']}, this polyhead reads up to {FORMAT}")
    file = path / TENSORS_FILE
    if hash_file(file) != content["sha256"]:
        raise ValueError(f"{TENSORS_FILE} does not match its hash")
    with safe_open(file, framework="pt") as reader:
        tensors = {name: reader.get_tensor(name) for name in reader.keys()}  # noqa: SIM118
    return _decode(content["state"], tensors)


def _encode(value: Any, tensors: dict[str, torch.Tensor], where: str) -> Any:
    """JSON for `value`: plain values as they are, all else as a one-key object that names its kind."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, list):
        return [_encode(part, tensors, f"{where}[{i}]") for i, part in enumerate(value)]
    if isinstance(value, tuple):
        return {"tuple": [_encode(part, tensors, f"{where}[{i}]") for i, part in enumerate(value)]}
    if isinstance(value, dict):
        pairs = [
            [_encode(key, tensors, f"{where}.{key}"), _encode(part, tensors, f"{where}.{key}")]
            for key, part in value.items()
        ]
        return {"dict": pairs}
    if isinstance(value, torch.Tensor):
        return {"complex" if value.is_complex() else "tensor": _put(value, tensors)}
    if isinstance(value, np.ndarray | np.generic):
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        try:
            return {kind: _put(torch.from_numpy(np.array(value, order="C")), tensors)}
        except TypeError as error:
            raise ValueError(f"{where} cannot be saved: {error}") from error
    raise ValueError(f"{where} cannot be saved: it is a {type(value).__name__}")


def _put(tensor: torch.Tensor, tensors: dict[str, torch.Tensor]) -> str:
    name = f"t{len(tensors)}"
    plain = torch.view_as_real(tensor.detach().resolve_conj()) if tensor.is_complex() else tensor.detach()
    tensors[name] = plain.cpu().contiguous()
    return name


def _apart(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors with memory of their own: safetensors refuses those that share it."""
    seen: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return found


def _decode(tree: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(tree, list):
        return [_decode(part, tensors) for part in tree]
    if not isinstance(tree, dict):
        return tree
    [(kind, content)] = tree.items()
    if kind == "tuple":
        return tuple(_decode(part, tensors) for part in content)
    if kind == "dict":
        return {_decode(key, tensors): _decode(part, tensors) for key, part in content}
    if kind == "tensor":
        return tensors[content]
    if kind == "complex":
        return torch.view_as_complex(tensors[content])
    array = tensors[content].numpy()
    return array if kind == "array" else array[()]
