"""Embeddings of sequences: hidden states pooled over DNA tokens, to parquet and npz."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from polyhead.application import RESEARCH_USE
from polyhead.system.files import replacing

if TYPE_CHECKING:
    from domains.genomics.sequences.records import SequenceRecord

_WORD = 10_000

POOLINGS = ("mean", "last", "max")


class Tokens(Protocol):
    """The part of the tokenizer that is needed here."""

    def encode_many(self, sequences: list[str], /) -> list[list[int]]: ...

    def encode_genome(self, sequence: str, chunk: int, /) -> np.ndarray: ...

    def token_id(self, token: str, /) -> int: ...


@dataclass(frozen=True)
class Embedded:
    """One sequence as a point.

    Attributes:
        name: of the record.
        vector: (d,) float32.
        length: bases.
        tokens: DNA tokens.
    """

    name: str
    vector: np.ndarray
    length: int
    tokens: int


class Embedder:
    """Pools the hidden states after the last norm of ``[CLS] DNA`` over the DNA tokens.

    A sequence with more tokens than `context` is read in parts of equal length. The mean is over all its tokens, the
    maximum over all parts, the last token is that of the last part; tokens of a part do not see the one before.

    Args:
        decoder: a causal language model of transformers, or a module that holds one as `decoder`.
        pooling: "mean", "last", or "max" (of each channel).
        context: most tokens of a part, [CLS] included; None for as many as the model takes.
        strands: "both" takes the mean with the reverse complement.
        batch_tokens: tokens of a pass, padding counted.
    """

    def __init__(
        self,
        decoder: Any,
        tokenizer: Tokens,
        *,
        pooling: str = "mean",
        context: int | None = None,
        strands: str = "forward",
        batch_tokens: int = 16_384,
    ):
        if pooling not in POOLINGS:
            raise ValueError(f"{pooling!r} is no pooling; those are {', '.join(POOLINGS)}")
        if strands not in ("both", "forward"):
            raise ValueError(f"strands is {strands!r}; it is both or forward")
        decoder = getattr(decoder, "backbone", decoder)
        self.decoder: Any = getattr(decoder, "decoder", decoder)
        self.tokenizer, self.pooling, self.strands, self.batch_tokens = tokenizer, pooling, strands, batch_tokens
        limit = int(self.decoder.config.max_position_embeddings)
        self.context = limit if context is None else context
        if not 2 <= self.context <= limit:
            raise ValueError(f"a context of {self.context} tokens: the model takes 2 to {limit}")
        self.start = tokenizer.token_id("[CLS]")

    @property
    def width(self) -> int:
        """Numbers of an embedding."""
        return int(self.decoder.config.hidden_size)

    def embed(self, sequences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings (n, d) float32 and counts of DNA tokens (n,); an empty sequence is a `ValueError`."""
        from domains.genomics.sequences.alphabet import reverse_complement

        if self.strands == "both":
            whole, counts = self._pooled([*sequences, *map(reverse_complement, sequences)])
            return (whole[: len(sequences)] + whole[len(sequences) :]) / 2, counts[: len(sequences)]
        return self._pooled(sequences)

    def _pooled(self, sequences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        import torch

        from domains.genomics.scoring.prefixes import buckets, padded

        for place, sequence in enumerate(sequences):
            if not sequence:
                raise ValueError(f"sequence {place + 1} is empty")
        ids = self._encoded(sequences)
        parts = [(place, part) for place, row in enumerate(ids) for part in _parts(row, self.context - 1)]
        pooled = np.zeros((len(parts), self.width), dtype=np.float64)
        device = next(self.decoder.parameters()).device
        training = self.decoder.training
        self.decoder.eval()
        try:
            with torch.inference_mode():
                for batch in buckets([len(part) + 1 for _, part in parts], self.batch_tokens):
                    tokens, lengths = padded([[self.start, *parts[index][1]] for index in batch], device)
                    # Attention is causal: no token sees the padding behind it.
                    hidden = self.decoder.model(input_ids=tokens, use_cache=False).last_hidden_state.float()
                    pooled[batch] = _pool(hidden, lengths, self.pooling).double().cpu().numpy()
        finally:
            self.decoder.train(training)
        counts = np.array([len(row) for row in ids], dtype=np.int64)
        owner = np.array([place for place, _ in parts], dtype=np.int64)
        whole = np.full((len(ids), self.width), -np.inf if self.pooling == "max" else 0.0)
        if self.pooling == "max":
            np.maximum.at(whole, owner, pooled)
        elif self.pooling == "last":
            whole[owner] = pooled
        else:
            np.add.at(whole, owner, pooled * np.array([[len(part)] for _, part in parts]))
            whole /= counts[:, None]
        return whole.astype(np.float32), counts

    def _encoded(self, sequences: Sequence[str]) -> list[list[int]]:
        """DNA tokens; a sequence of more than `_WORD` bases is cut for it, since coding one word takes ever longer."""
        short = iter(self.tokenizer.encode_many([text for text in sequences if len(text) <= _WORD]))
        return [
            next(short) if len(text) <= _WORD else self.tokenizer.encode_genome(text, _WORD).tolist()
            for text in sequences
        ]

    def records(self, records: Iterable[SequenceRecord], batch: int = 256) -> Iterator[Embedded]:
        """Embeds records in their order, `batch` at a time."""
        stream = iter(records)
        while chunk := list(islice(stream, batch)):
            vectors, tokens = self.embed([record.sequence for record in chunk])
            for record, vector, count in zip(chunk, vectors, tokens, strict=True):
                yield Embedded(record.name, vector, len(record.sequence), int(count))


def write_embeddings(rows: Iterable[Embedded], path: Path, *, pooling: str = "", batch: int = 1024) -> int:
    """Writes ``.parquet`` (a row group every `batch` rows, in constant memory) or ``.npz`` (held in memory).

    Parquet has the columns ``name``, ``length``, ``tokens`` and ``embedding`` (a list of d float32); npz the arrays
    ``names``, ``lengths``, ``tokens`` and ``embeddings`` (n, d).

    Returns:
        the number of rows.

    Raises:
        ValueError: another ending, or no row.
    """
    if path.suffix not in (".parquet", ".npz"):
        raise ValueError(f"{path.name}: embeddings are written as .parquet or .npz")
    stream = iter(rows)
    count = 0
    with replacing(path) as temporary:
        if path.suffix == ".npz":
            count = _write_npz(list(stream), temporary, pooling)
        else:
            with _parquet(temporary, pooling) as add:
                while chunk := list(islice(stream, batch)):
                    add(chunk)
                    count += len(chunk)
        if not count:
            raise ValueError(f"{path.name}: there is no sequence to embed")
    return count


def _write_npz(rows: Sequence[Embedded], path: Path, pooling: str) -> int:
    if rows:
        with path.open("wb") as stream:
            np.savez_compressed(
                stream,
                allow_pickle=False,
                names=np.array([row.name for row in rows]),
                lengths=np.array([row.length for row in rows], dtype=np.int64),
                tokens=np.array([row.tokens for row in rows], dtype=np.int64),
                embeddings=np.stack([row.vector for row in rows]),
                pooling=np.array(pooling),
                use=np.array(RESEARCH_USE),
            )
    return len(rows)


@contextmanager
def _parquet(path: Path, pooling: str) -> Iterator[Any]:
    import pyarrow as arrow
    from pyarrow import parquet

    writer: Any = None

    def add(rows: Sequence[Embedded]) -> None:
        nonlocal writer
        width = len(rows[0].vector)
        schema = arrow.schema(
            [
                ("name", arrow.string()),
                ("length", arrow.int64()),
                ("tokens", arrow.int64()),
                ("embedding", arrow.list_(arrow.float32(), width)),
            ],
            metadata={"pooling": pooling, "use": RESEARCH_USE},
        )
        if writer is None:
            writer = parquet.ParquetWriter(path, schema)
        flat = arrow.array(np.concatenate([row.vector for row in rows]), arrow.float32())
        columns = [
            arrow.array([row.name for row in rows], arrow.string()),
            arrow.array([row.length for row in rows], arrow.int64()),
            arrow.array([row.tokens for row in rows], arrow.int64()),
            arrow.FixedSizeListArray.from_arrays(flat, width),
        ]
        writer.write_table(arrow.Table.from_arrays(columns, schema=schema))

    try:
        yield add
    finally:
        if writer is not None:
            writer.close()


def _pool(hidden: Any, lengths: Any, pooling: str) -> Any:
    """(B, T, d) with [CLS] first to (B, d)."""
    import torch

    places = torch.arange(hidden.shape[1], device=hidden.device)[None]
    if pooling == "last":
        return hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]
    dna = ((places > 0) & (places < lengths[:, None]))[..., None]
    if pooling == "max":
        return hidden.masked_fill(~dna, -torch.inf).amax(1)
    return (hidden * dna).sum(1) / (lengths - 1)[:, None]


def _parts(ids: Sequence[int], most: int) -> list[Sequence[int]]:
    """As few parts as `most` tokens allow, of lengths that differ by one at most."""
    count = -(-len(ids) // most)
    borders = [len(ids) * place // count for place in range(count + 1)]
    return [ids[start:end] for start, end in pairwise(borders)]
