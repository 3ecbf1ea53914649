"""In-silico mutagenesis on disk: a table of every change, and the matrices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from domains.genomics.variants.files import shown_labels
from domains.genomics.variants.mutagenesis import BASES, Mutagenesis
from polyhead.application import RESEARCH_USE
from polyhead.system.files import replacing
from polyhead.system.spreadsheet import TableWriter


def write_mutagenesis(told: Mutagenesis, name: str, out: Path, labels: Mapping[str, Sequence[str]]) -> list[Path]:
    """Writes ``NAME.tsv``, a row a change, and ``NAME.npz``: ``likelihood`` (4, n), ``change/TASK`` (labels, 4, n).

    Positions count from 1 in the table and from 0 in the arrays' ``start``; rows of the matrices are A, C, G, T.

    Args:
        name: of the sequence; letters that a file name should not have become ``_``.
        labels: of the tasks, as in `Mutagenesis.changes`.

    Returns:
        the two files; one that is there is replaced.
    """
    out.mkdir(parents=True, exist_ok=True)
    plain = re.sub(r"[^\w.+#-]", "_", name).lstrip(".") or "sequence"
    table, arrays = out / f"{plain}.tsv", out / f"{plain}.npz"
    columns = shown_labels(labels)
    with replacing(table) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = TableWriter(stream, delimiter="\t")
        writer.writerow(
            ["position", "from", "to", "log_ratio", *(f"{task}:{label}.change" for task, _, label in columns)]
        )
        for place in range(told.likelihood.shape[1]):
            letter = told.sequence[told.start + place]
            for row, base in enumerate(BASES):
                if letter in BASES and base != letter:
                    cells = [f"{told.likelihood[row, place]:.6g}"]
                    cells += [f"{told.changes[task][label, row, place]:.6g}" for task, label, _ in columns]
                    writer.writerow([told.start + place + 1, letter, base, *cells])
    with replacing(arrays) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream,
            allow_pickle=False,
            sequence=np.array(told.sequence),
            start=np.array(told.start),
            bases=np.array(list(BASES)),
            likelihood=told.likelihood,
            use=np.array(RESEARCH_USE),
            **{f"change/{task}": told.changes[task] for task in labels},
            **{f"labels/{task}": np.array(list(names)) for task, names in labels.items()},
        )
    return [table, arrays]
