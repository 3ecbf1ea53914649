"""`polyhead demo genomics`: simulate, pretrain, train, answer and score; a repeated call does what is left to do.

The folder: ``data/`` the simulated set, ``pretrained/`` and ``run/`` the two runs, ``predictions/`` answers and the
report, ``variants/`` scored variants, ``tracks/`` probabilities along a contig that no training saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from apps.demonstration import Stages, answer_all, is_begun, repeated
from apps.genomics import cli

HELD_OUT = ("chr4", "chr5")
"""Contigs of the validation and test windows: the pretraining must not have read them."""

NEW = "chr5"


def run_demo(out: Path, *, sample: str = "tiny", settings: Sequence[str] = (), pretraining: Sequence[str] = ()) -> Path:
    """Runs the verbs of the command line one after the other and prints where the results are.

    Args:
        out: folder for everything.
        sample: size of the simulated set.
        settings, pretraining: changes of the tiny preset's two trainings, as ``name=value``.

    Returns:
        the report, one HTML page.

    Raises:
        ValueError: the folder holds something else, or a demonstration with other settings.
        RuntimeError: cases failed, which simulated sequences do not.
    """
    data, first, run = out / "data", out / "pretrained", out / "run"
    predictions, variants, tracks = out / "predictions", out / "variants", out / "tracks"
    genome, vcf = data / "genome.fa", data / "variants.vcf"
    held_out = [f"validation_contigs=[{', '.join(HELD_OUT)}]", *pretraining]
    stage = Stages("genomics", 8)

    def resumed(folder: Path) -> list[str]:
        return ["--resume"] if is_begun(folder) else []

    with stage("sample", data, "--preset", sample):
        cli.sample(data, preset=sample)
    changes = repeated("--set", held_out)
    with stage("pretrain", genome, "-o", first, "--preset", "tiny", *changes, *resumed(first)):
        cli.pretrain(genome, first, preset="tiny", settings=held_out, resume=is_begun(first))
    changes = repeated("--set", settings)
    with stage("train", data, "-o", run, "--preset", "tiny", "--init", first, *changes, *resumed(run)):
        cli.train(data, run, preset="tiny", init=str(first), settings=list(settings), resume=is_begun(run))
    with stage("calibrate", run, data):
        cli.calibrate(run, data)
    with stage("predict", run, data, "-o", predictions):
        answer_all(partial(cli.predict, run, str(data), predictions), predictions)
    with stage("evaluate", predictions, data):
        cli.evaluate(predictions, data)
    with stage("variants", run, vcf, "--reference", genome, "-o", variants, "--overwrite"):
        answer_all(partial(cli.variants, run, vcf, genome, variants, overwrite=True), variants)
    with stage("scan", run, genome, "-o", tracks, "--region", NEW, "--overwrite"):
        cli.scan(run, genome, tracks, region=[NEW], overwrite=True)
    report = predictions / "report.html"
    stage.finish(
        f"scores {report}, answers {predictions / 'answers.tsv'} and {predictions / 'summary.html'}",
        f"variants {variants / 'variants.tsv'}, tracks in {tracks}",
    )
    return report
