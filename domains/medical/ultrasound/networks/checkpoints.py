"""Foreign checkpoints: ImageNet weights of the encoder, and whole models of the FM_UIA baseline.

Both are translated key by key; a key that is missing, left over or of another shape is an error, never skipped.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from domains.medical.ultrasound.networks.encoders import EfficientNetB4
from polyhead.model import MultiHeadModel
from polyhead.runs.weights import Loaded
from polyhead.tasks import TaskSet
from polyhead.training.start import start_from

_BLOCK_PARTS = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_se_reduce": "squeeze_excite.reduce",
    "_se_expand": "squeeze_excite.expand",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}
_STEM_PARTS = {
    "_conv_stem": "stem.convolution",
    "_bn0": "stem.batchnorm",
    "_conv_head": "trunk.top_conv",
    "_bn1": "trunk.top_bn",
}


def read_state_dict(source: str | Path) -> dict[str, Tensor]:
    """A state dict from a local ``.safetensors`` or ``.pth`` file, or from a hub id already in the local cache.

    Pickled files are read with ``weights_only=True`` and in no other way. Nothing is downloaded unless the hub's own
    offline switch is turned off by the caller.

    Raises:
        ValueError: neither a file nor a cached hub id, or a file that does not hold a flat dictionary of tensors.
    """
    path = Path(source)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name the file of the weights in it")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no regular file; name the file of the weights")
    if not path.exists():
        path = _from_hub(str(source))
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise ValueError(f"{path} is empty; copy or download it again")
    if path.suffix == ".safetensors":
        return _safetensors(path)
    state = _pickled(path, head)
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise ValueError(f"{path}: expected a dictionary of tensors by name; save the model's state_dict()")
    return dict(state)


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as failure:
        reason = " ".join(str(failure).removeprefix("Error while deserializing header: ").split())
        raise ValueError(f"{path} is no whole safetensors file ({reason}); copy or download it again") from failure


def _pickled(path: Path, head: bytes) -> object:
    """What torch reads of a file as plain tensors; its own advice, to run what the file holds, is not passed on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as failure:
            code = re.search(r"GLOBAL (\S+)", str(failure))
            if code is not None:
                reason = f"it holds more than plain tensors ({code[1]}), which would be run, and is not read"
                remedy = "have its maker save state_dict() alone, best as safetensors"
                raise ValueError(f"{path}: {reason}; {remedy}") from failure
            raise ValueError(f"{path}: {_no_checkpoint(head)}") from failure
        except OSError:
            raise
        except Exception as failure:  # torch's readers of damaged files raise nearly anything
            raise ValueError(f"{path}: {_no_checkpoint(head)}") from failure


def _no_checkpoint(head: bytes) -> str:
    """What a file is that torch cannot read as a checkpoint, by its first bytes."""
    if head.startswith(b"PK"):
        return "a zip file, but no whole file of torch.save; copy it again, or name the file in it"
    if head[:1] == b"\x80":
        return "a damaged pickle, or one of something else than tensors; copy it again, or save it as safetensors"
    return "no file of torch.save; name a .pth of tensors, or a .safetensors file"


def _from_hub(name: str) -> Path:
    from huggingface_hub import hf_hub_download

    for file in ("model.safetensors", "pytorch_model.bin"):
        try:
            return Path(hf_hub_download(name, file, local_files_only=True))
        except (OSError, ValueError):
            continue
    raise ValueError(f"{name}: no such file, and no model of that name in the local hub cache")


def encoder_key(key: str) -> str:
    """A parameter name of the lukemelas and smp layout as `EfficientNetB4` names it."""
    block = re.fullmatch(r"_blocks\.(\d+)\.(_\w+)\.(.+)", key)
    if block and block[2] in _BLOCK_PARTS:
        return f"trunk.blocks.{block[1]}.{_BLOCK_PARTS[block[2]]}.{block[3]}"
    part, _, leaf = key.partition(".")
    if part in _STEM_PARTS:
        return f"{_STEM_PARTS[part]}.{leaf}"
    raise ValueError(f"the key {key!r} is not of an EfficientNet in the lukemelas or smp layout")


def load_encoder(encoder: EfficientNetB4, source: str | Path) -> None:
    """Loads ImageNet weights in the lukemelas or smp key layout, with or without the classifier and ``encoder.``."""
    state = read_state_dict(source)
    translated = {}
    for key, value in state.items():
        bare = key.removeprefix("encoder.")
        if not bare.startswith("_fc."):
            translated[encoder_key(bare)] = value
    _load(encoder, translated, str(source))


def load_baseline(model: MultiHeadModel, source: str | Path | Mapping[str, Tensor]) -> None:
    """Loads a checkpoint of the FM_UIA baseline (its ``best_model.pth``) into a model of the preset ``mh-mtl``.

    Raises:
        ValueError: the tasks or shapes of the checkpoint are not those of the model.
    """
    state = dict(source) if isinstance(source, Mapping) else read_state_dict(source)
    where = "the checkpoint" if isinstance(source, Mapping) else str(source)
    _load(model, dict(_baseline_items(state, model)), where)


def baseline_tasks(state: Mapping[str, Tensor]) -> dict[str, tuple[str, int]]:
    """The tasks of a baseline checkpoint: for each its kind and number of classes or points, told by its head."""
    tasks: dict[str, tuple[str, int]] = {}
    for key, value in state.items():
        found = re.fullmatch(r"heads\.(.+?)\.(0|head\.3|linear|conv_block\.6)\.weight", key)
        if found and not found[1].endswith(".conv_block"):
            name, layer = found[1], found[2]
            rows = len(value) if value.dim() else 0
            kind, outputs = {
                "0": ("segmentation", rows),
                "head.3": ("classification", rows),
                "linear": ("keypoints", rows // 2),
                "conv_block.6": ("detection", rows - 4),
            }[layer]
            if outputs < 1:
                raise ValueError(f"{key} has the shape {tuple(value.shape)}, which is of no head")
            tasks[name] = (kind, outputs)
    if not tasks:
        raise ValueError("it has no head of an FM_UIA baseline model")
    return tasks


_HEAD_LAYERS = {
    "segmentation": {"0": "project"},
    "classification": {"head.3": "linear"},
    "keypoints": {"linear": "linear"},
    "detection": {f"conv_block.{index}": f"layers.{index}" for index in (0, 1, 3, 4, 6)},
}


def _baseline_items(state: Mapping[str, Tensor], model: MultiHeadModel) -> Iterator[tuple[str, Tensor]]:
    heads = dict(_head_prefixes(model.tasks, model))
    for key, value in state.items():
        section, _, rest = key.partition(".")
        if section == "encoder":
            if not rest.startswith("_fc."):
                yield f"backbone.encoder.{encoder_key(rest)}", value
        elif section == "fpn_decoder":
            yield f"backbone.decoder.{_decoder_key(rest)}", value
        elif section == "heads":
            task = next((name for name in heads if rest.startswith(f"{name}.")), None)
            if task is None:
                raise ValueError(f"the checkpoint has a head {rest!r} of a task that this model lacks")
            layer, _, leaf = rest.removeprefix(f"{task}.").rpartition(".")
            layers = _HEAD_LAYERS[model.tasks[task].kind]
            if layer not in layers:
                raise ValueError(f"the head {rest!r} is not of a {model.tasks[task].kind} task")
            yield f"{heads[task]}.{layers[layer]}.{leaf}", value
        else:
            raise ValueError(f"the key {key!r} is not of the FM_UIA baseline")


def _head_prefixes(tasks: TaskSet, model: MultiHeadModel) -> Iterator[tuple[str, str]]:
    names = {id(module): name for name, module in model.named_modules()}
    for task in sorted(tasks, key=len, reverse=True):
        yield task, names[id(model.head(task))]


def _decoder_key(key: str) -> str:
    """``p5``, ``p4.skip_conv`` ... and ``seg_blocks.i.block.j.block.k`` as `FeaturePyramid` names them."""
    lateral = re.fullmatch(r"p([2-5])(?:\.skip_conv)?\.(weight|bias)", key)
    if lateral:
        return f"lateral.{int(lateral[1]) - 2}.{lateral[2]}"
    branch = re.fullmatch(r"seg_blocks\.([0-3])\.block\.(\d)\.block\.([01])\.(weight|bias)", key)
    if branch:
        part = "convolution" if branch[3] == "0" else "norm"
        return f"branches.{3 - int(branch[1])}.{branch[2]}.{part}.{branch[4]}"
    raise ValueError(f"the key {key!r} is not of the baseline's feature pyramid")


def _load(module: torch.nn.Module, state: dict[str, Tensor], where: str) -> None:
    found = Loaded.of(module.state_dict(), state)
    # Counters of batches are absent from older files and play no part in the answers.
    needed = tuple(name for name in found.missing if not name.endswith("num_batches_tracked"))
    found = replace(found, missing=needed)
    if not found.whole:
        raise ValueError(f"{where} does not fit: {found.misfits}")
    start_from(module, state, strict=False)
