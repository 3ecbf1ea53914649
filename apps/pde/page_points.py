"""Values at single points: a table or a file of points in, a table and a CSV file of values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from apps.pde.page_input import Asked
from apps.pde.page_model import words
from domains.pde.asking.questions import reading_order
from domains.pde.networks.description import Description
from domains.pde.predicting.write import Answer
from polyhead.batch.case import Case, InvalidInput
from polyhead.batch.one import ask
from polyhead.system.spreadsheet import table_text
from ui import upload
from ui.field_plots import label
from ui.table import table

POINTS_FILE = "points.csv"


def points_part(predictor: Any, asked: Asked, about: Description) -> None:
    """The table of points, the file instead of it, and the answers."""
    st.subheader("3. Values at points")
    order = reading_order(about)
    axes = [about.axes[index] for index in order]
    low, high = ([corner[index] for index in order] for corner in (about.lower, about.upper))
    left, right = st.columns(2)
    with left:
        middle = {axis.name: round((a + b) / 2, 6) for axis, a, b in zip(axes, low, high, strict=True)}
        config = {
            axis.name: st.column_config.NumberColumn(
                label(axis.name, axis.unit), min_value=a, max_value=b, format="%.5g"
            )
            for axis, a, b in zip(axes, low, high, strict=True)
        }
        rows = st.data_editor(
            [middle],
            num_rows="dynamic",
            column_config=config,
            hide_index=True,
            key=f"points-{about.problem}",
            alt="Points where the answer is wanted",
        )
    with right:
        names = ", ".join(axis.name for axis in axes)
        file = st.file_uploader(
            f"Or a CSV file with the columns {names}", type=["csv"], key=f"points-file-{about.problem}"
        )
    try:
        if file is not None:
            request, files = {**asked.request, "points": POINTS_FILE}, {**asked.files, POINTS_FILE: file.getvalue()}
        else:
            points = typed_points(rows, [axis.name for axis in axes])
            if not points:
                st.caption("Type a point in the table, or upload a file.")
                return
            request, files = {**asked.request, "points": points}, asked.files
        request.pop("resolution", None)
        here = Asked(request, files)
        case = Case("points", here.spooled(upload.spool_folder()), (request["task"],), {"kind": "request"})
        (answer,) = ask(predictor, [case])
        if isinstance(answer, InvalidInput):
            raise answer
    except InvalidInput as wrong:
        # A point outside of the geometry is an answer, not a mistake.
        (st.info if wrong.code == "empty-geometry" else st.error)(words(wrong))
        return
    except ValueError as wrong:
        st.error(f"{wrong}.")
        return
    found = value_rows(answer)
    table(found, "Values at the points")
    st.download_button(
        "Values (csv)", data=table_csv(found), file_name="values.csv", mime="text/csv", on_click="ignore", key="get-csv"
    )


def typed_points(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[list[float]]:
    """The points of the table's rows; rows without any number are passed over, half a point is a `ValueError`."""
    found = []
    for number, row in enumerate(rows, start=1):
        values = {name: row.get(name) for name in names}
        missing = [name for name, value in values.items() if value is None or value != value]
        if missing and len(missing) < len(names):
            raise ValueError(f"Row {number} of the table of points lacks {missing[0]}: fill it in, or delete the row")
        if not missing:
            found.append([float(value) for value in values.values() if value is not None])
    return found


def value_rows(answer: Answer) -> list[dict[str, Any]]:
    """A row for each point: where it is, what the operator says, and the half-width of its band, where there is one."""
    question, about = answer.question, answer.about
    order = reading_order(about)
    value = label(about.solution.name, about.solution.unit)
    rows = []
    for place, (point, inside) in enumerate(zip(question.points, question.mask, strict=True)):
        row: dict[str, Any] = {
            label(about.axes[index].name, about.axes[index].unit): float(point[index]) for index in order
        }
        row[value] = float(answer.field[place]) if inside else "outside the geometry"
        if answer.half_width is not None:
            row["± (band)"] = float(answer.half_width[place]) if inside else ""
        rows.append(row)
    return rows


def table_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows with equal keys as CSV."""
    return table_text(rows).encode()
