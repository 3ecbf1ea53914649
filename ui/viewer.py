"""An image with what was found on it: layers to switch, opacity, side by side, zoom, frames of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from PIL import Image

from ui.theme import legend_html


@dataclass(frozen=True)
class Layer:
    """One thing that can be drawn on an image and switched off.

    Attributes:
        name: what it shows, unique in a view.
        colour: RGB, shown in the legend beside the name.
        draw: (image (H, W, 3) uint8, opacity in [0, 1]) to a new image of the same shape.
    """

    name: str
    colour: tuple[int, int, int]
    draw: Callable[[np.ndarray, float], np.ndarray]


def render(image: np.ndarray, layers: Sequence[Layer], shown: Sequence[str], opacity: float) -> np.ndarray:
    """Draws the layers named in `shown`, in the order of `layers`, on an image (H, W, 3) uint8."""
    unknown = sorted(set(shown) - {layer.name for layer in layers})
    if unknown:
        raise ValueError(f"no such layer: {', '.join(unknown)}")
    for layer in layers:
        if layer.name in shown:
            image = layer.draw(image, opacity)
    return image


def square_pixels(image: np.ndarray, spacing: tuple[float, float] | None) -> np.ndarray:
    """Stretches an image so that its pixels are square; the shorter side of a pixel keeps its count.

    Args:
        image: (H, W, 3) uint8.
        spacing: (row, column) size of a pixel, in any one unit; None leaves the image.
    """
    if spacing is None:
        return image
    row, column = spacing
    if not (row > 0 and column > 0):
        raise ValueError(f"pixel spacing must be positive, got {spacing}")
    if abs(row / column - 1) < 0.01:
        return image
    finest = min(row, column)
    size = (round(image.shape[1] * column / finest), round(image.shape[0] * row / finest))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def zoomable(image: np.ndarray, width: int = 600) -> go.Figure:
    """A figure that shows an image (H, W, 3) uint8 pixel by pixel, to drag and to zoom with the wheel.

    Its height is that of the image when it is `width` pixels wide.
    """
    figure = go.Figure(go.Image(z=image, hovertemplate="x %{x}, y %{y}<extra></extra>"))
    height = int(min(900, max(240, width * image.shape[0] / image.shape[1])))
    figure.update_layout(margin={"l": 0, "r": 0, "t": 0, "b": 0}, height=height, dragmode="pan")
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, scaleanchor="x", constrain="domain")
    return figure


def view(
    image: np.ndarray,
    layers: Sequence[Layer],
    key: str,
    caption: str,
    spacing: tuple[float, float] | None = None,
    found: str = "",
) -> None:
    """Shows an image with its layers and the controls over them.

    Args:
        image: (H, W, 3) uint8.
        layers: what can be drawn on it.
        key: unique on the page.
        caption: what the image is; it is the text for readers of the screen as well.
        spacing: (row, column) size of a pixel in mm, for the right proportions.
        found: in words, what the layers show: the picture is not the only way to know it.
    """
    names = [layer.name for layer in layers]
    shown: Sequence[str] = names
    opacity = 0.4
    side, zoom = False, False
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if layers:
            opacity = st.slider("Opacity of the overlay", 0, 100, 40, 5, format="%d %%", key=f"{key}-opacity") / 100
            side = st.toggle("Original beside it", key=f"{key}-side")
        zoom = st.toggle("Zoom and drag", key=f"{key}-zoom")
    if len(layers) > 1:
        shown = st.pills("Shown", names, selection_mode="multi", default=names, wrap=True, key=f"{key}-shown")
    drawn = square_pixels(render(image, layers, shown, opacity), spacing)
    words = f"{caption}. {found}" if found else caption
    if side:
        left, right = st.columns(2)
        with left:
            original = f"{caption}, original"
            _picture(square_pixels(image, spacing), zoom, f"{key}-left", original, original, 480)
        with right:
            _picture(drawn, zoom, f"{key}-right", f"{caption}, with what was found", words, 480)
    else:
        _picture(drawn, zoom, f"{key}-single", caption, words, 600)
    visible = {layer.name: layer.colour for layer in layers if layer.name in shown}
    if visible:
        st.html(legend_html(visible))


def side_by_side(key: str) -> bool:
    """Whether the view of that key shows the original beside the overlay, for which it wants the page's whole width."""
    return bool(st.session_state.get(f"{key}-side"))


def _picture(image: np.ndarray, zoom: bool, key: str, caption: str, words: str, width: int) -> None:
    if zoom:
        config = {"scrollZoom": True, "displaylogo": False}
        st.plotly_chart(zoomable(image, width), key=key, config=config, alt=words)
        st.caption(caption)
    else:
        st.image(enlarged(image), caption=caption, alt=words, output_format="PNG", width="stretch")


def enlarged(image: np.ndarray, at_least: int = 640) -> np.ndarray:
    """Repeats the pixels of a small image a whole number of times, so that a browser does not blur its borders."""
    times = max(1, at_least // max(image.shape[:2]))
    return np.repeat(np.repeat(image, times, axis=0), times, axis=1) if times > 1 else image


def frame_slider(count: int, key: str, label: str = "Frame") -> int:
    """Chooses a frame of a sequence, counted from 0; the arrow keys move it. One frame needs no slider."""
    if count < 1:
        raise ValueError("a sequence has at least one frame")
    return 0 if count == 1 else st.slider(f"{label} (1 to {count})", 1, count, 1, key=key) - 1
