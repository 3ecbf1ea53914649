"""Labelled data with a split of their own making: the table, its tasks, and the record of how it was made."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from domains.genomics.answers.codecs import codec_hashes, copy_codecs
from domains.genomics.data.facts import TASKS_FILE, write_facts
from domains.genomics.data.labelled import read_labelled
from domains.genomics.data.splits import DROPPED, TEST, purged_split, random_split
from polyhead.batch.writer import dump_json
from polyhead.system.files import replacing

TABLE, RECORD = "labelled.csv", "split.json"


def split_data(
    data: Path,
    out: Path,
    *,
    kind: Literal["purged", "random", "sequence"] = "purged",
    test: float = 0.1,
    validation: float = 0.1,
    k: int = 31,
    keep_test: bool = False,
    tasks: Sequence[str] | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, int]:
    """Writes OUT/labelled.csv with the column split, OUT/tasks.json, and OUT/split.json, which says how it was made.

    Codecs of pictures are taken along. Rows that a purged split drops, for they share a k-mer with another side, are
    not written; they are counted.

    Args:
        kind: "purged": no k-mer is shared; "sequence": no sequence; "random": rows are drawn, as published sets are.
        keep_test: the rows that `data` calls test stay on that side (purged splits only).

    Returns:
        rows of each side.

    Raises:
        ValueError: the data cannot be read, shares that do not fit, or OUT holds a table already.
    """
    there = next((out / name for name in (TABLE, RECORD, TASKS_FILE) if (out / name).exists()), None)
    if there is not None and not overwrite:
        raise ValueError(f"{there} is there already; --overwrite replaces it")
    if keep_test and kind != "purged":
        raise ValueError("--keep-test purges the other rows of the test rows: it goes with --kind purged")
    found = read_labelled(data, tasks=tasks)
    if kind == "purged":
        held = {int(row): TEST for row in found.rows(split=TEST)} if keep_test else None
        made = purged_split(found.sequences, test=test, validation=validation, k=k, seed=seed, held=held)
    else:
        by = "row" if kind == "random" else "sequence"
        made = random_split(found.sequences, found.task.tolist(), test=test, validation=validation, seed=seed, by=by)
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / TABLE) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["sequence", "task", "label", "split", "group"])
        rows = zip(found.sequences, found.task, found.label, made.side.tolist(), found.group, strict=True)
        table.writerows(row for row in rows if row[3] != DROPPED)
    write_facts(out, found.facts)
    named = [str(facts.options["codec"]) for facts in found.facts.values() if facts.options.get("codec")]
    if found.folder is not None:
        copy_codecs(found.folder, out, codec_hashes(found.folder, named))
    with replacing(out / RECORD) as temporary:
        record = {"source": str(data), "fingerprint": found.fingerprint(), "problems": len(found.problems)}
        temporary.write_bytes(dump_json(record | made.to_json(), indent=1) + b"\n")
    return made.counts
