"""Polygons as rings of vertices: exact signed distance, points along the outline, and what makes them invalid.

A region is bounded by one or more rings, arrays (k, 2) of (x, y) without a repeated last vertex, in either
orientation. A point belongs to the region if a ray from it crosses the rings an odd number of times, so that a ring
inside another is a hole.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Rings = tuple[np.ndarray, ...]

_PAIRS_AT_ONCE = 100_000
_FEW_EDGES = 64
_CANDIDATES = 24


def signed_distance(points: np.ndarray, rings: Rings) -> np.ndarray:
    """(n,) float64: exact Euclidean distance of the points (n, 2) to the rings, positive inside."""
    starts, ends = edges(rings)
    nearest = _nearest(points, starts, ends)
    return np.where(_odd_crossings(points, starts, ends), nearest, -nearest)


def _nearest(points: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(n,): distance of each point to the nearest edge."""
    if len(starts) <= _FEW_EDGES:
        return _nearest_of_all(points, starts, ends)
    from scipy.spatial import KDTree

    # An edge comes no nearer than its midpoint less half its length: beyond the candidates, none can win.
    middles = (starts + ends) / 2
    to_middle, edge = KDTree(middles).query(points, k=_CANDIDATES)
    result = _to_edges(points, starts[edge], ends[edge]).min(axis=1)
    longest = np.hypot(*(ends - starts).T).max() / 2
    unsure = to_middle[:, -1] - longest < result
    result[unsure] = _nearest_of_all(points[unsure], starts, ends)
    return result


def _nearest_of_all(points: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    parts = [_to_edges(points[chosen], starts, ends).min(axis=1) for chosen in _chunks(len(points), len(starts))]
    return np.concatenate(parts) if parts else np.empty(0)


def _to_edges(points: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(n, m): distance of the points (n, 2) to the edges (m, 2) of all or (n, m, 2) of each."""
    along = ends - starts
    x, y = points[:, 0, None] - starts[..., 0], points[:, 1, None] - starts[..., 1]
    share = (x * along[..., 0] + y * along[..., 1]) / np.einsum("...i,...i->...", along, along)
    np.clip(share, 0.0, 1.0, out=share)
    return np.hypot(x - share * along[..., 0], y - share * along[..., 1])


def _odd_crossings(points: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(n,) bool: whether the ray from each point to greater x crosses the edges an odd number of times."""
    odd = np.empty(len(points), dtype=bool)
    for chosen in _chunks(len(points), len(starts)):
        y = points[chosen, 1, None]
        row, edge = np.nonzero((starts[:, 1] > y) != (ends[:, 1] > y))
        along = ends[edge] - starts[edge]
        ahead = points[chosen][row] - starts[edge]
        crossed = ahead[:, 0] * along[:, 1] - ahead[:, 1] * along[:, 0]
        # Seen from an edge that runs upwards, the ray's start must be on the left; downwards, on the right.
        hit = np.where(along[:, 1] > 0, crossed, -crossed) < 0
        odd[chosen] = np.bincount(row[hit], minlength=len(y)) % 2 == 1
    return odd


def _chunks(points: int, edges: int) -> list[slice]:
    """Slices of the points that keep the tables of points by edges within the processor's caches."""
    step = max(1, _PAIRS_AT_ONCE // edges)
    return [slice(first, first + step) for first in range(0, points, step)]


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
