"""From a case to a question: a sample of a data set, a parameter file, a line of a table, arrays, a mask or a mesh."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from domains.pde.asking.outlines import between, is_planar, known_shape, measure, read_shape
from domains.pde.asking.questions import (
    Question,
    check_keys,
    choose_task,
    grid_points,
    read_array,
    read_parameters,
    read_points,
    read_request,
    read_resolution,
    read_table,
)
from domains.pde.data.claims import check_npz
from domains.pde.data.samples import OperatorData
from domains.pde.networks.description import Description
from polyhead.batch.case import Case, InvalidInput

LARGEST_LOG_CONDUCTIVITY = 30.0


class Asker:
    """Reads cases for a model that knows `tasks`, whose problems `describe` tells.

    Args:
        tasks: the model's tasks, in order.
        problems: the problem of each task.
        asked: tasks that may answer; None allows all.
        points: a CSV file of points, or None, for every case that names no points of its own.
        resolution: lengths of the grid in the order of the axes' names, likewise.
        field: what a mask, mesh or request without a field takes: "default", or an array file.
    """

    def __init__(
        self,
        problems: Mapping[str, Description],
        *,
        asked: Sequence[str] | None = None,
        points: str | None = None,
        resolution: Sequence[int] | None = None,
        field: str | None = None,
    ):
        self.problems, self.asked = problems, tuple(asked or problems)
        self.points, self.resolution, self.field = points, list(resolution) if resolution else None, field
        self._data = lru_cache(maxsize=4)(_load)

    def question(self, case: Case) -> Question:
        """What the case asks.

        Raises:
            InvalidInput: whatever is wrong with it, in one line.
        """
        kind = case.options.get("kind", "request")
        readers = {
            "sample": self._sample,
            "request": self._request_file,
            "table": self._table_line,
            "arrays": self._arrays,
            "mask": self._geometry_file,
            "mesh": self._geometry_file,
        }
        try:
            return readers[kind](case)
        except ValueError as wrong:
            # Everything below says in one line what is wrong; what is left is of libraries and geometry.
            raise InvalidInput("bad-value", " ".join(str(wrong).split()), "mend the input") from wrong

    def _sample(self, case: Case) -> Question:
        try:
            data, fingerprint = self._data(str(case.path))
        except ValueError as wrong:
            raise InvalidInput("data-file", " ".join(str(wrong).split()), "make or copy the file again") from None
        row = int(case.options["row"])
        if row >= len(data):
            raise InvalidInput(
                "no-such-row", f"{case.path.name} has {len(data)} samples, no row {row}", "list it again"
            )
        task = data.tasks[data.task[row]]
        about = self._about(choose_task(task, tuple(self.problems), self.asked))
        wanted = ([q.name for q in about.parameters], [q.name for q in about.functions], about.sensor_shape)
        found = (
            [q.name for q in data.parameter_names],
            [q.name for q in data.function_names],
            data.functions.shape[2:],
        )
        if (wanted[0], wanted[1], len(wanted[2])) != (found[0], found[1], len(found[2])):
            raise InvalidInput("other-inputs", f"{task} has the inputs {found}, the model takes {wanted}", "retrain")
        index = data.geometry[row]
        name = data.geometry_names[index] if data.geometry_names else str(index)
        question = Question(
            task,
            data.parameters[row],
            data.functions[row],
            data.coordinates,
            data.grid_shape,
            data.mask[index],
            None if data.distance is None else data.distance[index],
            name,
            shape=known_shape(name) if len(data.axes) == 2 and data.distance is not None else None,
            reference=data.solution[row],
            source={"problem": data.problem, "row": row, "fingerprint": fingerprint},
        )
        question = _on_sensors(question, data)
        if self.points is None and self.resolution is None:
            return question
        points, shape = self._place(None, None, about, Path())
        elsewhere = replace(question, points=points, grid_shape=shape, reference=None)
        if question.shape is not None or about.problem == "plate":
            return self._bounded(elsewhere, about)
        distance = question.distance
        if distance is not None:
            distance = between(distance, data.coordinates, data.grid_shape, points).astype(np.float32)
            return replace(elsewhere, distance=distance, mask=distance > 0)
        inside = between(question.mask.astype(float), data.coordinates, data.grid_shape, points)
        return replace(elsewhere, mask=inside >= 0.5)

    def _request_file(self, case: Case) -> Question:
        return self._request(read_request(case.path), case.path.parent)

    def _table_line(self, case: Case) -> Question:
        line = int(case.options["line"])
        rows = read_table(case.path)
        if not 0 < line < len(rows):
            raise InvalidInput("empty-table", f"{case.path.name} has no line below its heading", "add a line a case")
        heading, cells = [name.strip() for name in rows[0]], rows[line]
        if len(cells) != len(heading):
            raise InvalidInput("ragged-table", f"line {line} has {len(cells)} cells for {len(heading)} columns", "mend")
        given: dict[str, Any] = {n: c.strip() for n, c in zip(heading, cells, strict=True) if c.strip()}
        request: dict[str, Any] = {
            key: given.pop(key) for key in ("task", "initial", "field", "points") if key in given
        }
        geometry = {key: given.pop(key) for key in ("shape", "mask", "mesh") if key in given}
        if geometry:
            request["geometry"] = geometry
        if given:
            request["parameters"] = given
        return self._request(request, case.path.parent)

    def _arrays(self, case: Case) -> Question:
        try:
            check_npz(case.path)
            with np.load(case.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, zipfile.BadZipFile) as failure:
            raise InvalidInput("unreadable", f"not an npz file of plain arrays: {failure}", "save it again") from None
        request: dict[str, Any] = {}
        for name, values in arrays.items():
            request[name] = str(values) if name == "task" else values
        if "parameters" in request:
            about = self._about(choose_task(request.get("task"), tuple(self.problems), self.asked))
            values = np.ravel(request["parameters"])
            if len(values) != len(about.parameters):
                names = ", ".join(each.name for each in about.parameters) or "none"
                raise InvalidInput("parameters", f"{len(values)} parameters, the task takes: {names}", "mend the array")
            request["parameters"] = {each.name: value for each, value in zip(about.parameters, values, strict=True)}
        if "mask" in request:
            request["geometry"] = {"mask": request.pop("mask")}
        check_keys(request, ("task", "parameters", "initial", "field", "functions", "geometry", "points"), "array")
        return self._request(request, case.path.parent)

    def _geometry_file(self, case: Case) -> Question:
        kind = str(case.options["kind"])
        request = {"geometry": {kind: case.path.name}}
        if kind == "mesh" and self.points is None and self.resolution is None:
            request["points"] = "mesh"  # pyright: ignore[reportArgumentType]
        return self._request(request, case.path.parent)

    def _request(self, request: Mapping[str, Any], folder: Path) -> Question:
        warnings: list[str] = []
        task = request.get("task")
        if task is None and "geometry" in request:
            drawn = [each for each in self.problems if each in self.asked and is_planar(self.problems[each])]
            if len(drawn) > 1:
                task = drawn[0]
                warnings.append(f"no task was named: answered as {task}; `task` or --task chooses another")
            elif drawn:
                task = drawn[0]
        task = choose_task(task, tuple(self.problems), self.asked)
        about = self._about(task)
        defaults = {} if task.endswith("/zfk") else {"beta": 0.0}
        parameters = read_parameters(request.get("parameters"), about.parameters, defaults)
        functions = self._functions(request, about, folder)
        _check_physics(task, parameters, functions, about)
        shape = cells = mesh = None
        name = ""
        if is_planar(about):
            shape, mesh = read_shape(request.get("geometry"), task, folder, about)
            name = shape.name
        elif request.get("geometry") is not None:
            raise InvalidInput("geometry", f"{task} takes no geometry", "its parameters say all; leave it out")
        if request.get("points") == "mesh" and mesh is not None:
            points, grid_shape, cells = mesh.points[:, ::-1].copy(), (len(mesh.points),), mesh.cells
        else:
            points, grid_shape = self._place(request.get("points"), request.get("resolution"), about, folder)
        question = Question(
            task,
            parameters,
            functions,
            points,
            grid_shape,
            np.ones(len(points), dtype=bool),
            geometry=name,
            shape=shape,
            cells=cells or {},
            warnings=tuple(warnings),
        )
        if shape is not None or about.problem == "plate":
            return self._bounded(question, about)
        return question

    def _about(self, task: str) -> Description:
        return self.problems[task]

    def _place(
        self, points: object, resolution: object, about: Description, folder: Path
    ) -> tuple[np.ndarray, tuple[int, ...]]:
        """The points of a case: its own, else those of the command, else the grid of the training data."""
        if points is None and resolution is None:
            resolution = self.resolution
            if self.points is not None:
                points, folder = self.points, Path()
        lengths = None if resolution is None else read_resolution(resolution, about)
        if points is None or (isinstance(points, str) and points == "grid"):
            return grid_points(about, lengths)
        if lengths is not None:
            raise InvalidInput("points", "points and a resolution are both given", "give one of them")
        where = read_points(points, about, folder)
        return where, (len(where),)

    def _functions(self, request: Mapping[str, Any], about: Description, folder: Path) -> np.ndarray:
        """(c, *grid) float32: the input functions as they are given."""
        given = {key: request[key] for key in ("initial", "field", "functions") if request.get(key) is not None}
        names = [each.name for each in about.functions]
        if not names:
            if given:
                raise InvalidInput("functions", f"{about.problem} takes no input function", "leave it out")
            return np.zeros((0,), dtype=np.float32)
        key = "initial" if len(about.sensors) == 1 else "field"
        if not given:
            if self.field is None:
                words = f"`{key}` is missing: {names[0]} on {' x '.join(map(str, about.sensor_shape))} sensors"
                raise InvalidInput("missing-key", words, "add it, or give --field default or --field FILE")
            given, folder = {key: self.field}, Path() if self.field != "default" else folder
        if len(given) > 1 or (len(names) > 1 and "functions" not in given):
            raise InvalidInput("functions", f"the input functions are: {', '.join(names)}", "give them once")
        value = next(iter(given.values()))
        parts: list[Any] = [value]
        if isinstance(value, Mapping):
            check_keys(value, names, "function")
            missing = [name for name in names if name not in value]
            if missing:
                raise InvalidInput("missing-key", f"the function {missing[0]!r} is missing", "add it to `functions`")
            parts = [dict(value)[name] for name in names]
        arrays = []
        for name, part in zip(names, parts, strict=True):
            if isinstance(part, str) and part == "default":
                if name != "log conductivity":
                    raise InvalidInput("functions", f"there is no default of {name}", "give its values")
                part = np.zeros(about.sensor_shape)
            array = read_array(part, folder, name)
            if array.ndim == len(about.sensors) + 1 and len(array) == 1:
                array = array[0]
            shape = about.sensor_shape
            if array.ndim == 0 and len(shape) > 1:
                array = np.full(shape, float(array))
            if (
                array.ndim != len(shape)
                or (len(shape) == 1 and array.shape != shape)
                or min(array.shape, default=0) < 2
            ):
                found, wanted = (" x ".join(map(str, each)) or "one" for each in (array.shape, shape))
                raise InvalidInput("sensors", f"{name}: {found} values, the model takes {wanted}", "sample it there")
            arrays.append(array.astype(np.float32))
        try:
            return np.stack(arrays)
        except ValueError:
            raise InvalidInput("sensors", "the input functions differ in shape", "give all on one grid") from None

    def _bounded(self, question: Question, about: Description) -> Question:
        """The question with mask and distance of its geometry, at its points and on the sensors."""
        distance, mask = measure(question, about, question.points)
        if not mask.any():
            name = question.geometry or "the geometry"
            raise InvalidInput(
                "empty-geometry", f"none of {len(mask)} points lies inside {name}", "move or refine them"
            )
        warnings = question.warnings
        if len(question.grid_shape) == 1 and not question.cells and not mask.all():
            outside = f"{int((~mask).sum())} of {len(mask)} points lie outside the geometry: they hold 0, mask false"
            warnings = (*warnings, outside)
        question = replace(question, distance=distance.astype(np.float32), mask=mask, warnings=warnings)
        if len(about.sensors) != len(about.axes) or question.sensor_mask is not None:
            return question
        mesh = np.meshgrid(*[np.array(axis) for axis in about.sensors], indexing="ij")
        sensors = np.stack(mesh, axis=-1).reshape(-1, len(mesh))
        distance, mask = measure(question, about, sensors)
        shape = about.sensor_shape
        return replace(
            question, sensor_mask=mask.reshape(shape), sensor_distance=distance.astype(np.float32).reshape(shape)
        )


def _load(path: str) -> tuple[OperatorData, str]:
    from domains.pde.data.store import read_data

    data = read_data(path)
    return data, data.fingerprint()


def _on_sensors(question: Question, data: OperatorData) -> Question:
    """Mask and distance of a sample on its sensors, where these are the points themselves."""
    sensors = data.functions.shape[2:]
    if sensors != data.grid_shape or not data.function_names:
        return question
    distance = None if question.distance is None else question.distance.reshape(sensors)
    return replace(question, sensor_mask=question.mask.reshape(sensors), sensor_distance=distance)


def _check_physics(task: str, parameters: np.ndarray, functions: np.ndarray, about: Description) -> None:
    """Refuses what no experiment could have: the solvers would, and a network would answer all the same."""
    named = dict(zip([each.name for each in about.parameters], parameters.tolist(), strict=True))
    wrong = None
    if about.problem == "plate":
        from domains.pde.geometry.plate import PlateDesign

        holes = named["holes"]
        if holes != round(holes):
            wrong = f"holes must be a whole number, got {holes:g}"
        else:
            try:
                PlateDesign(int(holes), named["hole position"])
            except ValueError as reason:
                wrong = str(reason)
    elif task.startswith("fisher/"):
        if named["rate"] < 0:
            wrong = f"the rate must not be negative, got {named['rate']:g}"
        elif task.endswith("/zfk") and named["beta"] <= 0:
            wrong = f"beta must be positive, got {named['beta']:g}"
        elif not task.endswith("/nws") and functions.min() < 0:
            wrong = f"{task} needs initial values that are not negative, got {functions.min():g}"
    elif about.problem.startswith("darcy") and np.abs(functions).max(initial=0) > LARGEST_LOG_CONDUCTIVITY:
        wrong = f"log conductivity up to {np.abs(functions).max():g}; is it the conductivity itself?"
    if wrong is not None:
        raise InvalidInput("unphysical", wrong, "give values that can be")
