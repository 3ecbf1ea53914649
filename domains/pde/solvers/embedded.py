"""A geometry on a regular grid: which nodes lie inside, and where its boundary cuts the links between nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# A node closer to the boundary than this part of the spacing counts as lying on it.
ON_BOUNDARY = 1e-6

# Links of a node lead to its neighbours in +y, -y, +x and -x.
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))

_ROOT_STEPS = 60
_ROOT_TOLERANCE = 1e-12

Distance = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Embedding:
    """A geometry that lies within a grid of (ny, nx) nodes; the grid's outermost nodes are never inside.

    A link between an inside and an outside node is cut by the boundary. A boundary that cuts one link twice (a slit
    thinner than the spacing) is not seen.

    Attributes:
        y: (ny,) float64, ascending with equal steps.
        x: (nx,) float64, ascending with equal steps.
        distance: (ny, nx) float64, signed distance, positive inside.
        inside: (ny, nx) bool.
        fraction: (4, ny, nx) float64, in order of `DIRECTIONS`: the part of each inside node's link that lies inside,
            in (0, 1]; 1 where the link is not cut and for outside nodes.
        number: (ny, nx) int64, the unknowns' numbers 0 to n in the order of the narrowest band; -1 outside.
        bandwidth: largest difference between the numbers of linked unknowns.
    """

    y: np.ndarray
    x: np.ndarray
    distance: np.ndarray
    inside: np.ndarray
    fraction: np.ndarray
    number: np.ndarray
    bandwidth: int

    @property
    def unknowns(self) -> int:
        return int(self.inside.sum())

    @property
    def spacing(self) -> tuple[float, float]:
        """Distance between neighbours along y and along x."""
        return float(self.y[1] - self.y[0]), float(self.x[1] - self.x[0])

    def neighbour(self, values: np.ndarray, direction: int) -> np.ndarray:
        """(ny, nx): each node's neighbour's value; values wrap around at the edge, where no node is inside."""
        dy, dx = DIRECTIONS[direction]
        return np.roll(values, (-dy, -dx), (0, 1))


def embed(distance: Distance, y: np.ndarray, x: np.ndarray) -> Embedding:
    """Lay a geometry on the grid of `y` and `x`.

    Args:
        distance: signed distance, positive inside, of (n, 2) points (x, y); the boundary is looked for on each cut
            link, so only its sign and its zeros must be right.
        y: (ny,) ascending, equal steps, at least three.
        x: (nx,) ascending, equal steps, at least three.

    Raises:
        ValueError: the axes are not regular, the geometry reaches over the grid's edge, or no node is inside.
    """
    y, x = _axis(y, "y"), _axis(x, "x")
    rows, columns = np.meshgrid(y, x, indexing="ij")
    values = np.asarray(distance(np.stack([columns.ravel(), rows.ravel()], axis=1)), dtype=np.float64)
    if values.shape != (rows.size,) or not np.isfinite(values).all():
        raise ValueError(f"the signed distance of {rows.size} points must be as many finite numbers")
    values = values.reshape(rows.shape)
    spacing = np.array([y[1] - y[0], x[1] - x[0]])
    inside = values > ON_BOUNDARY * spacing.min()
    edge = np.ones_like(inside)
    edge[1:-1, 1:-1] = False
    if (inside & edge).any():
        i, j = np.argwhere(inside & edge)[0]
        raise ValueError(
            f"the geometry reaches over the grid's edge at (x, y) = ({x[j]:g}, {y[i]:g}); give a grid that bounds it"
        )
    if not inside.any():
        raise ValueError(f"no node of the {len(y)} x {len(x)} grid lies inside the geometry; refine the grid")
    fraction = np.ones((len(DIRECTIONS), *inside.shape))
    for direction, step in enumerate(DIRECTIONS):
        cut = inside & ~np.roll(inside, (-step[0], -step[1]), (0, 1))
        i, j = np.nonzero(cut)
        ends = (values[i, j], values[i + step[0], j + step[1]])
        start, along = np.stack([x[j], y[i]], axis=1), np.array([step[1] * spacing[1], step[0] * spacing[0]])
        fraction[direction][cut] = np.maximum(_root(distance, start, along, *ends), ON_BOUNDARY)
    number, bandwidth = _numbering(inside)
    return Embedding(y, x, values, inside, fraction, number, bandwidth)


def unit_grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The axes (y, x) of `size` x `size` nodes on the unit square, ends included."""
    if size < 3:
        raise ValueError(f"a grid needs at least 3 nodes along each axis, got {size}")
    axis = np.linspace(0.0, 1.0, size)
    return axis, axis


def _axis(values: np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    steps = np.diff(values) if values.ndim == 1 else np.zeros(0)
    if len(steps) < 2 or not steps.min() > 0 or np.ptp(steps) > 1e-6 * steps.mean():
        raise ValueError(f"the grid's {name} axis must be at least 3 ascending numbers with equal steps")
    return values


def _root(distance: Distance, start: np.ndarray, along: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Where on each link from `start` to `start + along` the distance is zero, as a part of it: Illinois' method."""
    low, high = np.zeros(len(start)), np.ones(len(start))
    first, last = first.copy(), np.minimum(last, 0.0)
    root = high.copy()
    for _ in range(_ROOT_STEPS):
        previous, root = root, (low * last - high * first) / (last - first)
        if len(root) == 0 or np.abs(root - previous).max() < _ROOT_TOLERANCE:
            break
        value = np.asarray(distance(start + root[:, None] * along), dtype=np.float64)
        positive = value > 0
        # The end that stays twice is weighted down by half, else the bracket would shrink from one side only.
        last = np.where(positive, np.where(root > previous, last / 2, last), value)
        first = np.where(positive, value, np.where(root < previous, first / 2, first))
        low, high = np.where(positive, root, low), np.where(positive, high, root)
    return root


def _numbering(inside: np.ndarray) -> tuple[np.ndarray, int]:
    """Numbers by rows, by columns or by reverse Cuthill and McKee, whichever has the narrowest band."""
    from scipy.sparse import coo_array, csr_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    count = int(inside.sum())
    rows = np.full(inside.shape, -1, dtype=np.int64)
    rows[inside] = np.arange(count)
    columns = np.full(inside.T.shape, -1, dtype=np.int64)
    columns[inside.T] = np.arange(count)
    pairs = _linked(rows)
    graph = csr_array(coo_array((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), shape=(count, count)))
    order = reverse_cuthill_mckee(csr_array(graph + graph.T), symmetric_mode=True)
    cuthill = np.full(inside.shape, -1, dtype=np.int64)
    cuthill[inside] = np.argsort(order)
    widths = []
    for number in (rows, columns.T, cuthill):
        first, second = _linked(number)
        widths.append((int(np.abs(first - second).max(initial=0)), number))
    bandwidth, number = min(widths, key=lambda entry: entry[0])
    return number, bandwidth


def _linked(number: np.ndarray) -> np.ndarray:
    """(2, links): the numbers of both ends of every uncut link, each once."""
    down = np.stack([number[:-1].ravel(), number[1:].ravel()])
    right = np.stack([number[:, :-1].ravel(), number[:, 1:].ravel()])
    pairs = np.concatenate([down, right], axis=1)
    return pairs[:, (pairs >= 0).all(axis=0)]
