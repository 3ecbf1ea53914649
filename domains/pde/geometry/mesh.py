"""Meshes by meshio: the points of any file, and the shape that a planar mesh covers."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domains.pde.geometry import polygons
from domains.pde.geometry.shape import Shape, from_rings

_CORNERS = {"triangle": 3, "triangle6": 3, "triangle7": 3, "quad": 4, "quad8": 4, "quad9": 4}
_LARGEST_CHECKED = 5000
"""Boundary edges beyond which crossings are not looked for: the check takes the square of their number."""


@dataclass(frozen=True)
class Mesh:
    """The points and cells of a mesh file.

    Attributes:
        name: the file's name without suffix.
        points: (n, d) float64; d is 2 where all points of a file have one and the same third coordinate.
        cells: node indices (m, k) of each kind of cell, by meshio's names: ``"triangle"``, ``"tetra"``.
    """

    name: str
    points: np.ndarray
    cells: dict[str, np.ndarray]


def read_points(path: Path) -> Mesh:
    """Reads a mesh file of any format that meshio knows: VTU, VTK, Gmsh, XDMF, ...

    Errors: ValueError for a file that is missing or cannot be read, without points, with coordinates that are not
    finite, or with cells of points that are not there.
    """
    import meshio

    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    try:
        # meshio writes to the console and leaves by SystemExit where no reader fits.
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            read = meshio.read(path)
    except (Exception, SystemExit) as error:
        reason = "" if isinstance(error, SystemExit) else f" ({str(error) or type(error).__name__})"
        raise ValueError(f"{path.name}: cannot be read as a mesh{reason}") from error
    points = np.asarray(read.points, dtype=np.float64)
    if points.ndim != 2 or not points.size:
        raise ValueError(f"{path.name}: the mesh has no points")
    if not np.isfinite(points).all():
        raise ValueError(f"{path.name}: point {int(np.argmin(np.isfinite(points).all(axis=1)))} is not a finite number")
    if points.shape[1] == 3 and np.ptp(points[:, 2]) == 0:
        points = points[:, :2]
    cells: dict[str, np.ndarray] = {}
    for block in read.cells:
        nodes = np.asarray(block.data)
        if nodes.ndim != 2 or not len(nodes):
            continue
        if nodes.min() < 0 or nodes.max() >= len(points):
            raise ValueError(f"{path.name}: a {block.type} has a point that is not there (of {len(points)})")
        cells[block.type] = np.concatenate([cells[block.type], nodes]) if block.type in cells else nodes
    return Mesh(path.stem, points, cells)


def from_mesh(mesh: Mesh | Path) -> Shape:
    """The region that the triangles and quadrilaterals of a planar mesh cover, or that its lines enclose.

    The boundary are the edges of one cell only, so that holes stay holes; the signed distance to it is exact. Points
    with equal coordinates count as one.

    Errors: ValueError for a mesh that is not planar, has neither triangles nor quadrilaterals nor lines, has an edge of
    more than two cells, or whose boundary does not close or crosses itself.
    """
    mesh = read_points(mesh) if isinstance(mesh, Path) else mesh
    if mesh.points.shape[1] != 2:
        raise ValueError(f"{mesh.name}: the mesh is not planar: its points differ in the third coordinate")
    points, merged = np.unique(mesh.points, axis=0, return_inverse=True)
    merged = merged.reshape(-1)
    faces = [merged[nodes[:, : _CORNERS[kind]]] for kind, nodes in mesh.cells.items() if kind in _CORNERS]
    if faces:
        outline = _free_edges(faces, points, mesh.name)
    elif "line" in mesh.cells:
        outline = merged[mesh.cells["line"]]
    else:
        found = ", ".join(sorted(mesh.cells)) or "points only"
        raise ValueError(f"{mesh.name}: the mesh has no triangles, quadrilaterals or lines, only: {found}")
    if not len(outline):
        raise ValueError(f"{mesh.name}: the mesh has no boundary: every edge belongs to two cells, so cells overlap")
    rings = tuple(points[ring] for ring in _rings(outline, points, mesh.name))
    if len(outline) <= _LARGEST_CHECKED:
        polygons.check_crossings(rings, mesh.name, touching=True)
    return from_rings(rings, mesh.name)


def _free_edges(faces: list[np.ndarray], points: np.ndarray, name: str) -> np.ndarray:
    """(m, 2): the edges that belong to one face only."""
    sides = np.concatenate([np.stack([f, np.roll(f, -1, axis=1)], axis=-1).reshape(-1, 2) for f in faces])
    sides = sides[sides[:, 0] != sides[:, 1]]
    unique, count = np.unique(np.sort(sides, axis=1), axis=0, return_counts=True)
    if (count > 2).any():
        a, b = points[unique[np.argmax(count)]]
        raise ValueError(f"{name}: {count.max()} cells share the edge from {_at(a)} to {_at(b)}; cells overlap")
    return unique[count == 1]


def _rings(outline: np.ndarray, points: np.ndarray, name: str) -> list[np.ndarray]:
    """Closed walks over all edges (m, 2), each as the indices of its points."""
    neighbours: dict[int, list[int]] = {}
    for a, b in outline.tolist():
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    for point, others in neighbours.items():
        if len(others) % 2:
            raise ValueError(f"{name}: the boundary does not close at {_at(points[point])}")
    rings = []
    for start in neighbours:
        while neighbours[start]:
            ring, here = [], start
            while neighbours[here]:
                following = neighbours[here].pop()
                neighbours[following].remove(here)
                ring.append(here)
                here = following
            if len(ring) < 3:
                raise ValueError(f"{name}: the boundary does not close at {_at(points[start])}")
            rings.append(np.array(ring))
    return rings


def _at(point: np.ndarray) -> str:
    return f"({point[0]:.6g}, {point[1]:.6g})"
