"""Decoders from and to files: our own layout, that of `transformers`, and `olmo-gfm`. Weights are safetensors only."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from domains.genomics.models.family import NORM_EPSILON, ROPE_BASE, ModelShape, build_decoder, shape_of, tie
from domains.genomics.models.olmo_gfm import SAME_LAYOUT, from_olmo_gfm, settings_of, shape_from_settings, to_olmo_gfm
from domains.genomics.sequences.tokenizer import KINDS_FILE, TOKENIZER_FILE, DnaTokenizer
from polyhead.system.files import replacing

if TYPE_CHECKING:
    from torch import Tensor

    from domains.genomics.models.family import Decoder

Format = Literal["polyhead", "transformers", "olmo-gfm"]

SETTINGS_FILE, WEIGHTS_FILE, INDEX_FILE = "config.json", "model.safetensors", "model.safetensors.index.json"
OWN_TYPE = "polyhead-dna"

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def load_decoder(source: str | Path, *, offline: bool = True) -> tuple[Decoder, DnaTokenizer | None, ModelShape]:
    """A decoder, its tokenizer where there is one, and its shape, from a folder or from a model of the hub.

    The decoder is float32 on the CPU, in evaluation mode. No code of the checkpoint is run.

    Args:
        source: a folder with config.json and safetensors weights, or a hub id ``owner/name``.
        offline: take a hub model from the local cache only.

    Raises:
        ValueError: nothing there, pickled weights, settings that the decoders here cannot have, or weights that do not
            fit the settings.
    """
    import torch

    folder = _folder(source, offline)
    settings = _read_json(folder / SETTINGS_FILE)
    try:
        shape, vocabulary, context = _described(settings)
    except (KeyError, TypeError) as failure:
        raise ValueError(f"{folder / SETTINGS_FILE} is no readable configuration: {failure!r}") from failure
    except ValueError as failure:
        raise ValueError(f"{folder / SETTINGS_FILE}: {failure}") from failure
    try:
        state = _weights(folder)
        state = from_olmo_gfm(state) if settings.get("model_type") in SAME_LAYOUT else state
        decoder = build_decoder(shape, vocabulary, context=context, initialise=False)
        state = {name: tensor.to(torch.float32) for name, tensor in state.items()}
        decoder.load_state_dict(_completed(state, decoder, settings), assign=True)
    except RuntimeError as failure:
        lines = [line.strip() for line in str(failure).splitlines()]
        raise ValueError(f"{folder}: the weights do not fit config.json ({' '.join(lines[1:2] or lines)})") from failure
    except ValueError as failure:
        raise ValueError(f"{folder}: {failure}") from failure
    tie(decoder)
    tokenizer = DnaTokenizer.load(folder) if (folder / TOKENIZER_FILE).is_file() else None
    if tokenizer is not None and tokenizer.vocabulary_size > vocabulary:
        raise ValueError(f"{folder}: the tokenizer has {tokenizer.vocabulary_size} tokens, the decoder {vocabulary}")
    return decoder, tokenizer, shape


def save_decoder(
    decoder: Decoder, folder: str | Path, format: Format = "polyhead", *, tokenizer: DnaTokenizer | None = None
) -> None:
    """Writes config.json and model.safetensors, and the tokenizer's files where one is given; files are replaced.

    Args:
        format: "polyhead"; "transformers", which its `from_pretrained` reads as Llama or OLMo; or "olmo-gfm", the
            layout of the published checkpoints.

    Raises:
        ValueError: an unknown format, or a decoder with adapters that are not merged.
    """
    from safetensors.torch import save_file

    if format not in get_args(Format):
        raise ValueError(f"unknown checkpoint format {format!r}; known: {', '.join(get_args(Format))}")
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in decoder.state_dict().items()}
    if any("lora_" in name for name in state):
        raise ValueError("the decoder has adapters: merge them before it is saved")
    shape, vocabulary = shape_of(decoder), decoder.lm_head.weight.shape[0]
    context = decoder.config.max_position_embeddings
    if shape.tied:
        del state["lm_head.weight"]
    if format == "olmo-gfm":
        state, settings = to_olmo_gfm(state), settings_of(shape, vocabulary, context)
    elif format == "transformers":
        settings = json.loads(decoder.config.to_json_string(use_diff=False))
        settings |= {"architectures": [type(decoder).__name__], "vocab_size": vocabulary}
    else:
        settings = {"model_type": OWN_TYPE, "format": 1, "vocabulary": vocabulary, "context": context}
        settings["shape"] = {name: getattr(shape, name) for name in ModelShape.__dataclass_fields__}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / WEIGHTS_FILE) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
    with replacing(folder / SETTINGS_FILE) as temporary:
        temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    if tokenizer is not None:
        tokenizer.save(folder)


def resize_vocabulary(decoder: Decoder, size: int) -> Decoder:
    """Widens the vocabulary in place and returns the decoder; a tied head stays tied, an untied one is widened too.

    The new rows of the embedding, and of an untied head, start at the mean of the old ones.

    Raises:
        ValueError: a smaller size: rows would be lost.
    """
    import torch

    old = decoder.lm_head.weight.shape[0]
    if size < old:
        raise ValueError(f"the vocabulary has {old} tokens; {size} would lose some")
    if size == old:
        return decoder
    decoder.resize_token_embeddings(size, mean_resizing=False)
    tie(decoder)
    with torch.no_grad():
        for weight in {id(w): w for w in (decoder.model.embed_tokens.weight, decoder.lm_head.weight)}.values():
            weight[old:] = weight[:old].mean(dim=0)
    return decoder


def _described(settings: Mapping[str, Any]) -> tuple[ModelShape, int, int]:
    kind = settings.get("model_type")
    if kind == OWN_TYPE:
        if settings["format"] != 1:
            raise ValueError(f"format {settings['format']} is newer than this polyhead reads: update polyhead")
        return ModelShape(**settings["shape"]), settings["vocabulary"], settings["context"]
    if kind in SAME_LAYOUT:
        return shape_from_settings(settings)
    if kind in ("llama", "olmo"):
        return _from_transformers(settings)
    raise ValueError(f"the model type is {kind!r}; known: {', '.join((OWN_TYPE, *SAME_LAYOUT))}, llama, olmo")


def _from_transformers(settings: Mapping[str, Any]) -> tuple[ModelShape, int, int]:
    heads, width = settings["num_attention_heads"], settings["hidden_size"]
    rope = settings.get("rope_parameters") or {}
    needed = {
        "num_key_value_heads": (settings.get("num_key_value_heads") or heads, heads),
        "head_dim": (settings.get("head_dim") or width // heads, width // heads),
        "hidden_act": (settings.get("hidden_act", "silu"), "silu"),
        "attention_bias": (settings.get("attention_bias") or False, False),
        "mlp_bias": (settings.get("mlp_bias") or False, False),
        "clip_qkv": (settings.get("clip_qkv"), None),
        "rope_theta": (rope.get("rope_theta", settings.get("rope_theta", ROPE_BASE)), ROPE_BASE),
        "rope_type": (
            rope.get("rope_type", (settings.get("rope_scaling") or {}).get("rope_type", "default")),
            "default",
        ),
    }
    if settings["model_type"] == "llama":
        needed["rms_norm_eps"] = (settings.get("rms_norm_eps", 1e-6), NORM_EPSILON)
    for name, (found, wanted) in needed.items():
        if found != wanted:
            raise ValueError(f"{name} is {found!r}; only {wanted!r} can be read")
    shape = ModelShape(
        layers=settings["num_hidden_layers"],
        width=width,
        heads=heads,
        ffn=settings["intermediate_size"],
        norm="rms" if settings["model_type"] == "llama" else "layer",
        tied=bool(settings.get("tie_word_embeddings", False)),
    )
    return shape, settings["vocab_size"], settings["max_position_embeddings"]


def _completed(state: dict[str, Tensor], decoder: Decoder, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """What a file may leave out: a tied head, and the weights of an RMSNorm that has none."""
    import torch

    if decoder.config.tie_word_embeddings and "model.embed_tokens.weight" in state:
        # A tied head that stands in the file as well has to be the embedding.
        head = state.setdefault("lm_head.weight", state["model.embed_tokens.weight"])
        if not torch.equal(head, state["model.embed_tokens.weight"]):
            raise ValueError("config.json ties the head to the embedding, but the weights hold two different ones")
    if settings.get("layer_norm_type") == "rms" and not settings.get("layer_norm_with_affine", True):
        width = decoder.config.hidden_size
        state |= {name: torch.ones(width) for name in decoder.state_dict() if "norm" in name and name not in state}
    return state


def _folder(source: str | Path, offline: bool) -> Path:
    path = Path(source)
    if path.is_dir():
        return path
    if path.exists():
        raise ValueError(f"{path} is a file; name the folder of the checkpoint")
    if not _HUB_ID.fullmatch(str(source)):
        raise ValueError(f"there is no folder {path}")
    from huggingface_hub import snapshot_download

    files = [SETTINGS_FILE, TOKENIZER_FILE, KINDS_FILE, "*.safetensors", INDEX_FILE]
    try:
        return Path(snapshot_download(str(source), local_files_only=offline, allow_patterns=files))
    except Exception as failure:  # the hub's client raises errors of many kinds
        reason = str(failure).strip().splitlines()[0] if str(failure).strip() else type(failure).__name__
        where = "is neither a folder nor in the local cache" if offline else f"could not be fetched: {reason}"
        remedy = "; name a folder, or allow the download" if offline else ""
        raise ValueError(f"{source} {where}{remedy}") from failure


def _weights(folder: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    names = [WEIGHTS_FILE]
    if not (folder / WEIGHTS_FILE).is_file() and (folder / INDEX_FILE).is_file():
        names = sorted(set(_read_json(folder / INDEX_FILE)["weight_map"].values()))
    state: dict[str, Tensor] = {}
    for name in names:
        if Path(name).name != name:
            raise ValueError(f"{INDEX_FILE} names a file outside the folder: {name}")
        if not (folder / name).is_file():
            raise ValueError(_no_weights(folder, name))
        try:
            state |= load_file(folder / name)
        except (SafetensorError, OSError) as failure:
            raise ValueError(f"{name} is damaged: {failure}") from failure
    return state


def _no_weights(folder: Path, name: str) -> str:
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if not pickles:
        return f"it has no {name}"
    return (
        f"{pickles[0]} is a pickle, which can run code, and is not read: where you trust it, convert it with "
        f"torch.load(..., weights_only=True) and safetensors.torch.save_file to {WEIGHTS_FILE}"
    )


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise ValueError(f"{file.parent} is no checkpoint: it has no {file.name}")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as failure:
        raise ValueError(f"{file} is damaged: {failure}") from failure
    if not isinstance(found, dict):
        raise ValueError(f"{file} is damaged: it holds no settings")
    return found
