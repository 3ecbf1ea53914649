"""Writes what a source holds as an FM_UIA data root: one table a task, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from domains.medical.ultrasound.converting.detect import READERS, detect
from domains.medical.ultrasound.converting.entries import Entry, Found
from domains.medical.ultrasound.converting.files import examine, merged_mask, place, png, safe_name
from domains.medical.ultrasound.converting.tasks import Boxes, Plan, answer, plan_tasks
from domains.medical.ultrasound.data.checks import write_problem_report
from domains.medical.ultrasound.data.fm_uia import relative_to_tables, write_tables
from domains.medical.ultrasound.data.rows import Kind, Row
from polyhead.batch.case import InvalidInput
from polyhead.batch.outcome import NoInput
from polyhead.evaluation.report import Problem
from polyhead.system.files import temporary_beside, write_whole

PROBLEMS_FILE = "problems.csv"
Format = Literal["auto", "coco", "labelme", "voc", "yolo", "classes", "masks"]


@dataclass
class Converted:
    """What was written.

    Attributes:
        format: of the source.
        rows: number of rows by split and task.
        unmarked: pictures by task that hold nothing of it, and have no row there.
        problems: what could not be used, as in ``problems.csv``.
    """

    format: str
    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    unmarked: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def convert(
    source: Path,
    out: Path,
    *,
    format: Format = "auto",
    task: str | None = None,
    kinds: Collection[str] = (),
    boxes: Boxes = "leave-out",
    link: bool = False,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], None] | None = None,
) -> Converted:
    """Makes a data root of another format.

    A source with splits becomes ``OUT`` (training), ``OUT/val`` and ``OUT/test``, each a data root. Pictures are read
    upright, as EXIF says. A file or mark that cannot be used is a line of ``OUT/problems.csv``, and the rest goes on.

    Args:
        source: a folder, or one annotation file.
        out: a folder that is not there yet, or empty.
        format: of the source; ``auto`` looks what it holds.
        task: name of the task, or the beginning of the names where there are several; by default the source's.
        kinds: only tasks of these kinds.
        boxes: what becomes of several boxes of one class in a picture, as a row holds one.
        link: link pictures instead of copying them.
        say: takes lines for people.
        progress: called with the pictures done and their total.

    Raises:
        NoInput: nothing in the source can be used.
        ValueError: no known format, or `out` is in the way.
    """
    if format not in get_args(Format):
        raise ValueError(f"unknown format {format!r}; known: {', '.join(get_args(Format))}")
    for kind in kinds:
        if kind not in get_args(Kind):
            raise ValueError(f"unknown kind {kind!r}; known: {', '.join(get_args(Kind))}")
    if not source.exists():
        raise ValueError(f"there is no file or folder {source}")
    _require_empty(source, out)
    chosen = detect(source) if format == "auto" else format
    found = READERS[chosen](source)
    say(f"{chosen}: {len(found.entries)} pictures, classes: {', '.join(found.labels) or 'none named'}")
    out.parent.mkdir(parents=True, exist_ok=True)
    made = temporary_beside(out)
    try:
        made.mkdir()
        converted = _write(found, made, task or _plain(source), kinds, boxes, link, progress)
        if not converted.rows:
            first = f"; first problem: {found.problems[0]}" if found.problems else ""
            raise NoInput(f"nothing in {source} can be used as {chosen}{first}")
        write_problem_report(made / PROBLEMS_FILE, converted.problems)
        with suppress(FileNotFoundError):
            out.rmdir()
        made.rename(out)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return converted


def _require_empty(source: Path, out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        what = "is not empty" if out.is_dir() else "is a file"
        raise ValueError(f"{out} {what}; name a new or empty folder for the data root")
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"{out} lies in {source}, which it is made from; name a folder elsewhere")


def _plain(source: Path) -> str:
    name = (source.resolve().name if source.is_dir() else source.stem).lower()
    return "".join(letter if letter.isalnum() else "_" for letter in name).strip("_") or "task"


def _write(
    found: Found,
    root: Path,
    name: str,
    kinds: Collection[str],
    boxes: Boxes,
    link: bool,
    progress: Callable[[int, int], None] | None,
) -> Converted:
    converted = Converted(found.format, problems=found.problems)
    splits = {entry.split for entry in found.entries}
    roots = dict.fromkeys(splits, root) if len(splits) == 1 else {"": root, "train": root}
    rows: dict[Path, list[Row]] = {}
    taken: dict[Path, set[str]] = {}
    plans = plan_tasks(found, name, kinds)
    for number, entry in enumerate(found.entries, 1):
        home = roots.get(entry.split, root / entry.split)
        try:
            made = _rows(found, entry, home, plans, boxes, link, taken.setdefault(home, set()), converted)
        except InvalidInput as bad:
            found.problem(bad.code, entry.image, bad.reason, bad.remedy)
        except OSError as error:
            found.problem("unreadable-file", entry.image, error.strerror or str(error), "check its permissions")
        else:
            rows.setdefault(home, []).extend(made)
        if progress is not None:
            progress(number, len(found.entries))
    labels = {plan.name: list(plan.labels) for plan in plans if plan.used}
    for home, made in rows.items():
        # The number of classes is known when all masks have been read.
        outputs = {plan.name: len(plan.labels) for plan in plans}
        counted = [Row(**{**row.__dict__, "outputs": outputs[row.task]}) for row in made]
        if counted:
            write_tables(home, counted, labels={task: labels[task] for task in {row.task for row in counted}})
            split = "" if home == root else home.name
            converted.rows[split] = {}
            for row in counted:
                converted.rows[split][row.task] = converted.rows[split].get(row.task, 0) + 1
    return converted


def _rows(
    found: Found,
    entry: Entry,
    home: Path,
    plans: list[Plan],
    boxes: Boxes,
    link: bool,
    taken: set[str],
    converted: Converted,
) -> list[Row]:
    path = entry.image
    if entry.held is not None:
        home.mkdir(parents=True, exist_ok=True)
        path = temporary_beside(home / entry.image.name)
        path.write_bytes(entry.held)
    try:
        picture = examine(path)
        if entry.size is not None and entry.size != picture.size:
            turned = entry.size == picture.stored
            stated, there = (f"{size[1]} x {size[0]}" for size in (entry.size, picture.size))
            reason = f"its marks are for {stated} pixels, it has {there}" + (" as EXIF turns it" if turned else "")
            remedy = "save the picture upright and mark it again" if turned else "export the marks again"
            raise InvalidInput("exif-orientation" if turned else "size-differs", reason, remedy)
        answers = []
        for plan in plans:
            refused = entry.refused.get(plan.kind)
            if refused is not None:
                continue
            try:
                given = answer(plan, entry, picture.size, boxes)
                if plan.kind == "segmentation" and entry.masks:
                    mask = merged_mask(entry.masks, picture, void=found.format == "voc")
                    plan.hold(int(mask.max()))
                    given = {"mask": mask}
            except InvalidInput as bad:
                found.problem(bad.code, f"{entry.image} ({plan.name})", bad.reason, bad.remedy)
                continue
            if given is None:
                converted.unmarked[plan.name] = converted.unmarked.get(plan.name, 0) + 1
            else:
                answers.append((plan, given))
        if not answers:
            return []
        name = safe_name(entry.name, taken)
        image = place(entry, path, home / "images" / name, picture, link=link)
    finally:
        if entry.held is not None:
            path.unlink(missing_ok=True)
    rows = []
    for plan, given in answers:
        plan.used = True
        if plan.kind == "segmentation":
            target = home / "masks" / Path(f"{name}.png")
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, png(given["mask"]))
            given = {"mask": target, "mask_path": relative_to_tables(home, target)}
        rows.append(Row(plan.name, plan.kind, 1, image, relative_to_tables(home, image), **given))
    return rows
