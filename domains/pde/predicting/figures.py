"""Pictures of fields: one, or reference, prediction and their difference side by side with shared colour limits."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from domains.pde.data.samples import Quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIELD_COLOURS, ERROR_COLOURS = "viridis", "magma"

# Inches: the side of a panel, and of a panel with its colour bar and labels.
_PANEL, _COLUMN = 2.4, 3.75

# Matplotlib's font and text caches are not made for several threads.
_DRAWING = threading.Lock()


@dataclass(frozen=True)
class Canvas:
    """Where the values of a field lie.

    Attributes:
        coordinates: (P, d) float64, in C order of `grid_shape`.
        axes: d quantities.
        grid_shape: d lengths, or (P,) for scattered points.
        mask: (P,) bool, where values count.
        quantity: what is drawn.
    """

    coordinates: np.ndarray
    axes: tuple[Quantity, ...]
    grid_shape: tuple[int, ...]
    mask: np.ndarray
    quantity: Quantity


@dataclass(frozen=True)
class Panel:
    """One field of a picture, (P,), and whether it shares the colour limits of the others or is an error."""

    title: str
    values: np.ndarray
    error: bool = False


def triple(field: np.ndarray, reference: np.ndarray | None, *, known_as: str = "reference") -> list[Panel]:
    """The panels of a field, with its reference and the absolute difference where there is one."""
    if reference is None:
        return [Panel("prediction", field)]
    difference = np.abs(np.asarray(field, np.float64) - reference)
    return [Panel(known_as, reference), Panel("prediction", field), Panel("|difference|", difference, error=True)]


def limits(panels: Sequence[Panel], mask: np.ndarray) -> tuple[float, float]:
    """The common colour limits of all panels that are no error, from the values that count."""
    values = np.concatenate([panel.values[mask] for panel in panels if not panel.error])
    if values.size == 0:
        return 0.0, 1.0
    return float(values.min()), float(values.max())


def draw(panels: Sequence[Panel], canvas: Canvas, *, title: str = "", dpi: int = 90) -> bytes:
    """A PNG of the panels beside each other; a field of three axes is cut at the middle of two of them.

    Raises:
        ValueError: values that do not fit the points, or points of more than three axes.
    """
    for panel in panels:
        if panel.values.shape != canvas.mask.shape:
            raise ValueError(f"a field of shape {panel.values.shape} cannot be drawn at {len(canvas.mask)} points")
    cuts = _cuts(canvas)
    low, high = limits(panels, canvas.mask)
    heights = [_PANEL] + [0.45 * _PANEL] * (len(cuts) - 1)
    width, height = _COLUMN * len(panels) + 0.15, sum(heights) + 0.55 * len(cuts) + 0.6
    with _DRAWING:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)

        def place(left: float, top: float, across: float, up: float) -> Axes:
            # Fixed places: an automatic layout takes longer than all of the drawing.
            return figure.add_axes((left / width, (height - top - up) / height, across / width, up / height))

        for column, panel in enumerate(panels):
            left, top = _COLUMN * column + 0.6, 0.65
            drawn: Any = None
            biggest = float(panel.values[canvas.mask].max(initial=0.0))
            bounds = (0.0, biggest) if panel.error else (low, high)
            for row, cut in enumerate(cuts):
                axes = place(left, top, _PANEL, heights[row])
                drawn = _draw_cut(axes, panel, cut, bounds)
                axes.set_title(f"{panel.title}, {cut.words}" if cut.words else panel.title, fontsize=9)
                top += heights[row] + 0.55
            bar = figure.colorbar(drawn, cax=place(left + _PANEL + 0.08, 0.65, 0.09, heights[0]))
            bar.ax.tick_params(labelsize=7)
            bar.ax.locator_params(axis="y", nbins=5)
            bar.set_label(_label(canvas.quantity), fontsize=8)
        if title:
            figure.text(0.5, 1 - 0.12 / height, title, ha="center", va="top", fontsize=10)
        return _png(figure, dpi)


@dataclass(frozen=True)
class _Cut:
    """Two axes of the points: a grid (rows, columns) or scattered points, and which of all values they are."""

    across: np.ndarray
    up: np.ndarray
    pick: np.ndarray
    masked: np.ndarray
    names: tuple[str, str]
    equal: bool
    is_grid: bool
    words: str = ""


def _cuts(canvas: Canvas) -> list[_Cut]:
    dimensions = len(canvas.axes)
    names = [_label(axis) for axis in canvas.axes]
    if dimensions > 3:
        raise ValueError(f"a field of {dimensions} axes cannot be drawn")
    flat = np.arange(len(canvas.coordinates))
    if dimensions == 1:
        return [_Cut(canvas.coordinates[:, 0], flat, flat, canvas.mask, (names[0], ""), False, False)]
    if len(canvas.grid_shape) != dimensions:
        across, up = (1, 0) if dimensions == 2 else (0, 1)
        return [
            _Cut(
                canvas.coordinates[:, across],
                canvas.coordinates[:, up],
                flat,
                canvas.mask,
                (names[across], names[up]),
                _same_unit(canvas.axes, across, up),
                False,
                "all points",
            )
        ]
    index = flat.reshape(canvas.grid_shape)
    if dimensions == 2:
        return [_grid_cut(canvas, index, 1, 0)]
    middle = canvas.grid_shape[1] // 2
    inside = canvas.mask.reshape(canvas.grid_shape)
    # The level with the most points inside is where a plate is seen whole.
    level = int(np.argmax(inside.sum(axis=(0, 1))))
    height = canvas.coordinates[index[0, 0, level], 2]
    across = canvas.coordinates[index[0, middle, 0], 1]
    return [
        _grid_cut(canvas, index[:, :, level].T, 0, 1, f"{canvas.axes[2].name} = {height:.3g}"),
        _grid_cut(canvas, index[:, middle, :].T, 0, 2, f"{canvas.axes[1].name} = {across:.3g}"),
    ]


def _grid_cut(canvas: Canvas, index: np.ndarray, across: int, up: int, words: str = "") -> _Cut:
    return _Cut(
        canvas.coordinates[index[0], across],
        canvas.coordinates[index[:, 0], up],
        index,
        canvas.mask[index],
        (_label(canvas.axes[across]), _label(canvas.axes[up])),
        _same_unit(canvas.axes, across, up),
        True,
        words,
    )


def _draw_cut(axes: Axes, panel: Panel, cut: _Cut, bounds: tuple[float, float]) -> Any:
    colours = ERROR_COLOURS if panel.error else FIELD_COLOURS
    values = np.ma.array(panel.values[cut.pick], mask=~cut.masked)
    style: dict[str, Any] = {"cmap": colours, "vmin": bounds[0], "vmax": bounds[1]}
    if cut.is_grid:
        drawn = axes.pcolormesh(cut.across, cut.up, values, shading="nearest", rasterized=True, **style)
    elif cut.names[1] == "":
        drawn = axes.scatter(cut.across[cut.masked], values.compressed(), c=values.compressed(), s=8, **style)
    else:
        drawn = axes.scatter(cut.across[cut.masked], cut.up[cut.masked], c=values.compressed(), s=8, **style)
    if cut.equal:
        axes.set_aspect("equal")
    axes.set_ylabel(cut.names[1], fontsize=8)
    axes.set_xlabel(cut.names[0], fontsize=8)
    axes.tick_params(labelsize=7)
    # Ticks are most of the time of a drawing.
    axes.locator_params(nbins=4)
    return drawn


def thumbnail(png: bytes, side: int = 320) -> bytes:
    """A picture as a small JPEG, no side longer than `side` pixels."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as picture:
        small = picture.convert("RGB")
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=80)
    return buffer.getvalue()


def _same_unit(axes: Sequence[Quantity], first: int, second: int) -> bool:
    return axes[first].unit == axes[second].unit and "t" not in (axes[first].name, axes[second].name)


def _label(quantity: Quantity) -> str:
    return quantity.name if quantity.unit in ("", "1") else f"{quantity.name} [{quantity.unit}]"


def _png(figure: Figure, dpi: int) -> bytes:
    buffer = io.BytesIO()
    # Without the version in it, equal pictures are equal files.
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()
