"""Wide tables: a row is a sample, a column a parameter, or the value of a function at one point."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np

from domains.pde.data.samples import SPLITS, Quantity
from domains.pde.importing.assemble import Raw, grid_axes
from domains.pde.importing.options import ImportOptions

_NAME = re.compile(r"(?P<name>[^\[\]]+?)\s*\[(?P<unit>[^\[\]]*)\]")
_HEADER = 'write "rate [1/s]", or "rate [1]" where there is no unit'


def read_table(path: Path, options: ImportOptions) -> Raw:
    """Samples from a table with a header.

    Columns: ``split`` (optional: train, validation, test); parameters, ``rate [1/s]``; values of functions at points,
    ``u [K] @ x=0.5 t=0.1``. The function that `ImportOptions.outputs` names is the solution; without it, it is the one
    that comes last. The others are inputs at their own sensors, which all have as many.

    Raises:
        ValueError: a unit is missing, a cell is no number, a row is too short; line and column are named.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            sample = stream.readline()
            stream.seek(0)
            rows = [row for row in csv.reader(stream, delimiter=_delimiter(sample)) if row]
    except (UnicodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a table in UTF-8 ({error}); export it again") from error
    if len(rows) < 2:
        raise ValueError(f"{path}: a table needs a header and at least one row")
    header = [name.strip() for name in rows[0]]
    if len(set(header)) != len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise ValueError(f"{path}: the column {twice!r} is there twice")
    split = _split(path, header, rows) if "split" in header else None
    columns = [k for k, name in enumerate(header) if name != "split"]
    values = _numbers(path, header, rows, columns)
    parameters: list[tuple[Quantity, int]] = []
    functions: dict[Quantity, list[tuple[dict[str, float], int]]] = {}
    for place, column in enumerate(columns):
        name, _, point = header[column].partition("@")
        quantity = _quantity(path, name.strip())
        if point:
            functions.setdefault(quantity, []).append((_point(path, header[column], point), place))
        else:
            parameters.append((quantity, place))
    if not functions:
        raise ValueError(f'{path}: no column with a solution; write its points in the header, "u [K] @ x=0.5"')
    output = _output(path, functions, options)
    solution, coordinates, axes = _solution(path, values, functions.pop(output))
    lengths = {len(entries) for entries in functions.values()}
    if len(lengths) > 1:
        raise ValueError(f"{path}: the input functions have different numbers of sensors: {sorted(lengths)}")
    inputs = [values[:, [place for _, place in entries]] for entries in functions.values()]
    return Raw(
        solution=solution,
        coordinates=coordinates,
        axes=axes,
        functions=np.stack(inputs, axis=1) if inputs else None,
        parameters=values[:, [place for _, place in parameters]] if parameters else None,
        split=split,
        parameter_names=tuple(quantity for quantity, _ in parameters),
        function_names=tuple(functions),
        solution_name=output,
    )


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _quantity(path: Path, text: str) -> Quantity:
    found = _NAME.fullmatch(text)
    if found is None or not found["unit"].strip():
        raise ValueError(f"{path}: the column {text!r} has no unit; {_HEADER}")
    return Quantity(found["name"].strip(), found["unit"].strip())


def _point(path: Path, column: str, text: str) -> dict[str, float]:
    try:
        pairs = [part.split("=") for part in re.split(r"[\s;]+", text.strip())]
        return {name: float(value) for name, value in pairs}
    except ValueError:
        raise ValueError(f'{path}: the column {column!r} has no point; write "u [K] @ x=0.5 t=0.1"') from None


def _split(path: Path, header: list[str], rows: list[list[str]]) -> np.ndarray:
    column = header.index("split")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) > column and row[column].strip() not in SPLITS:
            raise ValueError(f"{path}: line {number}: split is one of {', '.join(SPLITS)}, got {row[column]!r}")
    return np.array([SPLITS.index(row[column].strip()) if len(row) > column else 0 for row in rows[1:]], dtype=np.int8)


def _numbers(path: Path, header: list[str], rows: list[list[str]], columns: list[int]) -> np.ndarray:
    values = np.empty((len(rows) - 1, len(columns)))
    for number, row in enumerate(rows[1:]):
        if len(row) != len(header):
            raise ValueError(f"{path}: row {number + 1} has {len(row)} cells, the header {len(header)}")
        for place, column in enumerate(columns):
            try:
                values[number, place] = float(row[column])
            except ValueError:
                raise ValueError(
                    f"{path}: row {number + 1}, column {header[column]!r}: not a number: {row[column]!r}"
                ) from None
    return values


def _output(path: Path, functions: dict[Quantity, list], options: ImportOptions) -> Quantity:
    if options.outputs is None:
        return list(functions)[-1]
    for quantity in functions:
        if quantity.name == options.outputs:
            return quantity
    raise ValueError(f"{path}: no function {options.outputs!r}; there are: {', '.join(q.name for q in functions)}")


def _solution(path: Path, values: np.ndarray, entries: list[tuple[dict[str, float], int]]):
    """(N, *grid), (*grid, d) and d axes; columns of a full grid are brought into its order."""
    names = list(entries[0][0])
    for point, _ in entries:
        if list(point) != names:
            raise ValueError(
                f"{path}: a point of the solution has the axes {', '.join(point)}, another {', '.join(names)}"
            )
    points = np.array([[point[name] for name in names] for point, _ in entries])
    order = np.lexsort(points.T[::-1])
    lengths = tuple(len(np.unique(axis)) for axis in points.T)
    solution = values[:, [place for _, place in entries]]
    axes = tuple(map(Quantity, names))
    if int(np.prod(lengths)) == len(points):
        grid = points[order].reshape(*lengths, len(names))
        if grid_axes(grid) is not None:
            return solution[:, order].reshape(-1, *lengths), grid, axes
    return solution, points, axes
