"""The companions of a run that has none, or others: an imported checkpoint, or the pictures of another place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from domains.medical.intake.images import image_size
from domains.medical.ultrasound.data.checks import check_rows, content_hashes
from domains.medical.ultrasound.data.fm_uia import read_tables
from domains.medical.ultrasound.data.geometry import Frame
from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.data.splits import split_rows
from domains.medical.ultrasound.learning.companions import leave_companions
from domains.medical.ultrasound.presets import NetworkConfig, read_config
from domains.medical.ultrasound.saved import APPLICATION
from polyhead.batch.case import InvalidInput
from polyhead.runs.run import Run
from polyhead.runs.unfinished import unfinished
from polyhead.system.devices import choose_device

FEWEST_IMAGES = 20
"""Images below which nothing is fitted."""


def calibrate_run(
    path: Path, data: Path, *, device: str = "auto", say: Callable[[str], None] = lambda line: None
) -> None:
    """Writes ``likeness.safetensors`` and ``calibration.json`` of a finished run anew, from an FM_UIA data root.

    Rows that the run's record says it was trained on describe what it knows, the others set thresholds and
    temperatures. Where it was trained on fewer than `FEWEST_IMAGES` of these images, half of the others describe.

    Raises:
        ValueError: not a finished run of this application, or too few rows of its tasks.
    """
    run = Run.open(path, application=APPLICATION)
    if words := unfinished(run):
        raise ValueError(f"{path}: {words}; finish it before it is calibrated")
    config = read_config(run.info.configuration)
    tasks = run.info.task_set
    rows = [row for row in read_tables(data).rows if row.task in tasks and tasks[row.task].kind == row.kind]
    found = check_rows([row for row in rows if row.outputs == tasks[row.task].outputs])
    if found.problems:
        say(f"{len(found.problems)} problems in the data; first: {found.problems[0]}")
    usable = _that_fit(found.rows, config.network)
    trained = set((run.info.data.get("split") or {}).get("train", ()))
    known = [row for row in usable if row.image_path in trained]
    others = [row for row in usable if row.image_path not in trained]
    if len({row.image for row in others}) < FEWEST_IMAGES:
        raise ValueError(
            f"{data} has {len({row.image for row in others})} images of the run's tasks that it was not trained on; "
            f"calibration needs at least {FEWEST_IMAGES}"
        )
    if len({row.image for row in known}) < FEWEST_IMAGES:
        split = split_rows(others, fraction=0.5, contents=content_hashes({row.image for row in others}))
        known, others = list(split.train), list(split.validation)
    leave_companions(run, known, others, config, device=choose_device(device), say=say)


def _that_fit(rows: Sequence[Row], network: NetworkConfig) -> list[Row]:
    """The rows whose images keep both sides at the network's size."""
    kept = []
    for row in rows:
        try:
            Frame.fit(*image_size(row.image), network.image_size, keep_aspect=network.keep_aspect)
        except InvalidInput:
            continue
        kept.append(row)
    return kept
