"""Where data on a full grid have their edge, which files without a mask do not say."""

from __future__ import annotations

import numpy as np

from domains.pde.asking.outlines import BOX, CELLS, box_corners

_ZERO = 1e-6
_TIMES = ("t", "time")


def box_distance(
    solution: np.ndarray, axes: list[np.ndarray] | None, names: tuple[str, ...], problem: str
) -> tuple[np.ndarray | None, tuple[str, ...], str]:
    """Signed distance (1, P) float32 to the edge of a full grid, the geometry's name, and what was done, in words.

    A solution that is zero at all outermost points has its edge there. Darcy flow is zero on its edge by its equation:
    if the outermost points are not, as in files that hold the middles of cells or leave out every other node, the edge
    is taken to lie half a cell beyond them, as that of a mask does. Other data may be periodic and get no distance.

    Args:
        solution: (N, *grid).
        axes: values of each axis; None for points that are no tensor grid.
        names: of the axes.
        problem: the data set's; one that begins with ``darcy`` is Darcy flow.
    """
    if axes is None or any(name in _TIMES for name in names) or min(map(len, axes)) < 2:
        return None, (), "none: the points are not a grid in space alone"
    outermost = np.zeros(solution.shape[1:], dtype=bool)
    for axis in range(outermost.ndim):
        np.moveaxis(outermost, axis, 0)[[0, -1]] = True
    greatest = np.abs(solution).max()
    zero = greatest > 0 and np.abs(solution[:, outermost]).max() <= _ZERO * greatest
    if not zero and not problem.startswith("darcy"):
        return None, (), "none: the solution is not zero at the outermost points"
    name = BOX if zero else CELLS
    low, high = box_corners(axes, name)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    distance = np.minimum(points - low, high - points).min(axis=1).astype(np.float32)
    unit = len(axes) == 2 and np.allclose(low, 0, atol=1e-9) and np.allclose(high, 1, atol=1e-9)
    where = "through the outermost points, where the solution is zero" if zero else "half a cell beyond the points"
    return distance[None], ("square" if zero and unit else name,), f"to the edge of the grid, {where}"
