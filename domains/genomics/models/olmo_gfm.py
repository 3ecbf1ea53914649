"""The `olmo-gfm` checkpoint layout: names, fused projections and settings, to and from those of `transformers`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from domains.genomics.models.family import NORM_EPSILON, PAD_ID, ROPE_BASE, ModelShape

if TYPE_CHECKING:
    from torch import Tensor

MODEL_TYPE = "olmo-gfm"
SAME_LAYOUT = (MODEL_TYPE, "hf_olmo")
"""Model types with this layout; the second is that of OLMo itself."""

_PREFIX = "model.transformer."
_BLOCK = re.compile(r"blocks\.(\d+)\.(\w+)\.weight")

_PLAIN = {
    "attn_out": "self_attn.o_proj",
    "ff_out": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ff_norm": "post_attention_layernorm",
}
_FUSED = {
    "att_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "ff_proj": ("mlp.up_proj", "mlp.gate_proj"),
}
_OUTSIDE = {"wte": "model.embed_tokens", "ff_out": "lm_head", "ln_f": "model.norm"}


def from_olmo_gfm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of the `transformers` decoder with the same function.

    `att_proj` (3d, d) is q, k, v; of `ff_proj` (2f, d) the first half is the linear part, the second goes through silu.

    Raises:
        ValueError: a tensor that the layout does not have.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        short = name.removeprefix("model.").removeprefix("transformer.")
        block = _BLOCK.fullmatch(short)
        outside = _OUTSIDE.get(short.removesuffix(".weight"))
        if block and block[2] in _FUSED:
            parts = _FUSED[block[2]]
            if tensor.shape[0] % len(parts):
                raise ValueError(f"{name} has {tensor.shape[0]} rows, not a multiple of {len(parts)}")
            for part, piece in zip(parts, tensor.chunk(len(parts)), strict=True):
                found[f"model.layers.{block[1]}.{part}.weight"] = piece.contiguous()
        elif block and block[2] in _PLAIN:
            found[f"model.layers.{block[1]}.{_PLAIN[block[2]]}.weight"] = tensor
        elif outside and short.endswith(".weight"):
            found[f"{outside}.weight"] = tensor
        else:
            raise ValueError(f"{name} is no tensor of the {MODEL_TYPE} layout")
    return found


def to_olmo_gfm(state: Mapping[str, Tensor], *, tied: bool = False) -> dict[str, Tensor]:
    """The `olmo-gfm` state dict of a `transformers` Llama or OLMo decoder; `tied` leaves the head out.

    Raises:
        ValueError: a tensor that these decoders do not have, or a fused one of which a part is missing.
    """
    import torch

    plain = {part: name for name, part in _PLAIN.items()}
    outside = {part: name for name, part in _OUTSIDE.items()}
    fused = {part: (name, parts) for name, parts in _FUSED.items() for part in parts}
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        stem = name.removesuffix(".weight")
        block = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", stem)
        if block and block[2] in plain:
            found[f"{_PREFIX}blocks.{block[1]}.{plain[block[2]]}.weight"] = tensor
        elif block and block[2] in fused:
            target, parts = fused[block[2]]
            names = [f"model.layers.{block[1]}.{part}.weight" for part in parts]
            if missing := [part for part in names if part not in state]:
                raise ValueError(f"{missing[0]} is missing beside {name}")
            if block[2] == parts[0]:
                found[f"{_PREFIX}blocks.{block[1]}.{target}.weight"] = torch.cat([state[part] for part in names])
        elif stem in outside:
            if stem != "lm_head" or not tied:
                found[f"{_PREFIX}{outside[stem]}.weight"] = tensor
        else:
            raise ValueError(f"{name} is no tensor of a Llama or OLMo decoder")
    return found


_NEEDED: Mapping[str, Any] = {
    "activation_type": "swiglu",
    "alibi": False,
    "attention_layer_norm": False,
    "block_type": "sequential",
    "clip_qkv": None,
    "include_bias": False,
    "multi_query_attention": False,
    "rope": True,
    "rope_theta": ROPE_BASE,
    "scale_logits": False,
    "layer_norm_eps": NORM_EPSILON,
}
"""Settings that the decoders here cannot have otherwise; a configuration may leave them out."""


def shape_from_settings(settings: Mapping[str, Any]) -> tuple[ModelShape, int, int]:
    """The shape, the vocabulary (rows of the embedding) and the context of an `olmo-gfm` config.json.

    Raises:
        ValueError: a setting is missing, or one asks for what the decoders here do not do.
    """
    for name, value in _NEEDED.items():
        # A published file may hold None for a switch that is off.
        if name in settings and (settings[name] or None) != (value or None):
            raise ValueError(f"{name} is {settings[name]!r}; only {value!r} can be read")
    try:
        width, heads = int(settings["d_model"]), int(settings["n_heads"])
        if int(settings.get("n_kv_heads") or heads) != heads:
            raise ValueError(f"n_kv_heads is {settings['n_kv_heads']}; only {heads}, as many as heads, can be read")
        fused = int(settings.get("mlp_hidden_size") or settings["mlp_ratio"] * width)
        norm = settings["layer_norm_type"]
        affine = bool(settings.get("layer_norm_with_affine", True))
        if norm not in ("rms", "default", "low_precision") or (norm != "rms" and affine):
            kind = f"{norm!r}{' with weights' if affine else ''}"
            raise ValueError(f"the norm is {kind}; only 'rms', and 'default' without weights, can be read")
        shape = ModelShape(
            layers=int(settings["n_layers"]),
            width=width,
            heads=heads,
            ffn=fused // 2,
            norm="rms" if norm == "rms" else "layer",
            tied=bool(settings["weight_tying"]),
        )
        return shape, int(settings.get("embedding_size") or settings["vocab_size"]), settings["max_sequence_length"]
    except KeyError as missing:
        raise ValueError(f"the setting {missing} is missing") from missing


def settings_of(shape: ModelShape, vocabulary: int, context: int) -> dict[str, Any]:
    """An `olmo-gfm` config.json for a shape."""
    return {
        "architectures": ["OLMoForCausalLM"],
        "model_type": MODEL_TYPE,
        **_NEEDED,
        "attention_dropout": 0.0,
        "residual_dropout": 0.0,
        "embedding_dropout": 0.0,
        "d_model": shape.width,
        "n_heads": shape.heads,
        "n_kv_heads": None,
        "n_layers": shape.layers,
        "mlp_ratio": 2 * shape.ffn / shape.width if 2 * shape.ffn % shape.width else 2 * shape.ffn // shape.width,
        "mlp_hidden_size": 2 * shape.ffn,
        "layer_norm_type": "rms" if shape.norm == "rms" else "default",
        "layer_norm_with_affine": shape.norm == "rms",
        "rope_full_precision": True,
        "weight_tying": shape.tied,
        "vocab_size": vocabulary,
        "embedding_size": vocabulary,
        "max_sequence_length": context,
        "pad_token_id": PAD_ID,
        "eos_token_id": PAD_ID,
        "init_fn": "mitchell",
        "precision": "fp32",
    }
