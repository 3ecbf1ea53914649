"""The settings of a genomics system: plain typed values, saved beside the weights. No heavy import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from polyhead.settings import validated
from polyhead.training.settings import TrainConfig

Head = Literal["answer", "last", "mean"]
TRAINED_TOKENIZER = "train"


class ShapeConfig(BaseModel):
    """A decoder that the family does not name; see `domains.genomics.models.family.ModelShape`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: int = Field(ge=1)
    width: int = Field(ge=8)
    heads: int = Field(ge=1)
    ffn: int = Field(ge=8)
    norm: Literal["rms", "layer"] = "rms"
    tied: bool = False

    @model_validator(mode="after")
    def _heads_fit(self) -> ShapeConfig:
        if self.width % self.heads or self.width // self.heads % 2:
            raise ValueError(f"width {self.width} must be an even number of channels for each of {self.heads} heads")
        return self


class LoraConfig(BaseModel):
    """Low-rank updates of the attention's and the feed-forward part's matrices; everything else is frozen.

    Attributes:
        rank, alpha: an update is alpha / rank times the product of its two factors (Hu et al., "LoRA", ICLR 2022).
        train_vocabulary: the embedding and the language head go on learning; without, new tokens keep their start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=16.0, gt=0)
    train_vocabulary: bool = True


class PretrainConfig(BaseModel):
    """Pretraining on unlabelled sequences: next-token prediction over packed blocks.

    Attributes:
        context: tokens of a block, and of the rows that are trained on.
        bases: bases that are read as one piece before they are cut into tokens; pieces end where a letter is unclear.
        reverse_complement: chance that a piece is read from the other strand, drawn anew in every pass.
        phase: up to so many bases, drawn anew in every pass, are left out at the start of a piece, so that its tokens
            differ from pass to pass.
        validation_share: share of the pieces that are held out, chosen by a hash of their place.
        validation_contigs: contigs that are held out as a whole; where some are named, `validation_share` is unused.
        validation_pieces: most pieces that a validation looks at.
        training: the schedule.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    context: int = Field(default=256, ge=8)
    bases: int = Field(default=1500, ge=32)
    reverse_complement: float = Field(default=0.5, ge=0, le=1)
    phase: int = Field(default=16, ge=0)
    validation_share: float = Field(default=0.05, ge=0, lt=1)
    validation_contigs: tuple[str, ...] = ()
    validation_pieces: int = Field(default=128, ge=1)
    training: TrainConfig = TrainConfig()


class GenomicsConfig(BaseModel):
    """A whole system.

    Attributes:
        model: a name of the family (``20M`` to ``1B``, ``micro``, ``tiny``) or a shape.
        tokenizer: a tokenizer.json or its folder, or ``train`` to learn a BPE of `vocabulary` tokens.
        context: most tokens of a row, prompt and answer included; longer rows are left out, each with a line.
        layout: of the rows: ``polyhead`` or ``released``; see `domains.genomics.answers.format`.
        head: how classes are answered: by tokens (``answer``), or by a linear layer without bias on the last DNA token
            (``last``, published) or on the mean of the DNA tokens (``mean``). Other kinds are answered by tokens.
        head_lr_scale: factor of the learning rate of linear heads.
        softmax: what an answer's token competes with in training: the tokens that the task may say (``answer``), or the
            whole vocabulary (``vocabulary``, published).
        replication: how often a class's token is repeated in training; published is 10.
        neftune: alpha of the noise on input embeddings in training (Jain et al., "NEFTune", ICLR 2024); published is 5.
        lora: low-rank updates instead of training every weight.
        packing: rows of a batch share rows of at most `context` tokens, apart by a block-diagonal attention.
        reverse_complement: chance that a training row is read from the other strand, for tasks that allow it.
        ambiguous: what is done with letters other than ACGT in labelled sequences; see
            `domains.genomics.sequences.alphabet`.
        validation_share: share of distinct training sequences held out where the data name no validation rows.
        digits: significant digits of numbers, where the data do not say their digits after the point.
        validation_rows: most rows of a task that is answered token by token, which a validation writes out.
        text_vocabulary: most tokens learned from the answers of a text task.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str = "omni-dna"
    preset: str
    model: str | ShapeConfig = "micro"
    tokenizer: str = TRAINED_TOKENIZER
    vocabulary: int = Field(default=4096, ge=9)
    context: int = Field(default=512, ge=16)
    layout: Literal["polyhead", "released"] = "polyhead"
    head: Head = "answer"
    head_lr_scale: float = Field(default=1.0, gt=0)
    softmax: Literal["answer", "vocabulary"] = "answer"
    replication: int = Field(default=1, ge=1)
    neftune: float = Field(default=0.0, ge=0)
    lora: LoraConfig | None = None
    packing: bool = True
    reverse_complement: float = Field(default=0.5, ge=0, le=1)
    ambiguous: Literal["mask", "resolve", "error"] = "mask"
    validation_share: float = Field(default=0.1, ge=0, lt=1)
    validation_rows: int = Field(default=128, ge=1)
    digits: int = Field(default=3, ge=1, le=6)
    text_vocabulary: int = Field(default=1024, ge=64)
    pretrain: PretrainConfig = PretrainConfig()
    training: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _parts_fit(self) -> GenomicsConfig:
        if self.layout == "released" and self.softmax == "answer":
            raise ValueError("the released layout is trained over the whole vocabulary: set softmax to vocabulary")
        return self


def read_config(values: Mapping[str, Any]) -> GenomicsConfig:
    """Settings of JSON values; what does not fit is a `ValueError` of one line."""
    return validated(GenomicsConfig, values)
