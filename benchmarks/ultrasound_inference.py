"""Images a second of prediction, against the baseline's procedure on the same weights, pair by pair in one run.

    python -m benchmarks.ultrasound_inference [--run RUN]

Both start from decoded and resized images and end at answers in the pixels of each image. Without a run, a model of
the preset `mh-mtl` is made: random encoder, its normalisation statistics taken from the images, heads fitted for some
steps so that its answers are decided; speed does not depend on the weights, agreement does.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import ultrasound_baseline as baseline
from benchmarks.results import table, write_section
from domains.medical.ultrasound.data.fm_uia import read_tables, tasks_of
from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.learning.dataset import task_data, to_input
from domains.medical.ultrasound.learning.training import task_loss
from domains.medical.ultrasound.networks.network import build_model, task_specs
from domains.medical.ultrasound.predicting.decode import TaskAnswer
from domains.medical.ultrasound.predicting.predict import UltrasoundItem, UltrasoundPredictor
from domains.medical.ultrasound.presets import PRESETS
from domains.medical.ultrasound.saved import describe
from domains.medical.ultrasound.simulator import sample
from polyhead.batch.case import Case
from polyhead.runs.run import Run


def make_run(rows: list[Row], path: Path, steps: int = 60) -> Run:
    """A run of `mh-mtl` whose answers are decided: statistics of the images, heads fitted on fixed features.

    Residual branches begin damped, as trained ones are: a random network at full gain is chaotic, and no arithmetic but
    the very same would agree with it.
    """
    config = PRESETS["mh-mtl"]
    torch.manual_seed(0)
    tasks = task_specs(tasks_of(rows), config)
    model = build_model(tasks, config.network)
    data = task_data(rows, config)
    inputs = [data[task].sample(index, None)[0] for task in data for index in range(min(4, len(data[task])))]
    loader = [torch.stack(inputs[start : start + 12]) for start in range(0, len(inputs), 12)]
    encoder = model.backbone.encoder
    assert isinstance(encoder, torch.nn.Module)
    for module in encoder.modules():
        if getattr(module, "apply_dropout", False) and isinstance(module.project_bn, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(module.project_bn.weight, 0.1)
    torch.optim.swa_utils.update_bn(loader, encoder)
    model.eval()
    for name, task in tasks.items():
        samples = [data[name].sample(index, None) for index in range(min(8, len(data[name])))]
        with torch.no_grad():
            features = model.encode(torch.stack([image for image, _ in samples]), {task.reads: None})[task.reads]
        targets = torch.stack([target for _, target in samples])
        optimizer = torch.optim.Adam(model.head_parameters(name), lr=1e-2)
        # Dice alone is slow to leave the empty mask; the mended preset's loss decides sooner.
        chosen = PRESETS["mh-mtl-plus"] if task.kind == "segmentation" else config
        loss = task_loss(task, chosen)
        # Linear heads on pooled features cost nothing a step.
        for _ in range(5 * steps if task.reads == "c5" else steps):
            optimizer.zero_grad()
            loss(model.head(name)(features), targets).backward()
            optimizer.step()
    run = Run.begin(path, describe(config, tasks, notes="random encoder, fitted heads: for timing"))
    run.save_weights(model.state_dict())
    run.finish({})
    return run


def rows_as_items(predictor: UltrasoundPredictor, asked: list[tuple[Path, tuple[str, ...]]]) -> list[UltrasoundItem]:
    return [predictor.read(Case(str(index), path, tasks)) for index, (path, tasks) in enumerate(asked)]


def compare(
    run: Path, asked: list[tuple[Path, tuple[str, ...]]], repeats: int, title: str
) -> tuple[str, dict[str, float]]:
    """Times the baseline, float32 and bfloat16 in turn over the same images; returns a table and the ratios."""
    plain = UltrasoundPredictor(run, backend="plain", cache=False)
    items = rows_as_items(plain, asked)
    # The baseline keeps the default memory format.
    plain.model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    rows = [(item, task) for item in items for task in item.tasks]
    order = np.random.default_rng(0).permutation(len(rows))
    inputs = {id(item): to_input(item.input) for item in items}
    images = [inputs[id(rows[index][0])] for index in order]
    frames = [rows[index][0].frame for index in order]
    tasks = [rows[index][1] for index in order]

    quick = {
        precision: UltrasoundPredictor(run, precision=precision, items=len(items) * 100, batch_size=32)
        for precision in ("float32", "bfloat16")
    }
    prepared = {}
    for name, predictor in quick.items():
        started = time.perf_counter()
        predictor.predict(items[:32])
        prepared[name] = time.perf_counter() - started
    baseline.predict(plain.model, images[:16], frames[:16], tasks[:16])

    seconds: dict[str, list[float]] = {"baseline": [], **{name: [] for name in quick}}
    reference: list[TaskAnswer] = []
    answers: dict[str, Any] = {}
    for _ in range(repeats):
        started = time.perf_counter()
        reference = baseline.predict(plain.model, images, frames, tasks)
        seconds["baseline"].append(time.perf_counter() - started)
        for name, predictor in quick.items():
            started = time.perf_counter()
            answers[name] = predictor.predict(items)
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    place = {id(item): index for index, item in enumerate(items)}
    lines, ratios = [], {}
    for name in seconds:
        ratio = statistics.median(a / b for a, b in zip(seconds["baseline"], seconds[name], strict=True))
        ratios[name] = ratio
        agreement = "reference"
        backend = "plain, a forward a task"
        if name in quick:
            found = [answers[name][place[id(rows[index][0])]].tasks[rows[index][1]] for index in order]
            agreement = agree(found, reference)
            backbone = quick[name]._encode
            assert backbone is not None
            backend = f"{backbone.dense.backend}, prepared in {prepared[name]:.0f} s"
        lines.append(
            [
                name,
                backend,
                f"{len(rows) / medians[name]:.1f}",
                f"{len(items) / medians[name]:.1f}",
                f"{ratio:.2f}",
                agreement,
            ]
        )
    header = ["what", "backend", "rows / s", "images / s", "times the baseline", "agreement with the baseline"]
    text = f"**{title}**: {len(items)} images, {len(rows)} rows, {repeats} alternating repeats, medians.\n\n"
    return text + table(header, lines), ratios


def agree(found: list[TaskAnswer], reference: list[TaskAnswer]) -> str:
    """How the answers agree, kind by kind."""
    pixels, equal, painted, classes, same, distance = 0, 0, 0, 0, 0, 0.0
    probability = 0.0
    for one, other in zip(found, reference, strict=True):
        if one.mask is not None and other.mask is not None:
            pixels += one.mask.size
            equal += int((one.mask == other.mask).sum())
            painted += int((other.mask > 0).sum())
        elif one.probabilities is not None and other.probabilities is not None:
            classes += 1
            same += int(np.argmax(one.probabilities) == np.argmax(other.probabilities))
            probability = max(probability, float(np.abs(np.subtract(one.probabilities, other.probabilities)).max()))
        else:
            ours = np.ravel(np.asarray(one.box if one.box is not None else one.points))
            theirs = np.ravel(np.asarray(other.box if other.box is not None else other.points))
            distance = max(distance, float(np.abs(ours - theirs).max()))
    return (
        f"{100 * equal / pixels:.3f} % of mask pixels ({100 * painted / pixels:.0f} % are foreground), "
        f"{same} of {classes} classes (probabilities within {probability:.1e}), "
        f"boxes and points within {distance:.2g} px"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run of the preset mh-mtl with the 27 tasks; made where absent")
    parser.add_argument("--rows", type=int, default=8, help="rows of each task")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        sample(data, rows_per_task=given.rows, validation=0, seed=3)
        rows = read_tables(data).rows
        run = given.run or Path(folder) / "run"
        if not (run / "run.json").is_file():
            make_run(rows, run)
        # The tables are read task by task; a mixed set comes in any order.
        mixed = [rows[index] for index in np.random.default_rng(1).permutation(len(rows))]
        once = [(row.image, (row.task,)) for row in mixed]
        names = sorted({row.task for row in rows})
        shared = []
        for index, row in enumerate(mixed[: max(100, len(mixed) // 2)]):
            others = [name for name in names if name != row.task]
            extra = [others[(index * 7 + step * 11) % len(others)] for step in range(1 + index % 2)]
            shared.append((row.image, (row.task, *dict.fromkeys(extra))))
        first, ratios_once = compare(run, once, given.repeats, "Every image asked for once")
        second, ratios_shared = compare(run, shared, given.repeats, "Images shared by two or three tasks")
    note = (
        "Same weights, from decoded images at 256 pixels to answers in the pixels of each image; decoding and writing "
        "are left out on both sides. Preparing a backend is paid once for a run folder and not counted."
    )
    write_section("Ultrasound prediction", f"{first}\n\n{second}\n\n{note}")
    print({"once": ratios_once, "shared": ratios_shared})


if __name__ == "__main__":
    main()
