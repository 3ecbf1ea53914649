"""The files of a whole run, made from the parts of all shards that have ended: results, failures, report, facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from polyhead import __version__
from polyhead.application import RESEARCH_USE
from polyhead.batch.folder import FAILED, RESULTS, OutputFolder
from polyhead.batch.outcome import FAILURES, STATUSES
from polyhead.batch.parts import Part, Rows, write_rows
from polyhead.batch.path_lists import write_path_list
from polyhead.batch.report import write_report
from polyhead.batch.standing import not_asked_line
from polyhead.batch.writer import dump_json
from polyhead.system.files import write_whole
from polyhead.system.folders import BATCH_FILE


def merge(folder: OutputFolder, key: Sequence[str], facts: Mapping[str, Any]) -> Rows:
    """Writes the merged files; the caller holds `OutputFolder.merging`.

    Args:
        key: of which run the parts must be.
        facts: what ``batch.json`` says of the whole run, beside what the parts say.

    Returns:
        The rows of all shards that have ended, in input order.
    """
    out = folder.out
    parts = folder.ended_parts(key)
    run = _facts_of(folder, parts, facts)
    rows = write_rows(parts, out / RESULTS)
    failures = [
        (row["id"], row["input"], f"{row['status']}: {row['reason']}")
        for row in (rows if any(run["counts"].get(status) for status in FAILURES) else ())
        if row["status"] in FAILURES
    ]
    write_whole(out / FAILED, write_path_list(failures))
    warnings = write_report(out, rows, run)
    write_whole(out / BATCH_FILE, dump_json(run | {"warnings": warnings.to_json()}, indent=1) + b"\n")
    return rows


def _facts_of(folder: OutputFolder, parts: Sequence[Part], facts: Mapping[str, Any]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.facts["counts"])
    ended = {part.facts["shard"][0] for part in parts}
    return {
        "software": {"name": "polyhead", "version": __version__},
        **{name: value for name, value in facts.items() if name != "info"},
        "counts": {status: counts[status] for status in STATUSES if counts[status]},
        "notes": [not_asked_line(facts["not_asked"]["ids"])] if facts["not_asked"]["count"] else [],
        "missing_shards": sorted(set(range(folder.of)) - ended),
        "shards": [part.facts for part in parts],
        "info": facts["info"],
        "research_use": RESEARCH_USE,
    }
