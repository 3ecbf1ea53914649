"""The geometry of a case: a shape by name, a random one by its seed, a polygon in a table, or a mask or mesh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from domains.pde.asking.sources import MASKS, MESHES
from ui import upload

NAMED, RANDOM, POLYGON, FILE = "By name", "Random", "Polygon", "Mask or mesh"
HOUSE = ((0.1, 0.05), (0.9, 0.05), (0.9, 0.55), (0.5, 0.95), (0.1, 0.55))


def choose_geometry(task: str) -> tuple[dict[str, Any] | None, dict[str, bytes]]:
    """The geometry as a parameter file holds it, None where it is still to be given, and the file that it names."""
    own = task.rpartition("/")[2]
    families = _families()
    kind = st.segmented_control(
        "Geometry",
        [NAMED, RANDOM, POLYGON, FILE],
        default=RANDOM if own in families else NAMED,
        required=True,
        wrap=True,
        key=f"geometry-{task}",
    )
    if kind == NAMED:
        names = _shapes()
        place = names.index(own) if own in names else 0
        name = st.selectbox("Shape", names, place, format_func=lambda n: n.replace("_", " "), key=f"shape-{task}")
        return {"shape": name}, {}
    if kind == RANDOM:
        left, right = st.columns(2)
        place = families.index(own) if own in families else 0
        family = left.selectbox("Family", families, place, key=f"family-{task}")
        seed = right.number_input("Seed of the shape", 0, 65_535, 1, key=f"shape-seed-{task}")
        return {"shape": f"{family}:{int(seed)}"}, {}
    if kind == POLYGON:
        return _polygon(task), {}
    return _file(task)


def _polygon(task: str) -> dict[str, Any] | None:
    st.caption(
        "Corners in order around the shape, within [0, 1] m. Change a number, add a row at the end, "
        "or mark rows at the left and press Delete."
    )
    config = {
        name: st.column_config.NumberColumn(f"{name} [m]", min_value=0.0, max_value=1.0, step=0.001, format="%.3f")
        for name in ("x", "y")
    }
    rows = st.data_editor(
        [{"x": x, "y": y} for x, y in HOUSE],
        num_rows="dynamic",
        column_config=config,
        hide_index=True,
        key=f"polygon-{task}",
        alt="Corners of the polygon",
    )
    try:
        return {"polygon": corners(rows)}
    except ValueError as wrong:
        st.error(f"{wrong}.")
        return None


def corners(rows: Sequence[dict[str, Any]]) -> list[list[float]]:
    """The corners of the table's rows; rows without any number are passed over.

    Raises:
        ValueError: a row with one number only, or fewer than three corners.
    """
    found = []
    for number, row in enumerate(rows, start=1):
        values = [row.get("x"), row.get("y")]
        missing = [name for name, value in zip(("x", "y"), values, strict=True) if value is None or value != value]
        if len(missing) == 1:
            raise ValueError(f"Row {number} of the table lacks {missing[0]}: fill it in, or delete the row")
        if not missing:
            found.append([float(value) for value in values if value is not None])
    if len(found) < 3:
        raise ValueError(f"A polygon needs at least three corners, the table has {len(found)}")
    return found


def _file(task: str) -> tuple[dict[str, Any] | None, dict[str, bytes]]:
    suffixes = sorted(suffix.lstrip(".") for suffix in MASKS | MESHES)
    file = st.file_uploader(
        "An image whose bright pixels are inside, or a mesh", type=suffixes, key=f"geometry-file-{task}"
    )
    st.caption("The image fills the unit square: its top is the greatest y. The nodes of a mesh lie in [0, 1] m.")
    if file is None:
        st.info("Upload a mask image or a mesh, or choose another kind of geometry.")
        return None, {}
    suffix = Path(upload.safe_name(file.name)).suffix.lower()
    kind = "mesh" if suffix in MESHES else "mask"
    return {kind: f"{kind}{suffix}"}, {f"{kind}{suffix}": file.getvalue()}


def _shapes() -> list[str]:
    from domains.pde.geometry.shapes import SHAPES

    return [name for name in SHAPES if name not in _families()]


def _families() -> list[str]:
    from domains.pde.geometry.families import FAMILIES

    return list(FAMILIES)
