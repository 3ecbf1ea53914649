import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from domains.genomics.learning.corpus import Corpus, write_corpus
from domains.genomics.learning.pretraining import CorpusRows, bits_per_base, language_batch, pretrain
from domains.genomics.learning.training import train
from domains.genomics.models.network import PRETRAIN_TASK, backbone_of
from domains.genomics.presets import resolve_pretraining
from domains.genomics.saved import load_run
from domains.genomics.scoring.scorer import Scorer
from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.sequences.tokenizer import DnaTokenizer
from polyhead.runs.run import Run
from polyhead.training.session import Session

QUICK: dict[str, Any] = {
    "model": {"layers": 1, "width": 32, "heads": 2, "ffn": 64},
    "vocabulary": 64,
    "context": 32,
    "bases": 120,
    "epochs": 1,
    "batch_size": 4,
    "steps_per_epoch": 3,
    "warmup_steps": 0,
    "pretrain.validation_share": 0.2,
}


def chain(length: int, seed: int = 0) -> str:
    """DNA in which A, C, G, T follow one another in this order nine times of ten, and another base does else."""
    generator = np.random.default_rng(seed)
    steps = np.where(generator.random(length) < 0.9, 1, generator.choice([0, 2, 3], length))
    return "".join("ACGT"[place % 4] for place in np.cumsum(steps))


CHAIN_BITS = -0.9 * math.log2(0.9) - 0.1 * math.log2(0.1 / 3)
"""Entropy of a base of it, given the one before: 0.63 bits."""


def test_a_corpus_gives_its_pieces_back(tmp_path: Path, random_dna: Any) -> None:
    records = [("one", random_dna(1000, 1)), ("two", random_dna(90, 2)), ("short", "ACGT")]
    corpus = write_corpus(tmp_path / "c", records, bases=100, validation_share=0.0)
    pieces = [corpus.sequence(piece) for piece in range(len(corpus))]
    assert "".join(pieces[:10]) == records[0][1]
    assert pieces[10] == records[1][1]
    assert len(pieces) == 11
    assert Corpus.open(tmp_path / "c").fingerprint() == corpus.fingerprint()


def test_sides_follow_contigs_or_the_bases_whatever_the_strand(tmp_path: Path, random_dna: Any) -> None:
    records = [(f"c{k}", random_dna(100, k)) for k in range(200)]
    by_name = write_corpus(tmp_path / "a", records, bases=100, validation_share=0.5, validation_contigs=["c3", "c5"])
    assert by_name.rows(held_out=True).tolist() == [3, 5]
    other = [(f"r{k}", reverse_complement(sequence)) for k, (_, sequence) in enumerate(records)]
    both = write_corpus(tmp_path / "b", records + other, bases=100, validation_share=0.3)
    held_out = both.rows(held_out=True)
    assert 80 < len(held_out) < 160
    assert {k for k in held_out if k < 200} == {k - 200 for k in held_out if k >= 200}
    with pytest.raises(ValueError, match="no contig named chrX"):
        write_corpus(tmp_path / "c", records, bases=100, validation_share=0, validation_contigs=["chrX"])
    with pytest.raises(ValueError, match="nothing to pretrain on"):
        write_corpus(tmp_path / "d", [("a", "ACGT")], bases=100, validation_share=0)


def test_blocks_are_full_and_every_token_is_asked_once() -> None:
    tokens = [list(range(5, 75)), [9] * 10, [8] * 21]
    inputs, targets = language_batch(tokens, 32)
    assert inputs["ids"].shape[1] <= 32
    assert sorted(targets["index"].tolist()) == sorted(token for piece in tokens for token in piece)
    rows, columns = inputs["answers"].unbind(1)
    assert torch.equal(inputs["ids"][rows, columns + 1], targets["index"])
    assert targets["weight"].sum().item() == pytest.approx(1)
    assert inputs["ids"].shape[0] == 4


def test_strand_and_phase_are_a_function_of_the_seed(tmp_path: Path, random_dna: Any) -> None:
    settings = resolve_pretraining("tiny", QUICK | {"context": 256}).pretrain
    sequence = random_dna(120)
    corpus = write_corpus(tmp_path / "c", [("one", sequence)], bases=120, validation_share=0)
    tokenizer = DnaTokenizer.train([sequence], vocab=16)
    rows = CorpusRows(corpus, corpus.rows(held_out=False), tokenizer, settings)
    seen = set()
    for seed in range(20):
        inputs, _ = rows.batch([0], [seed])
        assert torch.equal(inputs["ids"], rows.batch([0], [seed])[0]["ids"])
        text = tokenizer.decode(inputs["ids"][0, 1:].tolist())
        forward = sequence.endswith(text)
        assert forward or reverse_complement(sequence).startswith(text)
        assert len(text) >= 120 - settings.phase
        seen.add((forward, len(text)))
    assert {forward for forward, _ in seen} == {True, False}
    assert len({length for _, length in seen}) > 5


def test_a_pretraining_learns_what_repeats_and_a_tuning_starts_from_it(tmp_path: Path) -> None:
    fasta = tmp_path / "genome.fa"
    fasta.write_text(f">one\n{chain(6000)}\n>two\n{chain(1200, 1)}\n")
    changes = QUICK | {
        "vocabulary": 9,
        "steps_per_epoch": 60,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "context": 128,
        "pretrain.validation_contigs": ["two"],
        "pretrain.reverse_complement": 0.0,
        "phase": 0,
    }
    config = resolve_pretraining("tiny", changes)
    result = pretrain(fasta, tmp_path / "base", config)
    bits = result.metrics["metrics"][PRETRAIN_TASK]["bits_per_base"]
    assert 0.9 * CHAIN_BITS < bits < CHAIN_BITS + 0.1
    assert result.metrics["score"] == pytest.approx(2**-bits)
    assert not list(tmp_path.glob(".base.corpus*"))

    model, tokenizer, answers, loaded = load_run(tmp_path / "base")
    assert answers == {}
    piece = chain(60, 5)
    told, _ = bits_per_base(model, [piece], tokenizer, loaded.pretrain)
    assert Scorer(model, tokenizer).log_likelihood([piece])[0].bits_per_base == pytest.approx(told, rel=1e-5)

    from tests.domains.genomics.test_genomics_training import config_of, toy_data

    tuned = config_of(model="tiny", context=128, **{"training.learning_rate": 1e-9, "training.ema_decay": None})
    train(toy_data(), tmp_path / "run", tuned, init_from=tmp_path / "base")
    after, its_tokenizer, _, its_config = load_run(tmp_path / "run")
    assert its_tokenizer.dna_tokens == tokenizer.dna_tokens == 4
    assert its_config.model == config.model
    old, new = (backbone_of(each).decoder.state_dict() for each in (model, after))
    torch.testing.assert_close(new["model.layers.0.mlp.up_proj.weight"], old["model.layers.0.mlp.up_proj.weight"])
    embedded = "model.embed_tokens.weight"
    torch.testing.assert_close(new[embedded][: len(old[embedded])], old[embedded])
    assert len(new[embedded]) == its_tokenizer.vocabulary_size


def test_an_interrupted_pretraining_goes_on_to_the_same_weights(tmp_path: Path, random_dna: Any) -> None:
    records = [(f"c{k}", random_dna(400, k)) for k in range(10)]
    config = resolve_pretraining("tiny", QUICK | {"steps_per_epoch": 6, "snapshot_every": 2})
    pretrain(records, tmp_path / "whole", config)

    def stop(step: int) -> None:
        if step == 4:
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        pretrain(records, tmp_path / "run", config, session=Session(on_step=stop))
    pretrain(records, tmp_path / "run", config, session=Session(resume=True))
    whole, resumed = (Run.open(tmp_path / name).load_weights() for name in ("whole", "run"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_equal_chances_are_two_bits_a_base(tmp_path: Path, random_dna: Any) -> None:
    config = resolve_pretraining("tiny", QUICK | {"vocabulary": 9, "steps_per_epoch": 1})
    pretrain([("one", random_dna(2000))], tmp_path / "run", config)
    model, tokenizer, _, loaded = load_run(tmp_path / "run")
    with torch.no_grad():
        head = backbone_of(model).decoder.lm_head.weight
        head.zero_()
        bits, perplexity = bits_per_base(model, [random_dna(100)], tokenizer, loaded.pretrain)
    assert bits == pytest.approx(math.log2(len(head)))
    assert perplexity == pytest.approx(len(head))


def test_sources_that_hold_no_dna_are_one_line(tmp_path: Path) -> None:
    config = resolve_pretraining("tiny", QUICK)
    with pytest.raises(ValueError, match="does not exist"):
        pretrain(tmp_path / "none.fa", tmp_path / "run", config)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no FASTA file"):
        pretrain(tmp_path / "empty", tmp_path / "run", config)
    (tmp_path / "protein.fa").write_text(">p\nMKVLAAGIVGLLQPEFILMKVLAAGIVGLL\n")
    with pytest.raises(ValueError, match="nothing to pretrain on"):
        pretrain(tmp_path / "protein.fa", tmp_path / "run", config)
    assert not (tmp_path / "run").exists()
