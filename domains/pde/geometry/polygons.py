"""Polygons as rings of vertices: exact signed distance, points along the outline, and what makes them invalid.

A region is bounded by one or more rings, arrays (k, 2) of (x, y) without a repeated last vertex, in either
orientation. A point belongs to the region if a ray from it crosses the rings an odd number of times, so that a ring
inside another is a hole.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Rings = tuple[np.ndarray, ...]

_PAIRS_AT_ONCE = 1_000_000


def signed_distance(points: np.ndarray, rings: Rings) -> np.ndarray:
    """(n,) float64: exact Euclidean distance of the points (n, 2) to the rings, positive inside.

    Work and time are proportional to the number of points times the number of edges.
    """
    starts, ends = edges(rings)
    along = ends - starts
    squared = np.einsum("ij,ij->i", along, along)
    # A horizontal edge crosses no horizontal ray: any slope does, as long as nothing is divided by zero.
    slope = along[:, 0] / np.where(along[:, 1] == 0, 1.0, along[:, 1])
    result = np.empty(len(points))
    step = max(1, _PAIRS_AT_ONCE // len(starts))
    for first in range(0, len(points), step):
        x, y = points[first : first + step, 0, None], points[first : first + step, 1, None]
        from_start = x - starts[:, 0], y - starts[:, 1]
        share = np.clip((from_start[0] * along[:, 0] + from_start[1] * along[:, 1]) / squared, 0.0, 1.0)
        nearest = np.hypot(from_start[0] - share * along[:, 0], from_start[1] - share * along[:, 1]).min(axis=1)
        straddles = (starts[:, 1] > y) != (ends[:, 1] > y)
        crossings = np.count_nonzero(straddles & (from_start[0] < slope * from_start[1]), axis=1)
        result[first : first + step] = np.where(crossings % 2 == 1, nearest, -nearest)
    return result


def edges(rings: Rings) -> tuple[np.ndarray, np.ndarray]:
    """(m, 2) and (m, 2): where the edges of all rings start and end."""
    return np.concatenate(rings), np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])


def area(ring: np.ndarray) -> float:
    """Signed area of one ring, positive if it runs counterclockwise (shoelace formula)."""
    x, y = (ring - ring[0]).T
    return float(0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def along_outline(rings: Rings, count: int) -> np.ndarray:
    """(count, 2): points at equal steps of arc length along the rings, one ring after the other."""
    starts, ends = edges(rings)
    steps = ends - starts
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*steps.T))])
    wanted = np.arange(count) * (length[-1] / count)
    edge = np.clip(np.searchsorted(length, wanted, side="right") - 1, 0, len(starts) - 1)
    share = (wanted - length[edge]) / (length[edge + 1] - length[edge])
    return starts[edge] + share[:, None] * steps[edge]


def bounds(rings: Rings) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Lower and upper corner of the box around the rings."""
    vertices = np.concatenate(rings)
    return tuple(vertices.min(axis=0).tolist()), tuple(vertices.max(axis=0).tolist())


def simple_ring(vertices: Sequence[Sequence[float]] | np.ndarray, name: str = "polygon") -> np.ndarray:
    """(k, 2) float64: the vertices of a simple polygon, without the repeated last one.

    Errors: ValueError for wrong shapes, numbers that are not finite, fewer than three vertices, no area, a vertex that
    is there twice, edges that cross or touch.
    """
    ring = np.asarray(vertices, dtype=np.float64)
    if ring.ndim != 2 or ring.shape[1] != 2:
        raise ValueError(f"{name}: the vertices must have shape (k, 2), got {ring.shape}")
    if not np.isfinite(ring).all():
        raise ValueError(f"{name}: vertex {int(np.argmin(np.isfinite(ring).all(axis=1)))} is not a finite number")
    if len(ring) > 1 and np.array_equal(ring[0], ring[-1]):
        ring = ring[:-1]
    if len(ring) < 3:
        raise ValueError(f"{name}: at least 3 vertices are needed, got {len(ring)}")
    if len(np.unique(ring, axis=0)) < len(ring):
        raise ValueError(f"{name}: a vertex is there twice; give each corner once")
    if abs(area(ring)) <= 1e-12 * np.ptp(ring, axis=0).max() ** 2:
        raise ValueError(f"{name}: the vertices lie on a line or the polygon intersects itself, so it has no area")
    check_crossings((ring,), name)
    return ring


def check_crossings(rings: Rings, name: str = "polygon", *, touching: bool = False) -> None:
    """ValueError if two edges cross, or, unless `touching` is allowed, meet anywhere but in a common vertex."""
    starts, ends = edges(rings)
    for i in range(len(starts) - 1):
        a, b, c, d = starts[i], ends[i], starts[i + 1 :], ends[i + 1 :]
        side_c, side_d = _side(a, b, c), _side(a, b, d)
        side_a, side_b = _side(c, d, a), _side(c, d, b)
        bad = (side_c * side_d < 0) & (side_a * side_b < 0)
        if not touching:
            for side, inner, p, q in (
                (side_c, c, a, b),
                (side_d, d, a, b),
                (side_a, a, c, d),
                (side_b, b, c, d),
            ):
                bad |= (side == 0) & (np.sum((inner - p) * (inner - q), axis=-1) < 0)
        if bad.any():
            j = i + 1 + int(np.argmax(bad))
            raise ValueError(
                f"{name}: it intersects itself: the edge from {_at(a)} to {_at(b)} meets "
                f"the edge from {_at(starts[j])} to {_at(ends[j])}"
            )


def _side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Twice the signed area of the triangle p, q, r: on which side of the line p q the point r lies."""
    u, v = q - p, r - p
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def _at(point: np.ndarray) -> str:
    return f"({point[0]:.6g}, {point[1]:.6g})"
