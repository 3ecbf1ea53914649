"""A simulated data set in the FM_UIA layout: csv tables, images, index masks."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from domains.medical.ultrasound.data.rows import TASK_NAMES
from domains.medical.ultrasound.simulator.render import Simulated, draw_size, phantom
from domains.medical.ultrasound.simulator.tasks import SHEETS, Sheet, sheet
from polyhead.application import RESEARCH_USE
from polyhead.samples import claim_folder
from polyhead.system.files import write_whole

VERSION = 1
"""Raised whenever equal settings would give other files than before."""

_WORDS = {kind: word for word, kind in TASK_NAMES.items()}


@dataclass(frozen=True)
class Plan:
    """One image to make: the task that draws it, its number there, its variant, and its file from the root."""

    task: str
    number: int
    variant: int
    path: str


def sample(
    out: Path | str,
    *,
    rows_per_task: int = 24,
    rows_per_class: int = 0,
    validation: int = 8,
    size: tuple[int, int] = (256, 512),
    seed: int = 0,
    tasks: Sequence[str] | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes a simulated data set: `out` for training and, with `validation` rows a task, ``out/val`` of the same form.

    Equal settings give equal files, byte by byte, whatever `workers` is. A run that was interrupted goes on where it
    stopped. Rows of `breast_2cls`, `breast_3cls` and `lung_2cls` point to images of `breast_lesion` and `lung` as far
    as those are written and have the class.

    Args:
        out: a new or empty folder, or one that this function wrote with the same settings.
        rows_per_task: rows of every task for training, at least 1.
        rows_per_class: a classification task of C classes has at least C times as many training rows.
        validation: rows of every task for validation; 0 for none.
        size: smallest and largest height and width, pixels.
        seed: of everything.
        tasks: official task names; by default all 27.
        workers: threads; by default one a core.
        progress: called with the images done and their total.

    Raises:
        ValueError: bad settings, or a folder that holds something else.
    """
    out = Path(out)
    chosen = [sheet(task) for task in dict.fromkeys(SHEETS if tasks is None else tasks)]
    if rows_per_task < 1 or min(rows_per_class, validation, seed) < 0 or not chosen:
        raise ValueError(
            f"a sample needs a task, at least one row and nothing negative, got {len(chosen)} tasks, "
            f"{rows_per_task} rows, {validation} for validation, seed {seed}"
        )
    if not 64 <= size[0] <= size[1]:
        raise ValueError(f"size is (smallest, largest) in pixels, at least 64, got {size}")
    settings = {
        "simulator": VERSION,
        "rows_per_task": rows_per_task,
        "rows_per_class": rows_per_class,
        "validation": validation,
        "size": list(size),
        "seed": seed,
        "tasks": [plan.name for plan in chosen],
    }
    claim_folder(out, settings)
    splits = [(out, 0, rows_per_task, rows_per_class)] + ([(out / "val", 1, validation, 0)] if validation else [])
    layouts = [(root, split, lay_out(chosen, *counts)) for root, split, *counts in splits]
    total = sum(len({plan.path for plans in layout.values() for plan in plans}) for _, _, layout in layouts)
    done = 0
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for root, split, layout in layouts:
            unique = {plan.path: plan for plans in layout.values() for plan in plans}
            futures = {pool.submit(_make, root, plan, (seed, split), size): plan.path for plan in unique.values()}
            labels: dict[str, Simulated] = {}
            try:
                for future in as_completed(futures):
                    labels[futures[future]] = future.result()
                    done += 1
                    if progress is not None:
                        progress(done, total)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
            for plan in chosen:
                _write(root / "csv_files" / plan.table, _table(plan, layout[plan.name], labels))
            names = {plan.name: list(plan.labels) for plan in chosen}
            _write(root / "csv_files" / "labels.json", _json(names))
            _write(root / "README.txt", _readme(settings).encode())


def lay_out(chosen: Iterable[Sheet], count: int, per_class: int = 0) -> dict[str, list[Plan]]:
    """Which image every row of every task shows; tasks that borrow take images of their lender where they can."""
    layout: dict[str, list[Plan]] = {}
    for plan in sorted(chosen, key=lambda plan: plan.borrows is not None):
        spare = list(layout.get(plan.borrows[0], ())) if plan.borrows else []
        rows = []
        rows_wanted = max(count, per_class * plan.outputs) if plan.kind == "classification" else count
        for k in range(rows_wanted):
            variant = plan.cycle[k % len(plan.cycle)]
            found = next((image for image in spare if image.variant == variant), None)
            if found is None:
                found = Plan(plan.name, k, variant, f"{plan.folder}/img/{_stem(plan, k)}.{plan.suffix}")
            else:
                spare.remove(found)
            rows.append(found)
        layout[plan.name] = rows
    return layout


def _stem(plan: Sheet, number: int) -> str:
    """File names as the real set has them: some with spaces, some with parentheses."""
    if plan.name.startswith("breast"):
        return f"{plan.name} ({number + 1})"
    if "\u00a0" in plan.folder:
        return f"{Path(plan.folder).name}_{number + 1}"
    return f"{plan.name}_{number + 1:04d}"


def _mask_path(image: str) -> str:
    folder, _, name = image.rpartition("/img/")
    return f"{folder}/mask/{Path(name).stem}.png"


def _make(root: Path, plan: Plan, seeds: tuple[int, int], size: tuple[int, int]) -> Simulated:
    """Makes and writes one image and its mask where they are not there yet; returns the labels, the pixels dropped."""
    import numpy as np

    image, mask = root / plan.path, root / _mask_path(plan.path)
    # Independent of which other tasks are written, and in which order.
    entropy = (*seeds, crc32(plan.task.encode()), plan.number)
    shape = draw_size(np.random.default_rng((*entropy, 1)), sheet(plan.task).probe, size)
    segmented = sheet(plan.task).kind == "segmentation"
    there = image.exists() and (mask.exists() or not segmented)
    made = phantom(plan.task, entropy, shape, plan.variant, picture=not there)
    if not there:
        if made.mask is not None:
            _write(mask, _encoded(made.mask, "png"))
        _write(image, _encoded(made.image, image.suffix[1:]))
    blank = np.zeros((0, 0), np.uint8)
    return Simulated(blank, None, made.label, made.box, made.points)


def _encoded(pixels: Any, suffix: str) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    options: dict[str, Any] = {"png": {"compress_level": 3}, "jpg": {"quality": 92}}.get(suffix, {})
    Image.fromarray(pixels).save(buffer, {"jpg": "JPEG"}.get(suffix, suffix.upper()), **options)
    return buffer.getvalue()


def _table(plan: Sheet, rows: Sequence[Plan], labels: dict[str, Simulated]) -> bytes:
    """A csv table with the columns of the official set for the task's kind, utf-8."""
    columns = {
        "segmentation": ["mask_path"],
        "classification": ["mask"],
        "detection": ["x_min", "y_min", "x_max", "y_max"],
        "keypoints": [f"point_{k + 1}_xy" for k in range(plan.outputs)],
    }[plan.kind]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image_path", "task_id", "task_name", "num_classes", *columns])
    for row in rows:
        label = labels[row.path]
        if plan.kind == "segmentation":
            answer: list[Any] = [f"../{_mask_path(row.path)}"]
        elif plan.kind == "classification":
            answer = [row.variant]
        elif plan.kind == "detection":
            answer = [int(value) for value in label.box or ()]
        else:
            answer = [f"[{x:.2f}, {y:.2f}]" for x, y in label.points or ()]
        writer.writerow([f"../{row.path}", plan.name, _WORDS[plan.kind], plan.outputs, *answer])
    return text.getvalue().encode()


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _readme(settings: dict[str, Any]) -> str:
    return (
        "Simulated B-mode ultrasound in the layout of the FM_UIA data: no picture shows a person.\n"
        f"Seed {settings['seed']}, {settings['rows_per_task']} rows a task for training, "
        f"{settings['validation']} for validation (folder val), simulator version {settings['simulator']}.\n"
        "csv_files/labels.json names the classes and the points.\n"
        f"{RESEARCH_USE}\n"
    )


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
