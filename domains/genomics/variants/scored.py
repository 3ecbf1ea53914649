"""A file of variants scored by a run, in one pass and constant memory: a table and VCF side by side."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from domains.genomics.predicting.asked_run import AskedRun
from domains.genomics.readers import read_variants
from domains.genomics.readers.recognise import recognise
from domains.genomics.readers.reference import Reference
from domains.genomics.readers.stream import Source, UnreadableSource
from domains.genomics.sequences.records import RejectedRecord
from domains.genomics.variants.comparers import comparer
from domains.genomics.variants.effects import VariantWindows, score_variants
from domains.genomics.variants.files import Scored, write_variant_table, write_variant_vcf

TABLE, VCF = "variants.tsv", "variants.vcf"
USUAL_WINDOW = 500
_AHEAD = 1024


def write_scored_variants(
    asked: AskedRun,
    source: Path,
    reference: Path,
    out: Path,
    *,
    tasks: Sequence[str],
    window: int | None = None,
    boundaries: int = 1,
    strands: str = "both",
    rejected: Callable[[RejectedRecord], None] = lambda record: None,
) -> int:
    """Writes ``variants.tsv`` and ``variants.vcf`` into `out`; see `domains.genomics.variants.files`.

    Args:
        source: VCF or a table of variants; ``-`` for the standard input.
        window: bases around a variant; None for what the model takes, at most `USUAL_WINDOW`.
        rejected: told of every row that is not scored.

    Returns:
        how many were scored.

    Raises:
        ValueError: a reference that cannot be read, or settings that do not fit.
    """
    size = window or min(asked.usual_window(tasks), USUAL_WINDOW)
    settings = VariantWindows(size=size, strands=strands, boundaries=boundaries)
    labels = {task: asked.scorer.labels[task] for task in tasks}
    path = None if str(source) == "-" else source

    def told(rows: Iterator[Scored]) -> Iterator[Scored]:
        for row in rows:
            if isinstance(row, RejectedRecord):
                rejected(row)
            yield row

    with Reference(reference) as genome:
        model = comparer(asked.scorer)
        scored = score_variants(
            read_variants(source),
            genome,
            model,
            tasks=tasks,
            windows=settings,
            one_strand=asked.one_strand,
            source=path,
        )
        out.mkdir(parents=True, exist_ok=True)
        own = path if path is not None and _is_vcf(path) else None
        contigs = dict(genome.contigs)
        counts = _both(
            told(scored),
            lambda rows: write_variant_table(rows, out / TABLE, labels),
            lambda rows: write_variant_vcf(rows, out / VCF, labels, source=own, contigs=contigs),
        )
    return counts["scored"]


def _is_vcf(path: Path) -> bool:
    try:
        with Source(path) as opened:
            return recognise(opened.head, path) == "vcf"
    except UnreadableSource:
        return False


Write = Callable[[Iterator[Scored]], dict[str, int]]


def _both(rows: Iterator[Scored], first: Write, second: Write) -> dict[str, int]:
    """Gives the rows to two writers at once; the second runs in a thread, at most `_AHEAD` rows behind."""
    waiting: queue.Queue[Scored | None] = queue.Queue(_AHEAD)
    failed: list[BaseException] = []

    def later() -> Iterator[Scored]:
        while (row := waiting.get()) is not None:
            yield row
        if failed:
            # What came before an error is not the whole: the file must not take its name.
            raise RuntimeError("the rows broke off")

    def write_second() -> None:
        try:
            second(later())
        except BaseException as error:
            failed.append(error)
            while waiting.get() is not None:
                pass

    def forked() -> Iterator[Scored]:
        for row in rows:
            waiting.put(row)
            yield row

    thread = threading.Thread(target=write_second)
    thread.start()
    try:
        counts = first(forked())
    except BaseException as error:
        failed.append(error)
        raise
    finally:
        waiting.put(None)
        thread.join()
    if failed:
        raise failed[0]
    return counts
