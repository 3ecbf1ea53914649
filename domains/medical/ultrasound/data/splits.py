"""Training and validation rows that share no image: split by image or by patient, per task, stratified, recorded."""

from __future__ import annotations

import hashlib
import json
import math
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from domains.medical.ultrasound.data.rows import Row

By = Literal["image", "group"]
_Stratum = tuple[str, int | None]

_LAST_DIGITS = re.compile(r"^(.*?)[\s_\-.,()\u00a0]*\d+[\s_\-.,()\u00a0]*$")


@dataclass(frozen=True)
class Split:
    """Two sides that share no image, and how they were made; rows are sorted by task and image path."""

    train: tuple[Row, ...]
    validation: tuple[Row, ...]
    settings: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Settings, the image paths of each side as written, and a hash of both sides."""
        sides = {"train": _paths(self.train), "validation": _paths(self.validation)}
        return {"settings": self.settings, **sides, "hash": _fingerprint(sides)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], rows: Iterable[Row]) -> Split:
        """The recorded split of `rows`.

        Raises:
            ValueError: the record was altered, or rows and record do not have the same images.
        """
        sides = {side: list(data[side]) for side in ("train", "validation")}
        if _fingerprint(sides) != data["hash"]:
            raise ValueError("the recorded split does not fit its hash; it was altered")
        train, validation = set(sides["train"]), set(sides["validation"])
        rows = _sorted(rows)
        images = {row.image_path for row in rows}
        for what, paths in (
            ("in no side of", images - train - validation),
            ("missing, though in", (train | validation) - images),
        ):
            if paths:
                raise ValueError(f"{len(paths)} images are {what} the recorded split, e.g. {min(paths)}; split again")
        return cls(
            tuple(row for row in rows if row.image_path in train),
            tuple(row for row in rows if row.image_path in validation),
            dict(data["settings"]),
        )


def group_of(image_path: str) -> str | None:
    """The patient that a file name seems to name, or None.

    A heuristic: the folder and the part of the name before its last run of digits and separators, if that part holds
    a digit itself. ``"../a/p012_frame_03.png"`` gives ``"../a/p012_frame"``, ``"../a/0012_04.png"`` gives
    ``"../a/0012"``; ``"../a/benign (4).png"`` names no patient. Whoever knows a data set's names gives a pattern.
    """
    folder, name = posixpath.split(image_path.replace("\\", "/"))
    match = _LAST_DIGITS.match(posixpath.splitext(name)[0])
    if not match or not any(letter.isdigit() for letter in match[1]):
        return None
    return posixpath.join(folder, match[1])


def split_rows(
    rows: Iterable[Row],
    *,
    fraction: float = 0.2,
    seed: int = 0,
    by: By = "image",
    group_pattern: str | None = None,
    stratify: bool = True,
    contents: Mapping[Path, str] | None = None,
) -> Split:
    """Splits rows so that the validation side of every task, and of every class, is as near to `fraction` as can be.

    Images that belong together (the same file in several tasks, equal contents, one patient) stay on one side. They
    are taken in an order drawn from the seed and the image paths, rarest class first, and go to validation if that
    brings its counts of rows nearer to their targets, and leaves training every task and every class. A task with two
    or more such units has at least one in validation wherever the units shared with other tasks allow it. The result
    depends on neither the order of `rows` nor the place of the files.

    Args:
        rows: rows of any tasks.
        fraction: wanted share of validation, in (0, 1).
        seed: of the order.
        by: ``"image"``, or ``"group"`` to keep patients together.
        group_pattern: regular expression, searched in the image path as written, whose first group is the patient;
            without it `group_of` guesses. Images without a patient stand alone; ``settings["without_group"]`` counts
            them.
        stratify: count classes of classification tasks apart.
        contents: hash of the bytes of images (`checks.content_hashes`), to keep equal files together.

    Raises:
        ValueError: no rows, a fraction outside (0, 1), or a pattern without a group or without any match.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must lie in (0, 1), got {fraction}")
    units, settings = _units(rows, seed, by, group_pattern, stratify, contents)
    totals = _totals(units)
    targets = {stratum: fraction * count for stratum, count in totals.items()}
    left = Counter(stratum for unit in units for stratum in unit.counts)
    taken: Counter[_Stratum] = Counter()
    chosen: set[str] = set()
    for unit in units:
        gains = {s: abs(targets[s] - taken[s]) - abs(targets[s] - taken[s] - count) for s, count in unit.counts.items()}
        # A class may go past its target by less than one row, for its task to come nearer to its own.
        fits = all(gains[s] > 0 or taken[s] + count <= math.ceil(targets[s]) for s, count in unit.counts.items())
        if fits and sum(gains.values()) > 0 and all(left[stratum] > 1 for stratum in unit.counts):
            _take(unit, chosen, taken, left)
    for task in sorted({stratum[0] for stratum in totals}):
        if not taken[task, None]:
            # Classes may lose their last training image here, tasks may not.
            able = [
                unit
                for unit in units
                if (task, None) in unit.counts
                and unit.key not in chosen
                and all(left[s] > 1 for s in unit.counts if s[1] is None)
            ]
            if able:
                _take(min(able, key=lambda unit: (len(unit.rows), unit.draw)), chosen, taken, left)
    return _split(units, chosen, {"fraction": fraction, **settings})


def fold_rows(
    rows: Iterable[Row],
    folds: int,
    *,
    seed: int = 0,
    by: By = "image",
    group_pattern: str | None = None,
    stratify: bool = True,
    contents: Mapping[Path, str] | None = None,
) -> list[Split]:
    """`folds` splits whose validation sides part the rows: every row is validated once, as equally as can be.

    A unit that alone carries a task is validated in no fold, so that every task keeps training rows in each.
    Arguments and errors as in `split_rows`; fewer than two folds, or fewer units than folds, are a ValueError.
    """
    units, settings = _units(rows, seed, by, group_pattern, stratify, contents)
    if not 2 <= folds <= len(units):
        raise ValueError(f"folds must lie between 2 and the number of images or groups ({len(units)}), got {folds}")
    carriers = Counter(stratum for unit in units for stratum in unit.counts if stratum[1] is None)
    taken: list[Counter[_Stratum]] = [Counter() for _ in range(folds)]
    chosen: list[set[str]] = [set() for _ in range(folds)]
    for unit in units:
        if any(stratum[1] is None and carriers[stratum] == 1 for stratum in unit.counts):
            continue

        def load(fold: int, unit: _Unit = unit) -> tuple[int, int, int, str]:
            classes = sum(taken[fold][stratum] for stratum in unit.counts if stratum[1] is not None)
            tasks = sum(taken[fold][stratum] for stratum in unit.counts if stratum[1] is None)
            return classes, tasks, len(chosen[fold]), _draw(seed, f"{unit.key}/{fold}")

        fold = min(range(folds), key=load)
        taken[fold].update(unit.counts)
        chosen[fold].add(unit.key)
    return [_split(units, chosen[k], {"folds": folds, "fold": k, **settings}) for k in range(folds)]


@dataclass(frozen=True)
class _Unit:
    """Rows that must stay together; `counts` per task (class None) and per class of classification tasks."""

    key: str
    draw: str
    rows: tuple[Row, ...]
    counts: Counter[_Stratum]


def _units(
    rows: Iterable[Row],
    seed: int,
    by: By,
    group_pattern: str | None,
    stratify: bool,
    contents: Mapping[Path, str] | None,
) -> tuple[list[_Unit], dict[str, Any]]:
    """The units in the order in which they are dealt, and the settings that say how they were formed."""
    rows = _sorted(rows)
    if not rows:
        raise ValueError("there are no rows to split")
    if by not in ("image", "group"):
        raise ValueError(f"by must be 'image' or 'group', got {by!r}")
    settings = {"seed": seed, "by": by, "group_pattern": group_pattern, "stratify": stratify}
    settings["by_content"] = contents is not None
    groups = _groups(rows, group_pattern) if by == "group" else {}
    if by == "group":
        settings["without_group"] = len({row.image for row in rows} - set(groups))
    parent: dict[object, object] = {}

    def root(node: object) -> object:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for row in rows:
        links = [("group", groups.get(row.image)), ("content", (contents or {}).get(row.image))]
        # Two roots may hold files of the same written path; the record tells sides by that path.
        for link in [("path", row.image_path), *(link for link in links if link[1] is not None)]:
            parent[root(link)] = root(row.image)
    together: dict[object, list[Row]] = {}
    for row in rows:
        together.setdefault(root(row.image), []).append(row)
    units = []
    for members in together.values():
        key = min(posixpath.normpath(row.image_path.replace("\\", "/")) for row in members)
        counts: Counter[_Stratum] = Counter((row.task, None) for row in members)
        if stratify:
            counts.update((row.task, row.label) for row in members if row.label is not None)
        units.append(_Unit(key, _draw(seed, key), tuple(members), counts))
    totals = _totals(units)
    return sorted(units, key=lambda unit: (min(totals[s] for s in unit.counts), unit.draw, unit.key)), settings


def _groups(rows: Sequence[Row], pattern: str | None) -> dict[Path, str]:
    """The patient of each image that has one."""
    if pattern is None:
        guessed = {row.image: group_of(row.image_path) for row in rows}
        return {image: group for image, group in guessed.items() if group is not None}
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"the group pattern {pattern!r} is no regular expression: {error}") from error
    if expression.groups < 1:
        raise ValueError(f"the group pattern {pattern!r} has no group; put the patient's part in parentheses")
    matches = {row.image: expression.search(row.image_path) for row in rows}
    groups = {image: match[1] for image, match in matches.items() if match and match[1] is not None}
    if not groups:
        raise ValueError(f"the group pattern {pattern!r} matches no image path, e.g. not {rows[0].image_path}")
    return groups


def _totals(units: Iterable[_Unit]) -> Counter[_Stratum]:
    totals: Counter[_Stratum] = Counter()
    for unit in units:
        totals.update(unit.counts)
    return totals


def _take(unit: _Unit, chosen: set[str], taken: Counter[_Stratum], left: Counter[_Stratum]) -> None:
    chosen.add(unit.key)
    taken.update(unit.counts)
    left.subtract(dict.fromkeys(unit.counts, 1))


def _split(units: Iterable[_Unit], chosen: set[str], settings: dict[str, Any]) -> Split:
    sides: tuple[list[Row], list[Row]] = ([], [])
    for unit in units:
        sides[unit.key in chosen].extend(unit.rows)
    return Split(tuple(_sorted(sides[0])), tuple(_sorted(sides[1])), settings)


def _sorted(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.task, row.image_path, row.table, row.line))


def _draw(seed: int, key: str) -> str:
    return hashlib.sha256(f"{seed}:{key}".encode("utf-8", "surrogateescape")).hexdigest()


def _paths(rows: Iterable[Row]) -> list[str]:
    return sorted({row.image_path for row in rows})


def _fingerprint(sides: Mapping[str, Sequence[str]]) -> str:
    return hashlib.sha256(json.dumps(sides, sort_keys=True).encode()).hexdigest()
