"""Tables of wines: CSV files with a line a wine, and the sample that scikit-learn brings along."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polyhead.tasks import TaskSet, TaskSpec

TASKS = TaskSet(
    [
        TaskSpec("cultivar", "classification", "latent", 3, labels=("class_0", "class_1", "class_2")),
        TaskSpec("alcohol", "regression", "latent", 1, unit="% vol"),
        TaskSpec("proline", "regression", "latent", 1, unit="mg/l"),
    ]
)

INPUTS = ("ash", "magnesium", "total_phenols", "flavanoids", "color_intensity", "hue")
"""Columns that are asked about; the tasks' own columns are no inputs."""

FILES, HELD_OUT = 8, 2


def sample(out: Path, *, seed: int) -> None:
    """Writes scikit-learn's 178 wines in random order, as six tables to ``OUT/train`` and two to ``OUT/test``."""
    from sklearn.datasets import load_wine

    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise ValueError(f"{out} holds something already; name a new folder")
    wines: Any = load_wine()
    columns = dict(zip(wines.feature_names, wines.data.T, strict=True))
    columns["cultivar"] = np.asarray(TASKS["cultivar"].labels)[wines.target]
    order = np.random.default_rng(seed).permutation(len(wines.target))
    for number, rows in enumerate(np.array_split(order, FILES)):
        path = out / ("train" if number < FILES - HELD_OUT else "test") / f"{number:02}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(columns)
            table.writerows(zip(*(values[rows].tolist() for values in columns.values()), strict=True))


def read_table(path: Path, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """The named columns of a table, each float64 of shape (rows,); classes are numbered by their labels.

    Raises:
        ValueError: no lines, a column is missing, or what stands in one is no finite number and no known class.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(file))
    if not lines:
        raise ValueError(f"{path} holds no lines")
    if missing := [name for name in columns if lines[0].get(name) is None]:
        raise ValueError(f"{path} lacks the column {missing[0]}")
    return {
        name: np.array([_number(path, index, name, line[name]) for index, line in enumerate(lines, 2)])
        for name in columns
    }


def read_folder(folder: Path, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """The tables of a folder as one, in the order of their names."""
    tables = [read_table(path, columns) for path in sorted(folder.glob("*.csv"))]
    if not tables:
        raise ValueError(f"there are no tables in {folder}; `polyhead tabular sample` writes some")
    return {name: np.concatenate([table[name] for table in tables]) for name in columns}


def _number(path: Path, line: int, column: str, text: str | None) -> float:
    labels = TASKS[column].labels if column in TASKS else ()
    if text in labels:
        return float(labels.index(text))
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if labels or not np.isfinite(value):
        raise ValueError(f"{path}, line {line}, {column}: {text!r} is no {'class' if labels else 'finite number'}")
    return value
