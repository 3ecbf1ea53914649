"""Pooled hidden states against those of transformers, one sequence at a time; files read back."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from pyarrow import parquet

from domains.genomics.models.family import ModelShape, build_decoder
from domains.genomics.predicting.embed import Embedded, Embedder, write_embeddings
from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.sequences.records import SequenceRecord
from domains.genomics.sequences.tokenizer import DnaTokenizer


def draw(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(2)
    tokenizer = DnaTokenizer.train([draw(3000, 1)], vocab=50)
    decoder = build_decoder(ModelShape(2, 16, 2, 32), tokenizer.vocabulary_size, context=64)
    return decoder, tokenizer


def states(decoder, ids: list[int]) -> np.ndarray:
    """Of the DNA tokens behind [CLS], by transformers' own list of hidden states."""
    with torch.no_grad():
        return decoder.eval()(torch.tensor([[1, *ids]]), output_hidden_states=True).hidden_states[-1][0, 1:].numpy()


SEQUENCES = [draw(40, 3), draw(7, 4), draw(90, 5), "A"]


@pytest.mark.parametrize("pooling", ["mean", "last", "max"])
@pytest.mark.parametrize("batch_tokens", [40, 16_384])
def test_against_one_sequence_at_a_time(parts, pooling: str, batch_tokens: int) -> None:
    decoder, tokenizer = parts
    told, counts = Embedder(decoder, tokenizer, pooling=pooling, batch_tokens=batch_tokens).embed(SEQUENCES)
    for sequence, vector, count in zip(SEQUENCES, told, counts, strict=True):
        ids = tokenizer.encode(sequence)
        hidden = states(decoder, ids)
        expected = {"mean": hidden.mean(0), "last": hidden[-1], "max": hidden.max(0)}[pooling]
        np.testing.assert_allclose(vector, expected, atol=1e-5)
        assert count == len(ids)


@pytest.mark.parametrize("pooling", ["mean", "last", "max"])
def test_long_sequences_are_read_in_parts(parts, pooling: str) -> None:
    decoder, tokenizer = parts
    text = draw(400, 6)
    ids = tokenizer.encode(text)
    told, counts = Embedder(decoder, tokenizer, pooling=pooling, context=31).embed([text])
    count = -(-len(ids) // 30)
    assert count > 2
    borders = [len(ids) * place // count for place in range(count + 1)]
    hidden = np.concatenate([states(decoder, ids[a:b]) for a, b in pairwise(borders)])
    expected = {"mean": hidden.mean(0), "last": hidden[-1], "max": hidden.max(0)}[pooling]
    np.testing.assert_allclose(told[0], expected, atol=1e-5)
    assert counts.tolist() == [len(ids)]


def test_a_long_sequence_is_tokenised_in_parts(parts) -> None:
    decoder, tokenizer = parts
    text = draw(10_050, 7)
    told, counts = Embedder(decoder, tokenizer).embed(["ACGT", text, "A"])
    assert counts[1] == len(tokenizer.encode_genome(text)) and np.isfinite(told).all()


def test_both_strands_do_not_depend_on_the_strand(parts) -> None:
    decoder, tokenizer = parts
    embedder = Embedder(decoder, tokenizer, strands="both")
    one, _ = embedder.embed(SEQUENCES)
    other, _ = embedder.embed([reverse_complement(sequence) for sequence in SEQUENCES])
    np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("ending", [".parquet", ".npz"])
def test_files(parts, tmp_path: Path, ending: str) -> None:
    decoder, tokenizer = parts
    embedder = Embedder(decoder, tokenizer)
    records = [SequenceRecord(f"r{place}", sequence) for place, sequence in enumerate(SEQUENCES)]
    path = tmp_path / f"out{ending}"
    assert write_embeddings(embedder.records(records, batch=3), path, pooling="mean", batch=3) == 4
    expected, counts = embedder.embed(SEQUENCES)
    if ending == ".npz":
        with np.load(path, allow_pickle=False) as file:
            names, vectors, tokens = file["names"].tolist(), file["embeddings"], file["tokens"].tolist()
            assert file["pooling"] == "mean"
    else:
        table = parquet.read_table(path)
        names, tokens = table["name"].to_pylist(), table["tokens"].to_pylist()
        vectors = np.array(table["embedding"].to_pylist(), dtype=np.float32)
        assert table.schema.metadata[b"pooling"] == b"mean"
        assert parquet.ParquetFile(path).num_row_groups == 2
    assert names == ["r0", "r1", "r2", "r3"] and tokens == counts.tolist()
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_what_is_refused(parts, tmp_path: Path) -> None:
    decoder, tokenizer = parts
    with pytest.raises(ValueError, match="mean, last, max"):
        Embedder(decoder, tokenizer, pooling="sum")
    with pytest.raises(ValueError, match="takes 2 to 64"):
        Embedder(decoder, tokenizer, context=65)
    with pytest.raises(ValueError, match="sequence 2 is empty"):
        Embedder(decoder, tokenizer).embed(["ACG", ""])
    row = Embedded("a", np.zeros(3, np.float32), 3, 1)
    with pytest.raises(ValueError, match=r"\.parquet or \.npz"):
        write_embeddings([row], tmp_path / "a.npy")
    for name in ("a.npz", "a.parquet"):
        with pytest.raises(ValueError, match="no sequence"):
            write_embeddings([], tmp_path / name)
    assert list(tmp_path.iterdir()) == []
