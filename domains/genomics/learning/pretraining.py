"""Pretraining on unlabelled sequences: next-token prediction over packed pieces, scored in bits per base."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from domains.genomics.learning.corpus import Corpus, read_sequences, write_corpus
from domains.genomics.learning.starting import start
from domains.genomics.models.network import PRETRAIN_KIND, PRETRAIN_TASK, build_model, weighted_cross_entropy
from domains.genomics.models.packing import Sample, packed_batch
from domains.genomics.saved import describe, save_parts
from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.sequences.records import RejectedRecord, SequenceRecord
from domains.genomics.sequences.tokenizer import CLS, TOKENIZER_FILE, DnaTokenizer
from domains.genomics.settings import GenomicsConfig, PretrainConfig
from polyhead.model import MultiHeadModel
from polyhead.system.ranks import Ranks
from polyhead.tasks import TaskSet, TaskSpec
from polyhead.train import FitResult, Validation, fit
from polyhead.training.session import Session

Say = Callable[[str], None]


def pretrain(
    source: str | Path | Iterable[SequenceRecord | tuple[str, str]],
    out: str | Path,
    config: GenomicsConfig,
    *,
    init_from: str | Path | None = None,
    session: Session = Session(),
) -> FitResult:
    """Trains a decoder on sequences into a run folder, which `training.train` takes as `init_from`.

    The sequences are streamed once into a file of pieces beside the run, which is gone afterwards; so a genome need not
    fit the memory. Pieces of the validation choose the weights; without any the last ones are kept.

    Args:
        source: a file that `readers.read_records` reads, a folder of FASTA files, or records (or names and bases).
        out: the run folder.
        config: the system; its `pretrain` holds the schedule.
        init_from: a run or checkpoint to go on from.
        session: how the training is carried out.

    Raises:
        ValueError: no usable sequence, or a setting that does not fit.
    """
    out = Path(out)
    settings = config.pretrain
    ranks = Ranks(settings.training.device)
    session = session.among(ranks)
    rejected: list[RejectedRecord] = []
    records = read_sequences(Path(source), rejected) if isinstance(source, (str, Path)) else source
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.corpus-", dir=out.parent) as folder:
        corpus = write_corpus(
            Path(folder),
            records,
            bases=settings.bases,
            validation_share=settings.validation_share,
            validation_contigs=settings.validation_contigs,
        )
        lost = [each for each in rejected if each.lost]
        if lost:
            session.say(f"{len(lost)} records are left out; first: {lost[0]}")
        return _pretrain(corpus, out, config, init_from, session, ranks)


def _pretrain(
    corpus: Corpus,
    out: Path,
    config: GenomicsConfig,
    init_from: str | Path | None,
    session: Session,
    ranks: Ranks,
) -> FitResult:
    settings = config.pretrain
    training, held_out = (corpus.rows(held_out=side) for side in (False, True))
    kept = out if session.resume and (out / TOKENIZER_FILE).is_file() else None
    torch.manual_seed(settings.training.seed)
    decoder, tokenizer, config = start(
        config,
        init_from,
        (corpus.sequence(int(row)) for row in training),
        context=settings.context,
        added={},
        kept=kept,
    )
    size = decoder.lm_head.weight.shape[0]
    specs = TaskSet([TaskSpec(PRETRAIN_TASK, PRETRAIN_KIND, reads="answers", outputs=size)])
    # Adapters and noise are for tuning: pretraining moves every weight.
    model = build_model(specs, config.model_copy(update={"lora": None, "neftune": 0.0}), decoder, tokenizer, {})
    bases = int(corpus.pieces[training, 1].sum())
    session.say(
        f"{bases} bases in {len(training)} pieces to train, {corpus.bases - bases} in {len(held_out)} to validate"
    )
    info = describe(
        config,
        specs,
        {
            "fingerprint": corpus.fingerprint(),
            "bases": bases,
            "pieces": len(training),
            "validation_pieces": len(held_out),
            "vocabulary": size,
            "init_from": None if init_from is None else str(Path(init_from).name),
        },
    )
    scored = held_out[: settings.validation_pieces]
    if not len(scored):
        session.say("no validation pieces: the weights of the last epoch are kept")
    with session.begin(out, info, GenomicsConfig) as run:
        if ranks.first:
            save_parts(run, tokenizer, {})
        return fit(
            model,
            {PRETRAIN_TASK: weighted_cross_entropy},
            {PRETRAIN_TASK: CorpusRows(corpus, training, tokenizer, settings)},
            settings.training,
            run,
            validate=validator(corpus, scored, tokenizer, settings) if len(scored) else None,
            resume=run.resumed,
            on_step=session.on_step,
            progress=session.progress,
        )


class CorpusRows:
    """Pieces of a corpus as `polyhead.training.loading.BatchedTaskData`: coded when they are asked for, cut, packed.

    A piece of more tokens than the context is cut; every part begins with [CLS] and sees nothing of the others.
    """

    def __init__(self, corpus: Corpus, rows: np.ndarray, tokenizer: DnaTokenizer, settings: PretrainConfig):
        self.corpus, self.rows, self.tokenizer, self.settings = corpus, rows, tokenizer, settings

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, rows: Sequence[int], seeds: Sequence[int]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """A training batch; strand and first base of each piece are a function of its seed."""
        varied = []
        for row, seed in zip(rows, seeds, strict=True):
            generator = np.random.default_rng(seed)
            sequence = self.corpus.sequence(int(self.rows[row]))
            phase = int(generator.integers(self.settings.phase + 1))
            sequence = sequence[min(phase, len(sequence) // 2) :]
            turned = generator.random() < self.settings.reverse_complement
            varied.append(reverse_complement(sequence) if turned else sequence)
        return language_batch(self.tokenizer.encode_many(varied), self.settings.context)


def language_batch(tokens: Sequence[Sequence[int]], context: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs and targets of next-token prediction: parts of at most `context` tokens with [CLS] in front, packed.

    Every token but [CLS] is asked, all with the same weight.
    """
    room = context - 1
    parts = [piece[first : first + room] for piece in tokens for first in range(0, len(piece), room)]
    samples = [Sample([CLS, *part], range(len(part))) for part in parts]
    index = torch.tensor([token for part in parts for token in part], dtype=torch.int64)
    return packed_batch(samples, context), {"index": index, "weight": torch.full((len(index),), 1 / len(index))}


def validator(
    corpus: Corpus, rows: np.ndarray, tokenizer: DnaTokenizer, settings: PretrainConfig
) -> Callable[[nn.Module], Validation]:
    """Scores a model on pieces: bits per base, perplexity of tokens, and 2 to the minus bits per base as the score.

    That score is the geometric mean of the probability that a base is given; equal chances give 0.25, which is 2 bits.
    """

    def validate(model: nn.Module) -> Validation:
        assert isinstance(model, MultiHeadModel)
        bits, perplexity = bits_per_base(model, (corpus.sequence(int(row)) for row in rows), tokenizer, settings)
        metrics = {"bits_per_base": bits, "token_perplexity": perplexity}
        return Validation({PRETRAIN_TASK: metrics}, {PRETRAIN_TASK: 2.0**-bits})

    return validate


def bits_per_base(
    model: MultiHeadModel,
    sequences: Iterable[str],
    tokenizer: DnaTokenizer,
    settings: PretrainConfig,
    *,
    at_once: int = 16,
) -> tuple[float, float]:
    """Mean negative log2-likelihood a base, and the perplexity of tokens, of sequences in parts of the context."""
    device = next(model.parameters()).device
    texts = list(sequences)
    total, tokens = 0.0, 0
    with torch.no_grad():
        for first in range(0, len(texts), at_once):
            inputs, targets = language_batch(tokenizer.encode_many(texts[first : first + at_once]), settings.context)
            logits = model({name: values.to(device) for name, values in inputs.items()}, PRETRAIN_TASK)
            index = targets["index"].to(device)
            total += functional.cross_entropy(logits.float(), index, reduction="sum").item()
            tokens += len(index)
    return total / math.log(2) / sum(map(len, texts)), math.exp(min(total / tokens, 700))
