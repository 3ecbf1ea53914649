"""The plan view of a prism on a grid of nodes: what part of each node's cell, and of each face, is solid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import pdist

LINES_PER_CELL = 32


@dataclass(frozen=True)
class PlanView:
    """A cross-section, seen by the cells around the nodes of an (nx, ny) grid. A cell reaches half a step to each side.

    Attributes:
        area: (nx, ny) float64, the solid part of each cell, in [0, 1].
        x_faces: (nx - 1, ny) float64, the open part of the face between nodes i and i + 1 of the first axis.
        y_faces: (nx, ny - 1) float64, the same for the second axis.
        wall: (nx, ny) float64, length of the wall in each cell, in the unit of the axes.
        distance: (nx, ny) float64, signed distance of each node to the wall, positive inside the solid.
    """

    area: np.ndarray
    x_faces: np.ndarray
    y_faces: np.ndarray
    wall: np.ndarray
    distance: np.ndarray

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> PlanView:
        """Every cell solid, no wall: the sides of the grid are symmetry planes half a step outside its nodes."""
        nx, ny = shape
        faces = np.ones((nx - 1, ny)), np.ones((nx, ny - 1))
        return cls(np.ones(shape), *faces, np.zeros(shape), np.full(shape, np.inf))


def perforated_disc(
    x: np.ndarray, y: np.ndarray, *, radius: float, holes: np.ndarray, hole_radius: float = 0.0
) -> PlanView:
    """A disc around the origin without its holes, on the grid of the even spaced nodes x (nx,) and y (ny,).

    The open parts of the faces are exact. The area is the integral of such exact lengths over `LINES_PER_CELL` lines
    in each direction. The wall of a cut cell is the chord that closes the cell: by the divergence theorem the outward
    wall vector is minus the sum of the faces' vectors.

    Args:
        holes: (n, 2) centres of the holes. A hole may reach over the rim of the disc.

    Raises:
        ValueError: holes that overlap, or a disc that reaches over the cells of the grid.
    """
    holes = np.asarray(holes, dtype=np.float64).reshape(-1, 2)
    if len(holes) > 1 and pdist(holes).min() < 2 * hole_radius:
        raise ValueError(f"holes of radius {hole_radius} overlap: two centres are {pdist(holes).min():.4g} apart")
    x_edges, y_edges = _edges(x), _edges(y)
    if max(x_edges[0], y_edges[0]) > -radius or min(x_edges[-1], y_edges[-1]) < radius:
        raise ValueError(f"a disc of radius {radius} reaches over the grid of {len(x)} x {len(y)} nodes")
    dx, dy = np.diff(x_edges)[0], np.diff(y_edges)[0]
    across_x = _solid_lengths(x_edges, y_edges, radius, holes, hole_radius) / dy
    across_y = _solid_lengths(y_edges, x_edges, radius, holes[:, ::-1], hole_radius).T / dx

    along_y = _mean_over_cells(x, dx, y_edges, radius, holes, hole_radius) / dy
    along_x = _mean_over_cells(y, dy, x_edges, radius, holes[:, ::-1], hole_radius).T / dx
    wall = np.hypot(np.diff(across_x, axis=0) * dy, np.diff(across_y, axis=1) * dx)

    grid_x, grid_y = np.meshgrid(x, y, indexing="ij")
    distance = radius - np.hypot(grid_x, grid_y)
    for centre_x, centre_y in holes:
        distance = np.minimum(distance, np.hypot(grid_x - centre_x, grid_y - centre_y) - hole_radius)
    return PlanView((along_x + along_y) / 2, across_x[1:-1], across_y[:, 1:-1], wall, distance)


def _edges(nodes: np.ndarray) -> np.ndarray:
    """(n + 1,) borders of the cells around n even spaced nodes."""
    step = (nodes[-1] - nodes[0]) / (len(nodes) - 1)
    return nodes[0] + step * (np.arange(len(nodes) + 1) - 0.5)


def _solid_lengths(
    lines: np.ndarray, edges: np.ndarray, radius: float, holes: np.ndarray, hole_radius: float
) -> np.ndarray:
    """(lines, edges - 1) length of the solid on lines of constant first coordinate, between neighbouring edges."""
    reach = np.sqrt(np.maximum(radius**2 - lines**2, 0))
    lengths = _overlap(-reach, reach, edges)
    for first, second in holes:
        half = np.sqrt(np.maximum(hole_radius**2 - (lines - first) ** 2, 0))
        low = np.clip(second - half, -reach, reach)
        high = np.clip(second + half, -reach, reach)
        lengths -= _overlap(low, high, edges)
    return np.maximum(lengths, 0)


def _overlap(low: np.ndarray, high: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(lines, edges - 1) length that the intervals [low, high] share with those between neighbouring edges."""
    return np.diff(np.clip(edges, low[:, None], high[:, None]), axis=1)


def _mean_over_cells(
    nodes: np.ndarray, step: float, edges: np.ndarray, radius: float, holes: np.ndarray, hole_radius: float
) -> np.ndarray:
    """(nodes, edges - 1) mean of the solid length over the lines of each cell."""
    offsets = step * ((np.arange(LINES_PER_CELL) + 0.5) / LINES_PER_CELL - 0.5)
    lines = (nodes[:, None] + offsets).ravel()
    lengths = _solid_lengths(lines, edges, radius, holes, hole_radius)
    return lengths.reshape(len(nodes), LINES_PER_CELL, -1).mean(1)
