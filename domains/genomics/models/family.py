"""The decoder family: shapes, closed-form parameter counts, and decoders of `transformers` in these shapes.

Every member is a pre-norm decoder with rotary positions (base 10,000), SwiGLU, no bias, no dropout and full attention
heads. With RMSNorm that is `LlamaForCausalLM`, with the LayerNorm that has no weights it is `OlmoForCausalLM`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, OlmoForCausalLM

    Decoder: TypeAlias = LlamaForCausalLM | OlmoForCausalLM

Norm = Literal["rms", "layer"]

NORM_EPSILON = 1e-5
ROPE_BASE = 10_000.0
PAD_ID, CLS_ID = 3, 1
VOCABULARY = 4096
"""Tokens of the published vocabulary."""


@dataclass(frozen=True)
class ModelShape:
    """The shape of a decoder.

    Attributes:
        layers: number of blocks.
        width: hidden width d.
        heads: attention heads; they divide the width, and the width of a head is even.
        ffn: inner width of the SwiGLU.
        norm: "rms" is RMSNorm with a weight, "layer" is LayerNorm without weight and bias.
        tied: the head of the language model is the token embedding.
    """

    layers: int
    width: int
    heads: int
    ffn: int
    norm: Norm = "rms"
    tied: bool = False

    def __post_init__(self) -> None:
        for name in ("layers", "width", "heads", "ffn"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.width % self.heads or self.width // self.heads % 2:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width} into even parts")
        if self.norm not in ("rms", "layer"):
            raise ValueError(f"unknown norm {self.norm!r}; known: rms, layer")


FAMILY: Mapping[str, ModelShape] = MappingProxyType(
    {
        "tiny": ModelShape(layers=2, width=64, heads=4, ffn=256),
        "micro": ModelShape(layers=4, width=192, heads=6, ffn=768),
        "20M": ModelShape(layers=8, width=256, heads=8, ffn=1024),
        "60M": ModelShape(layers=8, width=512, heads=8, ffn=2048),
        "116M": ModelShape(layers=12, width=768, heads=16, ffn=3072, norm="layer", tied=True),
        "300M": ModelShape(layers=16, width=1024, heads=16, ffn=4096, norm="layer", tied=True),
        "700M": ModelShape(layers=16, width=1536, heads=16, ffn=6144, norm="layer", tied=True),
        "1B": ModelShape(layers=16, width=2048, heads=16, ffn=8192, norm="layer", tied=True),
    }
)
"""Shapes by name: the six of Omni-DNA, and two smaller ones of our own that train on a small machine.

Norm and tying differ inside the published family. Those of 60M and 1B are published; those of 20M follow from the size
of its file; those of 116M, 300M and 700M are not published and are taken from 1B (116M then has the 116.4 million
parameters of its name). The names 20M and 60M overstate: these shapes have 10.5 and 37.8 million parameters.
"""


def model_shape(shape: str | ModelShape) -> ModelShape:
    """A shape by its name in `FAMILY`; a shape is returned as it is."""
    if isinstance(shape, ModelShape):
        return shape
    if shape not in FAMILY:
        raise ValueError(f"unknown model shape {shape!r}; known: {', '.join(FAMILY)}")
    return FAMILY[shape]


def parameter_count(shape: ModelShape, vocabulary: int = VOCABULARY) -> int:
    """Number of parameters in closed form, a tied head counted once.

    A block has 4 d^2 for attention and 3 d f for the SwiGLU (16 d^2 where f = 4 d); RMSNorm adds 2 d a block and d at
    the end; the vocabulary adds V d, twice where the head is not tied.
    """
    d = shape.width
    norms = (2 * shape.layers + 1) * d if shape.norm == "rms" else 0
    return shape.layers * (4 * d * d + 3 * d * shape.ffn) + norms + vocabulary * d * (1 if shape.tied else 2)


def decoder_config(shape: ModelShape, vocabulary: int, *, context: int = 512, attention: str = "sdpa") -> Any:
    """The `transformers` configuration of a shape: `LlamaConfig` or `OlmoConfig`."""
    from transformers import LlamaConfig, OlmoConfig

    if attention not in ("sdpa", "eager"):
        raise ValueError(f"unknown attention {attention!r}; known: sdpa, eager")
    common: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "max_position_embeddings": context,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_BASE},
        "tie_word_embeddings": shape.tied,
        "bos_token_id": CLS_ID,
        "eos_token_id": None,
        "pad_token_id": PAD_ID,
        "attn_implementation": attention,
    }
    if shape.norm == "rms":
        return LlamaConfig(rms_norm_eps=NORM_EPSILON, **common)
    return OlmoConfig(clip_qkv=None, **common)


def build_decoder(
    shape: str | ModelShape,
    vocabulary: int = VOCABULARY,
    *,
    context: int = 512,
    attention: str = "sdpa",
    initialise: bool = True,
) -> Decoder:
    """A decoder of `transformers` in a shape, float32 on the CPU, in evaluation mode.

    Args:
        shape: a name of `FAMILY` or a shape.
        vocabulary: number of tokens V.
        context: the longest row of tokens that the model is meant for; it is recorded, rotary positions need no table.
        attention: "sdpa", or "eager" where attention weights are wanted.
        initialise: draw the weights by `initialise_decoder` from torch's global generator. Without, they stay on the
            meta device and take no memory, for a state dict loaded with ``assign=True``.

    Raises:
        ValueError: an unknown name, or a vocabulary or context below 1.
    """
    import torch
    from transformers import LlamaForCausalLM, OlmoForCausalLM

    shape = model_shape(shape)
    if vocabulary < 1 or context < 1:
        raise ValueError(f"vocabulary ({vocabulary}) and context ({context}) must be at least 1")
    config = decoder_config(shape, vocabulary, context=context, attention=attention)
    with torch.device("meta"):
        decoder = (LlamaForCausalLM if shape.norm == "rms" else OlmoForCausalLM)(config)
    counted = sum(parameter.numel() for parameter in decoder.parameters())
    if counted != parameter_count(shape, vocabulary):
        raise RuntimeError(f"{shape} has {counted} parameters, expected {parameter_count(shape, vocabulary)}")
    if initialise:
        decoder.to_empty(device="cpu")
        tie(decoder)
        initialise_decoder(decoder)
    # The rotary frequencies are in no state dict: they are made here, where the weights may be without memory.
    model: Any = decoder.model
    model.rotary_emb = type(model.rotary_emb)(config=config)
    return decoder.eval()


def tie(decoder: Decoder) -> Decoder:
    """Makes the head and the embedding one parameter where the configuration says so; returns the decoder.

    To be called where weights were assigned by name: two equal tensors are not one parameter.
    """
    if decoder.config.tie_word_embeddings:
        decoder.lm_head.weight = decoder.model.embed_tokens.weight
    return decoder


def initialise_decoder(decoder: Decoder) -> None:
    """Draws the weights in place, from torch's global generator, by OLMo's "mitchell" rule; norm weights become 1.

    Normal, cut at three deviations: 1/sqrt(inputs) for the embedding (d as its inputs), the projections into a block
    and the head; 1/sqrt(2 inputs (l + 1)) for the two projections out of block l = 0, 1, ...
    """
    import torch

    width = decoder.config.hidden_size
    layers: Any = decoder.model.layers
    with torch.no_grad():
        _draw(decoder.model.embed_tokens.weight, width)
        for number, layer in enumerate(layers):
            attention, mlp = layer.self_attn, layer.mlp
            for inward in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.up_proj, mlp.gate_proj):
                _draw(inward.weight, width)
            for outward in (attention.o_proj, mlp.down_proj):
                _draw(outward.weight, outward.in_features * 2 * (number + 1))
        if not decoder.config.tie_word_embeddings:
            _draw(decoder.lm_head.weight, width)
        for name, parameter in decoder.named_parameters():
            if "norm" in name:
                parameter.fill_(1.0)


def _draw(weight: torch.Tensor, inputs: int) -> None:
    import torch

    deviation = 1 / math.sqrt(inputs)
    torch.nn.init.trunc_normal_(weight, std=deviation, a=-3 * deviation, b=3 * deviation)


def shape_of(decoder: Decoder) -> ModelShape:
    """The shape of a decoder, from its configuration."""
    config = decoder.config
    return ModelShape(
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        ffn=config.intermediate_size,
        norm="rms" if config.model_type == "llama" else "layer",
        tied=bool(config.tie_word_embeddings),
    )
