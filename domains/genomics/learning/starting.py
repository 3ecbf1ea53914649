"""Where a training starts: a decoder and its tokenizer, from settings, a run, or a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from domains.genomics.answers.answer import EOS, Answer
from domains.genomics.answers.format import Layout, task_token
from domains.genomics.models.checkpoints import load_decoder, resize_vocabulary
from domains.genomics.models.family import FAMILY, build_decoder, shape_of
from domains.genomics.models.network import backbone_of
from domains.genomics.models.shapes import model_shape_of
from domains.genomics.saved import load_run
from domains.genomics.sequences.tokenizer import TOKENIZER_FILE, DnaTokenizer
from domains.genomics.settings import TRAINED_TOKENIZER, GenomicsConfig, ShapeConfig
from polyhead.runs.run import RUN_FILE

if TYPE_CHECKING:
    from domains.genomics.models.family import Decoder

TOKENIZER_BASES = 20_000_000
"""Bases that a tokenizer is learned from at most: merges of frequent pairs change little beyond."""


def make_tokenizer(config: GenomicsConfig, sequences: Iterable[str], *, kept: Path | None = None) -> DnaTokenizer:
    """The tokenizer of a folder of an interrupted run, or the one that the settings name, or one learned.

    Args:
        sequences: training sequences, of which the first `TOKENIZER_BASES` are used where one is learned.
        kept: the run folder that goes on.
    """
    if kept is not None and (kept / TOKENIZER_FILE).is_file():
        return DnaTokenizer.load(kept)
    if config.tokenizer != TRAINED_TOKENIZER:
        return DnaTokenizer.load(Path(config.tokenizer))
    return DnaTokenizer.train(_first(sequences, TOKENIZER_BASES), vocab=config.vocabulary)


def _first(sequences: Iterable[str], bases: int) -> Iterable[str]:
    left = bases
    for sequence in sequences:
        if left <= 0:
            return
        yield sequence[:left]
        left -= len(sequence)


def start(
    config: GenomicsConfig,
    init_from: str | Path | None,
    sequences: Iterable[str],
    *,
    context: int,
    added: Mapping[str, Iterable[str]],
    kept: Path | None = None,
) -> tuple[Decoder, DnaTokenizer, GenomicsConfig]:
    """A decoder whose vocabulary has the added tokens, its tokenizer, and the settings with its true shape.

    Without `init_from` weights are drawn from torch's global generator.

    Args:
        init_from: a run, a checkpoint's folder, or a hub id that is cached; its shape wins over that of the settings.
        sequences: to learn a tokenizer from, where one has to be.
        context: most tokens of a row.
        added: for each kind the tokens that are added.
        kept: the run folder that goes on, whose tokenizer has them.

    Raises:
        ValueError: nothing to load there, or a checkpoint without tokenizer where the settings name none.
    """
    if init_from is None:
        tokenizer = make_tokenizer(config, sequences, kept=kept)
        add_tokens(tokenizer, added)
        return build_decoder(model_shape_of(config), tokenizer.vocabulary_size, context=context), tokenizer, config
    if (Path(init_from) / RUN_FILE).is_file():
        model, tokenizer, _, _ = load_run(Path(init_from))
        decoder = backbone_of(model).decoder
    else:
        decoder, tokenizer, _ = load_decoder(init_from)
        if tokenizer is None:
            if config.tokenizer == TRAINED_TOKENIZER:
                raise ValueError(f"{init_from} has no tokenizer; name its tokenizer.json by the setting tokenizer")
            tokenizer = make_tokenizer(config, ())
    if kept is not None and (kept / TOKENIZER_FILE).is_file():
        tokenizer = DnaTokenizer.load(kept)
    add_tokens(tokenizer, added)
    resize_vocabulary(decoder, max(tokenizer.vocabulary_size, decoder.lm_head.weight.shape[0]))
    decoder.config.max_position_embeddings = context
    shape = shape_of(decoder)
    named = next((name for name, known in FAMILY.items() if known == shape), None)
    return decoder, tokenizer, config.model_copy(update={"model": named or ShapeConfig(**asdict(shape))})


def add_tokens(tokenizer: DnaTokenizer, added: Mapping[str, Iterable[str]]) -> None:
    for kind, tokens in added.items():
        tokenizer.add(list(tokens), kind)


def tokens_of(answers: Mapping[str, Answer], layout: Layout) -> dict[str, list[str]]:
    """For each kind the tokens that tasks and answers need: ``task``, ``end``, and the kinds of answers."""
    added: dict[str, list[str]] = {"task": [task_token(task) for task in answers] if layout.name == "polyhead" else []}
    added["end"] = [EOS]
    for answer in answers.values():
        added.setdefault(answer.kind, []).extend(answer.tokens)
    return added
