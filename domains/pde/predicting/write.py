"""The files of one answered question: the field as npz and VTU, a picture, and ``result.json``."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from domains.pde.asking.questions import Question, reading_order
from domains.pde.networks.description import Description, grid_axes
from domains.pde.predicting.figures import Canvas, draw, thumbnail, triple
from polyhead.application import RESEARCH_USE
from polyhead.batch.case import Record, Writer

RESULT_FILE, FIELD_FILE, MESH_FILE, PLOT_FILE, THUMBNAIL_FILE = (
    "result.json",
    "field.npz",
    "field.vtu",
    "plot.png",
    "thumbnail.jpg",
)


DEVIATION = "field_std"
"""The array and the VTU field with the standard deviation of an ensemble's members."""


@dataclass(frozen=True)
class Answer:
    """What an operator says to a question.

    Attributes:
        field: (n,) float64 in the unit of the solution, 0 outside the geometry.
        half_width: (n,) of the band around it that covers the whole true field with probability `level`; or None.
        solver: (n,) what the solver answers, where that was asked.
        seconds: of the operator and, where it ran, of the solver.
        warnings: of the question, and of inputs outside of what was trained on.
        deviation: (n,) standard deviation of the members of an ensemble; None for a single run.
    """

    question: Question
    about: Description
    field: np.ndarray
    half_width: np.ndarray | None = None
    level: float | None = None
    solver: np.ndarray | None = None
    seconds: Mapping[str, float] | None = None
    warnings: tuple[str, ...] = ()
    deviation: np.ndarray | None = None

    @property
    def reference(self) -> tuple[np.ndarray | None, str]:
        """The known answer and where it comes from: the data set, else the solver."""
        if self.question.reference is not None:
            return self.question.reference, "data"
        return self.solver, "solver"


def write_answer(answer: Answer, out: Writer, *, title: str = "") -> Record:
    """Writes ``result.json`` and, of what is saved, ``field.npz``, ``field.vtu``, ``plot.png`` and ``thumbnail.jpg``.

    Returns:
        the record of the case: what of ``result.json`` fits in a table.
    """
    question, about = answer.question, answer.about
    reference, known_as = answer.reference
    arrays = {"field": answer.field, "mask": question.mask}
    if answer.deviation is not None:
        arrays[DEVIATION] = answer.deviation
    if answer.half_width is not None:
        arrays |= {"lower": answer.field - answer.half_width, "upper": answer.field + answer.half_width}
    if reference is not None:
        arrays["reference"] = np.asarray(reference, dtype=np.float64)
    if out.saves("fields"):
        out.write_bytes(FIELD_FILE, _npz(answer, arrays))
    if out.saves("meshes"):
        out.write_bytes(MESH_FILE, _vtu(question, about, arrays))
    facts = summarise(answer)
    out.write_json(RESULT_FILE, {"research_use": RESEARCH_USE, **facts})
    has_thumbnail = out.saves("thumbnails")
    if has_thumbnail or out.saves("plots"):
        canvas = Canvas(question.points, about.axes, question.grid_shape, question.mask, about.solution)
        panels = triple(answer.field, reference, known_as="solver" if known_as == "solver" else "reference")
        picture = draw(panels, canvas, title=title or question.task)
        if out.saves("plots"):
            out.write_bytes(PLOT_FILE, picture)
        if has_thumbnail:
            out.write_bytes(THUMBNAIL_FILE, thumbnail(picture))
    record: Record = {"answer": _words(facts), "task": question.task}
    record |= {name: facts[name] for name in ("minimum", "maximum", "mean", "integral", "error", "seconds", "warnings")}
    if facts["band"] is not None:
        record["band"] = facts["band"]
    if facts["spread"] is not None:
        record["spread"] = facts["spread"]
    if question.source is not None:
        record["source"] = dict(question.source)
    return record | ({"thumbnail": THUMBNAIL_FILE} if has_thumbnail else {})


def summarise(answer: Answer) -> dict[str, Any]:
    """What ``result.json`` says of an answer: JSON values only."""
    question, about = answer.question, answer.about
    inside = answer.field[question.mask]
    named = zip(about.parameters, question.parameters.tolist(), strict=True)
    reference, known_as = answer.reference
    facts: dict[str, Any] = {
        "task": question.task,
        "quantity": {"name": about.solution.name, "unit": about.solution.unit},
        "parameters": {quantity.name: value for quantity, value in named},
        "geometry": question.geometry or None,
        "grid": list(question.grid_shape),
        "axes": [{"name": axis.name, "unit": axis.unit} for axis in about.axes],
        "points": len(question.points),
        "points_inside": int(question.mask.sum()),
        "minimum": float(inside.min()),
        "maximum": float(inside.max()),
        "mean": float(inside.mean()),
        "integral": integral(answer.field, question),
        "error": None,
        "band": None,
        "spread": None,
        "seconds": dict(answer.seconds or {}),
        "warnings": list(answer.warnings),
        "source": dict(question.source) if question.source else None,
    }
    if reference is not None:
        difference, true = inside - reference[question.mask], reference[question.mask].astype(np.float64)
        size = float(np.linalg.norm(true))
        facts["error"] = {
            "against": known_as,
            "relative_l2": float(np.linalg.norm(difference)) / size if size > 0 else None,
            "rmse": float(np.sqrt(np.mean(difference**2))),
            "largest": float(np.abs(difference).max()),
        }
    if answer.half_width is not None:
        width = answer.half_width[question.mask]
        facts["band"] = {
            "level": answer.level,
            "mean_half_width": float(width.mean()),
            "largest_half_width": float(width.max()),
        }
    if answer.deviation is not None:
        spread = answer.deviation[question.mask]
        facts["spread"] = {"mean_deviation": float(spread.mean()), "largest_deviation": float(spread.max())}
    return facts


def integral(field: np.ndarray, question: Question) -> float | None:
    """Of the field over the box of its grid by the trapezoidal rule, 0 outside; None for scattered points."""
    axes = grid_axes(question.points, question.grid_shape)
    if not axes:
        return None
    values = np.where(question.mask, field, 0).reshape(question.grid_shape)
    for axis in reversed(axes):
        values = np.trapezoid(values, np.array(axis), axis=-1)
    return float(values)


def _npz(answer: Answer, arrays: Mapping[str, np.ndarray]) -> bytes:
    question, about = answer.question, answer.about
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        allow_pickle=False,
        coordinates=question.points,
        grid_shape=np.array(question.grid_shape),
        axes=np.array([axis.name for axis in about.axes]),
        axis_units=np.array([axis.unit for axis in about.axes]),
        quantity=np.array([about.solution.name, about.solution.unit]),
        use=np.array(RESEARCH_USE),
        **arrays,
    )
    return stream.getvalue()


def _vtu(question: Question, about: Description, arrays: Mapping[str, np.ndarray]) -> bytes:
    from domains.pde.data.exporting import write_vtk

    fields = {name: values for name, values in arrays.items() if name != "mask"}
    # Other programs take the first coordinate for x.
    points = question.points[:, reading_order(about)]
    cells = dict(question.cells) or None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MESH_FILE
        write_vtk(path, points, question.grid_shape, fields, mask=question.mask, cells=cells)
        return path.read_bytes()


def _words(facts: Mapping[str, Any]) -> str:
    """The answer in a few words."""
    unit = facts["quantity"]["unit"]
    unit = "" if unit == "1" else f" {unit}"
    words = f"{facts['quantity']['name']} {facts['minimum']:.4g} to {facts['maximum']:.4g}{unit}"
    error = (facts["error"] or {}).get("relative_l2")
    return words if error is None else f"{words}, error {100 * error:.2f} %"
