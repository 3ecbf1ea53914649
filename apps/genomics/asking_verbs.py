"""`polyhead genomics variants`, `scan`, `embed` and `mutate`: other questions to a trained run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from apps.flags import Device, Overwrite, Quiet, Run, Task
from apps.genomics.answer_verbs import BothStrands, Policy, Reference
from apps.terminal import say, sayer

if TYPE_CHECKING:
    from domains.genomics.predicting.asked_run import AskedRun
    from domains.genomics.sequences.records import SequenceRecord

TOLD = 20
"""Rejected records that are told one by one on the terminal."""


def variants(
    run: Run,
    source: Annotated[Path, typer.Argument(metavar="VARIANTS", help="VCF, or a table with chrom, pos, ref and alt.")],
    reference: Annotated[Path, typer.Option(help="FASTA that the variants were called on.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for variants.tsv and variants.vcf.")],
    task: Task = None,
    window: Annotated[int | None, typer.Option(min=2, help="Bases that are read around a variant.")] = None,
    boundaries: Annotated[int, typer.Option(min=1, help="Ways of cutting into tokens that are averaged.")] = 1,
    both_strands: BothStrands = True,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Scores variants: log-likelihood ratio of ALT against REF, and how every task's probabilities change.

    Exit status: 0 all scored, 3 some rejected, 4 none scored.
    """
    from domains.genomics.variants.scored import write_scored_variants

    table = out / "variants.tsv"
    _require_new([table, out / "variants.vcf"], overwrite)
    asked = _opened(run, device)
    _require_file(str(source), "variants")
    rejected: list[str] = []
    scored = write_scored_variants(
        asked,
        source,
        reference,
        out,
        tasks=_classes(asked, task),
        window=window,
        boundaries=boundaries,
        strands="both" if both_strands else "forward",
        rejected=lambda record: rejected.append("" if len(rejected) >= TOLD else str(record)),
    )
    _tell(rejected)
    sayer(quiet)(f"{scored} variants scored, {len(rejected)} rejected")
    typer.echo(table)
    raise typer.Exit(_status(scored, len(rejected)))


def scan(
    run: Run,
    reference: Annotated[Path, typer.Argument(metavar="GENOME", help="FASTA of contigs.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the tracks, one a task.")],
    task: Task = None,
    region: Annotated[
        list[str] | None, typer.Option(help="contig or contig:from-to (from 1, both included); by default all contigs.")
    ] = None,
    window: Annotated[int | None, typer.Option(min=1, help="Bases of a window.")] = None,
    stride: Annotated[int | None, typer.Option(min=1, help="Bases from window to window; a fifth of it.")] = None,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="bedgraph, bw or bed; may be given several times. All three.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Least probability of the stretches of BED files.")] = 0.5,
    both_strands: BothStrands = True,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Slides windows along contigs and writes each task's probability at every base as bedGraph, bigWig and BED."""
    from domains.genomics.predicting.scan import Region, ScanWindows, tracks_of, write_scan
    from domains.genomics.predicting.scan import scan as slide
    from domains.genomics.predicting.tracks import BedRegions
    from domains.genomics.readers.reference import Reference as Genome

    asked = _opened(run, device)
    chosen = _classes(asked, task)
    size = window or min(asked.usual_window(chosen), 500)
    settings = ScanWindows(size=size, stride=stride or max(1, size // 5), strands="both" if both_strands else "forward")
    names = [name for _, _, name in tracks_of(asked.scorer.labels, chosen)]
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise ValueError(f"{out} is not empty; --overwrite replaces the tracks in it")
    with Genome(reference) as genome:
        asked_regions = [_region(text, genome) for text in region or genome.contigs]
        order = {contig: place for place, contig in enumerate(genome.contigs)}
        regions = [Region(*each) for each in sorted(asked_regions, key=lambda each: (order[each[0]], each[1]))]
        paths = write_scan(
            slide(genome, regions, asked.scorer, tasks=chosen, settings=settings, one_strand=asked.one_strand),
            out,
            genome.contigs,
            names,
            formats=list(dict.fromkeys(formats or ("bedgraph", "bw", "bed"))),
            regions=BedRegions(threshold=threshold),
        )
    bases = sum(each.end - each.start for each in regions)
    sayer(quiet)(f"{bases} bases by windows of {size} every {settings.stride}: {len(paths)} tracks")
    typer.echo(out)


def embed(
    run: Run,
    source: Annotated[str, typer.Argument(metavar="INPUT", help="Sequences, as `predict` reads them; - for stdin.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A .parquet or .npz file.")],
    pooling: Annotated[Literal["mean", "last", "max"], typer.Option(help="Over the DNA tokens.")] = "mean",
    reference: Reference = None,
    policy: Policy = "mask",
    both_strands: Annotated[
        bool, typer.Option("--both-strands/--forward", help="The mean with the reverse complement, or one strand.")
    ] = False,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Writes a vector a sequence: hidden states of the model, pooled.

    Exit status: 0 all done, 3 some records were rejected, 4 no sequence.
    """
    from domains.genomics.predicting.embed import Embedder, write_embeddings

    _require_new([out], overwrite)
    asked = _opened(run, device)
    embedder = Embedder(
        asked.scorer.decoder, asked.tokenizer, pooling=pooling, strands="both" if both_strands else "forward"
    )
    rejected: list[str] = []
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        count = write_embeddings(embedder.records(_accepted(source, reference, policy, rejected)), out, pooling=pooling)
    except ValueError as nothing:
        if "no sequence to embed" not in str(nothing):
            raise
        count = 0
    _tell(rejected)
    sayer(quiet)(f"{count} sequences of {embedder.width} numbers, {len(rejected)} records rejected")
    if count:
        typer.echo(out)
    raise typer.Exit(_status(count, len(rejected)))


def mutate(
    run: Run,
    source: Annotated[str, typer.Argument(metavar="INPUT", help="Sequences, as `predict` reads them; - for stdin.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder: a .npz and a table a sequence.")],
    task: Task = None,
    span: Annotated[str | None, typer.Option(help="from-to (from 1, both included): only these bases.")] = None,
    reference: Reference = None,
    policy: Policy = "mask",
    both_strands: BothStrands = True,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Asks for every single-base change of each sequence: what it does to the likelihood and to every task.

    Exit status: 0 all done, 3 some records were rejected, 4 no sequence.
    """
    from domains.genomics.variants.comparers import comparer
    from domains.genomics.variants.mutagenesis import mutagenesis
    from domains.genomics.variants.mutation_files import write_mutagenesis

    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise ValueError(f"{out} is not empty; --overwrite replaces what is in it")
    asked = _opened(run, device)
    tasks = _classes(asked, task)
    labels = {name: asked.scorer.labels[name] for name in tasks}
    bases = None if span is None else _span(span, "--span")
    model, strands = comparer(asked.scorer), "both" if both_strands else "forward"
    rejected: list[str] = []
    count = 0
    for record in _accepted(source, reference, policy, rejected):
        if len(asked.cut(record.sequence, tasks)) > 1:
            reason = f"{record.name}: {len(record.sequence)} bases are more than the model reads at once"
            rejected.append(f"{reason}; cut it to about {asked.usual_window(tasks)} bases")
            continue
        try:
            told = mutagenesis(
                record.sequence, model, tasks=tuple(tasks), span=bases, strands=strands, one_strand=asked.one_strand
            )
        except ValueError as wrong:
            rejected.append(f"{record.name}: {wrong}")
            continue
        count += 1
        write_mutagenesis(told, record.name, out, labels)
        sayer(quiet)(f"{record.name}: {told.likelihood.shape[1]} bases")
    _tell(rejected)
    if count:
        typer.echo(out)
    raise typer.Exit(_status(count, len(rejected)))


def _opened(run: Path, device: str) -> AskedRun:
    from apps.unfinished import warn_unfinished
    from domains.genomics.predicting.asked_run import open_run

    warn_unfinished(run)
    return open_run(run, device=device)


def _classes(asked: AskedRun, tasks: Sequence[str] | None) -> list[str]:
    """The classification tasks that are asked: those named, or all."""
    known = asked.scorer.labels
    for task in tasks or ():
        if task not in known:
            raise ValueError(f"{task!r} is no classification task of the run; those are: {', '.join(known) or 'none'}")
    return list(dict.fromkeys(tasks or known))


def _accepted(source: str, reference: Path | None, policy: str, rejected: list[str]) -> Iterator[SequenceRecord]:
    """The clean records of a source; what is none is noted."""
    from domains.genomics.asking.blocks import mostly_ambiguous
    from domains.genomics.readers import read_records
    from domains.genomics.sequences.records import RejectedRecord as Rejected

    _require_file(source, "sequences")
    for record in read_records(source, reference=reference, policy=policy):
        lost = record if isinstance(record, Rejected) else mostly_ambiguous(record)
        if lost is None and not isinstance(record, Rejected):
            yield record
        elif lost is not None and lost.lost:
            rejected.append(str(lost))
        else:
            say(f"note: {record}")


def _require_file(source: str, what: str) -> None:
    """What is no file is said before anything is written."""
    from polyhead.batch.outcome import NoInput

    path = Path(source)
    if path.is_dir():
        raise NoInput(f"{path} is a folder; name one file of {what} in it")
    # A pipe of the shell is as good as a file.
    if source == "-" or path.exists():
        return
    if path.is_symlink():
        raise NoInput(f"{path} is a link to {path.readlink()}, which is not there; mend it, or name the file itself")
    raise NoInput(f"there is no file {path}; name one file of {what}, not a pattern or a list")


def _require_new(paths: Sequence[Path], overwrite: bool) -> None:
    for path in paths:
        if path.exists() and not overwrite:
            raise ValueError(f"{path} is there already; --overwrite replaces it")


def _region(text: str, genome: object) -> tuple[str, int, int]:
    """A contig, or ``contig:from-to`` counted from 1, as 0-based half-open bases of the genome."""
    from domains.genomics.readers.reference import Reference as Genome

    assert isinstance(genome, Genome)
    contig, colon, span = text.rpartition(":")
    if not colon or text in genome.contigs:
        name = genome.name(text)
        return name, 0, genome.length(name)
    name = genome.name(contig)
    start, end = _span(span, f"--region {text}")
    if end > genome.length(name):
        raise ValueError(f"--region {text}: {name} has {genome.length(name)} bases")
    return name, start, end


def _span(text: str, flag: str) -> tuple[int, int]:
    """``from-to`` counted from 1, both included, as 0-based half-open."""
    first, dash, last = text.replace(",", "").partition("-")
    if not (dash and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise ValueError(f"{flag}: write from-to with 1 <= from <= to, got {text!r}")
    return int(first) - 1, int(last)


def _tell(rejected: Sequence[str]) -> None:
    for line in rejected[:TOLD]:
        say(f"rejected: {line}")
    if len(rejected) > TOLD:
        say(f"and {len(rejected) - TOLD} more")


def _status(done: int, rejected: int) -> int:
    from polyhead.batch.outcome import EXIT_NO_INPUT, EXIT_OK, EXIT_PARTIAL

    if not done:
        return EXIT_NO_INPUT
    return EXIT_PARTIAL if rejected else EXIT_OK
