"""Steady heat in stacked prisms, above all the perforated plate with a hub: cut-cell finite volumes on a regular grid.

Control volumes lie around the nodes; the volumes and faces of those that the wall cuts enter with their solid part, and
the wall loses heat on its true area. So a curved wall needs no staircase. Ng, Min, Gibou, J. Comput. Phys. 228:8807
(2009) for insulated walls; Papac, Gibou, Ratsch, J. Comput. Phys. 229:875 (2010) for walls that lose heat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from domains.pde.geometry.plate import DISC_RADIUS, HOLE_RADIUS, HUB_RADIUS, HUB_TOP, THICKNESS, PlateDesign
from domains.pde.solvers.multigrid import solve_symmetric
from domains.pde.solvers.plan_view import PlanView, perforated_disc

CONDUCTIVITY = 1.0
"""k in W/(m K)."""

HEAT_TRANSFER = 0.1
"""h in W/(m² K): with it the plate's temperatures spread over [0.2, 1]."""


@dataclass(frozen=True)
class Heat:
    """A steady state. Temperatures are (T - surroundings) / (heated top - surroundings).

    Attributes:
        axes: nodes x (nx,), y (ny,) and z (nz,) float64.
        temperature: (nx, ny, nz) float64, 0 at nodes whose cell has no solid. Nodes outside the solid whose cell has
            some carry the field continued to them.
        solid: (nx, ny, nz) bool, the cells that have some.
        heat_in: heat flow through the heated top, in W for a temperature difference of 1 K.
        heat_out: heat flow that all other surfaces lose; equal to `heat_in` but for the linear solver's tolerance.
        iterations: of the linear solver.
    """

    axes: tuple[np.ndarray, np.ndarray, np.ndarray]
    temperature: np.ndarray
    solid: np.ndarray
    heat_in: float
    heat_out: float
    iterations: int

    def at(self, points: np.ndarray) -> np.ndarray:
        """(n,) float64: temperature at points (n, 3) of the solid, linear between the nodes that have solid."""
        from scipy.interpolate import RegularGridInterpolator

        solid = RegularGridInterpolator(self.axes, self.solid.astype(np.float64), bounds_error=False, fill_value=0.0)
        weighted = RegularGridInterpolator(self.axes, self.temperature, bounds_error=False, fill_value=0.0)
        weight = solid(points)
        return np.divide(weighted(points), weight, out=np.zeros(len(points)), where=weight > 0)


def steady_heat(
    layers: Sequence[PlanView],
    axes: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    conductivity: float = CONDUCTIVITY,
    heat_transfer: float = HEAT_TRANSFER,
    tolerance: float = 1e-10,
) -> Heat:
    """Solves ``-div(k grad T) = 0`` with T = 1 on the top and ``-k dT/dn = h T`` on every other surface.

    The temperature of a side wall at the signed distance d of its node is ``T / (1 + h d / k)``, which follows from
    the condition itself; the matrix stays symmetric, and 0 <= T <= 1 holds on every grid.

    Args:
        layers: nz - 1 plan views, of the solid between each two neighbouring levels of nodes, from the bottom up.
            Of two neighbours one must lie within the other.
        axes: even spaced nodes x, y and z.

    Raises:
        ValueError: values that are not positive, a grid too coarse for h / k, layers that do not fit the axes, or a
            top without solid.
    """
    steps = tuple(float(axis[-1] - axis[0]) / (len(axis) - 1) for axis in axes)
    for name, value in (("conductivity", conductivity), ("heat_transfer", heat_transfer), ("step", min(steps))):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive, got {value}")
    shape = (len(axes[0]), len(axes[1]), len(axes[2]))
    if len(layers) != shape[2] - 1 or any(layer.area.shape != shape[:2] for layer in layers):
        raise ValueError(f"a grid of {shape} nodes needs {shape[2] - 1} layers of shape {shape[:2]}")
    dx, dy, dz = steps
    biot = heat_transfer / conductivity
    if biot * np.hypot(dx, dy) >= 1:
        raise ValueError(f"steps of {dx:.4g} and {dy:.4g} are too coarse for h / k = {biot:.4g}")
    if not layers[-1].area.any():
        raise ValueError("the top layer has no solid: nothing is heated")

    area = np.stack([layer.area for layer in layers], axis=-1)
    along_x = conductivity * dy / dx * _to_nodes([layer.x_faces for layer in layers], dz)
    along_y = conductivity * dx / dy * _to_nodes([layer.y_faces for layer in layers], dz)
    along_z = conductivity * dx * dy / dz * area
    # A sliver whose area is lost in rounding may still have open faces: it must take part, not sit at 0.
    solid = _total(along_x, along_y, along_z) > 0
    heated = np.zeros_like(solid)
    heated[:, :, -1] = solid[:, :, -1]

    bare = np.abs(np.diff(area, axis=2, prepend=0, append=0)) * dx * dy
    bare[:, :, -1] = 0
    side = _to_nodes([layer.wall / (1 + biot * layer.distance) for layer in layers], dz)
    loss = (heat_transfer * (bare + side))[solid]

    known = heated[solid]
    flow = _flow_matrix(solid, along_x, along_y, along_z, loss)
    answer = known.astype(np.float64)
    right_side = -(flow @ answer)[~known]
    answer[~known], iterations = solve_symmetric(flow[~known][:, ~known], right_side, tolerance=tolerance)

    temperature = np.zeros(shape)
    temperature[solid] = answer
    # What a heated node passes on is what the surface above it must give.
    heat_in = float((flow @ answer)[known].sum())
    return Heat(axes, temperature, solid, heat_in, float(loss @ answer), iterations)


def _to_nodes(layers: list[np.ndarray], dz: float) -> np.ndarray:
    """(nx, ny, nz): a quantity per height of the layers, integrated over the half layers that a level of nodes has."""
    half = np.stack(layers, axis=-1) * dz / 2
    return np.pad(half, ((0, 0), (0, 0), (1, 0))) + np.pad(half, ((0, 0), (0, 0), (0, 1)))


def _total(along_x: np.ndarray, along_y: np.ndarray, along_z: np.ndarray) -> np.ndarray:
    """(nx, ny, nz): sum of the conductances to the neighbours of each node."""
    total = np.zeros((along_z.shape[0], along_z.shape[1], along_x.shape[2]))
    for axis, conductance in enumerate((along_x, along_y, along_z)):
        for side in ((1, 0), (0, 1)):
            total += np.pad(conductance, [side if other == axis else (0, 0) for other in range(3)])
    return total


def _flow_matrix(
    solid: np.ndarray, along_x: np.ndarray, along_y: np.ndarray, along_z: np.ndarray, loss: np.ndarray
) -> sparse.csr_array:
    """The symmetric matrix of net heat flow out of each solid node, from conductances and surface losses."""
    number = np.full(solid.shape, -1, dtype=np.int32)
    number[solid] = np.arange(len(loss), dtype=np.int32)
    pairs = []
    for axis, conductance in enumerate((along_x, along_y, along_z)):
        along = np.moveaxis(number, axis, 0)
        values = np.moveaxis(conductance, axis, 0)
        is_open = values > 0
        pairs.append((along[:-1][is_open], along[1:][is_open], values[is_open]))
    first, second, values = (np.concatenate(part) for part in zip(*pairs, strict=True))
    shape = (len(loss), len(loss))
    links = sparse.csr_array(sparse.coo_array((-values, (first, second)), shape=shape))
    links = links + links.T
    return sparse.csr_array(links + sparse.diags_array(loss - links.sum(axis=1)))


def plate_axes(cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes of cubic cells around the plate: `cells` across x and y in [-2, 2], a quarter of that along z in [0, 1].

    Raises:
        ValueError: cells that are no multiple of 16: only those put a level of nodes on the top of the disc.
    """
    if cells < 16 or cells % 16:
        raise ValueError(f"the plate's grid needs a multiple of 16 cells across, got {cells}")
    across = np.linspace(-DISC_RADIUS, DISC_RADIUS, cells + 1)
    return across, across, np.linspace(0, HUB_TOP, cells // 4 + 1)


def solve_plate(
    design: PlateDesign, cells: int, *, heat_transfer: float = HEAT_TRANSFER, tolerance: float = 1e-10
) -> Heat:
    """The steady state of a design on `plate_axes(cells)`, heated at the top of its hub."""
    return steady_heat(
        plate_layers(design.centres(), cells), plate_axes(cells), heat_transfer=heat_transfer, tolerance=tolerance
    )


def plate_layers(centres: np.ndarray, cells: int) -> list[PlanView]:
    """The layers of a plate with holes through its whole height around the centres (n, 2), on `plate_axes(cells)`."""
    x, y, z = plate_axes(cells)
    disc = perforated_disc(x, y, radius=DISC_RADIUS, holes=centres, hole_radius=HOLE_RADIUS)
    hub = perforated_disc(x, y, radius=HUB_RADIUS, holes=centres, hole_radius=HOLE_RADIUS)
    return [disc if middle < THICKNESS else hub for middle in (z[1:] + z[:-1]) / 2]
