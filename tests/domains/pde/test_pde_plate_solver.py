"""The plate's solver against closed forms: slab, cylinder, fin; balance, bounds, convergence, symmetry."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import root_scalar
from scipy.special import i0, i1, j0, j1, jn_zeros, k0, k1, y0, y1

from domains.pde.geometry.plate import PlateDesign, plate_distance
from domains.pde.solvers.multigrid import solve_symmetric
from domains.pde.solvers.plan_view import PlanView, perforated_disc
from domains.pde.solvers.plate import plate_axes, plate_layers, solve_plate, steady_heat

NO_HOLES = np.zeros((0, 2))


def test_a_slab_is_solved_exactly():
    axes = np.linspace(0, 0.2, 3), np.linspace(0, 0.4, 4), np.linspace(0, 0.5, 9)
    heat = steady_heat([PlanView.whole((3, 4))] * 8, axes, conductivity=2.0, heat_transfer=3.0)

    exact = (1 + 1.5 * axes[2]) / (1 + 1.5 * 0.5)
    np.testing.assert_allclose(heat.temperature, np.broadcast_to(exact, (3, 4, 9)), atol=1e-9)
    # Cells of the border reach half a step out of the grid: 0.3 by 0.5333 of slab.
    assert heat.heat_in == pytest.approx(3.0 * exact[0] * 0.3 * 0.4 * 4 / 3, rel=1e-8)


def along_the_axis(rate: float, biot: float, z: np.ndarray) -> np.ndarray:
    """cosh(rate z) + biot / rate sinh(rate z), scaled to 1 at z = 1, in exponentials that cannot overflow."""
    ratio = (rate - biot) / (rate + biot)
    return (np.exp(rate * (z - 1)) + ratio * np.exp(-rate * (z + 1))) / (1 + ratio * np.exp(-2 * rate))


def cylinder(points: np.ndarray, radius: float, biot: float, terms: int = 40) -> np.ndarray:
    """T of a cylinder of height 1 with T = 1 on top and -dT/dn = biot T elsewhere, as a Bessel series."""
    zeros = np.concatenate([[0.0], jn_zeros(1, terms)])
    r, z = np.hypot(points[..., 0], points[..., 1]), points[..., 2]
    total = np.zeros(points.shape[:-1])
    number = biot * radius
    for low, high in pairwise(zeros):
        root = root_scalar(lambda s: s * j1(s) - number * j0(s), bracket=(low, high)).root
        rate = root / radius
        total += 2 * number / ((root**2 + number**2) * j0(root)) * j0(root * r / radius) * along_the_axis(rate, biot, z)
    return total


def errors_against(exact, inner: float, **hole) -> list[float]:
    """Relative L2 errors of a cylinder's temperature below three quarters of its height, on 16 and on 32 cells."""
    errors = []
    for cells in (16, 32):
        across = np.linspace(-0.8, 0.8, cells + 1)
        axes = across, across, np.linspace(0, 1, cells + 1)
        heat = steady_heat([perforated_disc(across, across, radius=0.75, **hole)] * cells, axes, heat_transfer=1.5)
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        r = np.hypot(points[..., 0], points[..., 1])
        inside = (r <= 0.75) & (r >= inner) & (points[..., 2] <= 0.75)
        wanted = exact(points)[inside]
        errors.append(np.linalg.norm(heat.temperature[inside] - wanted) / np.linalg.norm(wanted))
    return errors


def test_a_cylinder_converges_to_the_bessel_series_without_a_staircase():
    errors = errors_against(lambda points: cylinder(points, 0.75, 1.5), 0.0, holes=NO_HOLES)
    assert errors[1] < 6e-4
    assert np.log2(errors[0] / errors[1]) > 1.6


def tube(points: np.ndarray, inner: float, outer: float, biot: float, terms: int = 20) -> np.ndarray:
    """The same with a hole along the axis, whose wall loses heat as well."""
    r, z = np.hypot(points[..., 0], points[..., 1]), points[..., 2]
    fine = np.linspace(inner, outer, 20001)

    def share(s: float) -> float:
        """Of Y0 in the eigenfunction J0 + share Y0 that fulfils T' = biot T at the inner wall."""
        return -(s * j1(s * inner) + biot * j0(s * inner)) / (s * y1(s * inner) + biot * y0(s * inner))

    def at_rim(s: float) -> float:
        first = biot * j0(s * outer) - s * j1(s * outer)
        second = biot * y0(s * outer) - s * y1(s * outer)
        # Without the denominator of `share`, which has zeros of its own.
        return first * (s * y1(s * inner) + biot * y0(s * inner)) - second * (s * j1(s * inner) + biot * j0(s * inner))

    trial = np.linspace(0.05, terms * np.pi / (outer - inner), 4000)
    values = np.array([at_rim(s) for s in trial])
    total = np.zeros(points.shape[:-1])
    for number in np.flatnonzero(np.diff(np.sign(values))):
        rate = root_scalar(at_rim, bracket=(trial[number], trial[number + 1])).root
        part = share(rate)
        mode = j0(rate * fine) + part * y0(rate * fine)
        weight = np.trapezoid(mode * fine, fine) / np.trapezoid(mode**2 * fine, fine)
        radial = j0(rate * r) + part * y0(rate * np.maximum(r, inner))
        total += weight * radial * along_the_axis(rate, biot, z)
    return total


def test_the_wall_of_a_hole_loses_its_heat_too():
    middle = {"holes": np.zeros((1, 2)), "hole_radius": 0.33}
    errors = errors_against(lambda points: tube(points, 0.33, 0.75, 1.5), 0.33, **middle)
    assert errors[1] < 2e-3
    assert np.log2(errors[0] / errors[1]) > 1.6


def test_far_from_the_hub_a_thin_plate_is_a_fin():
    loss, thickness, rim = 0.02, 0.25, 2.0
    heat = steady_heat(plate_layers(NO_HOLES, 64), plate_axes(64), heat_transfer=loss)
    x = heat.axes[0]
    along = x >= 1.2
    profile = heat.temperature[along, 32, 0]

    # T'' + T'/r = 2 h / (k t) T with -T' = h T at the rim.
    decay = np.sqrt(2 * loss / thickness)
    growing = decay * k1(decay * rim) - loss * k0(decay * rim)
    falling = decay * i1(decay * rim) + loss * i0(decay * rim)
    fin = growing * i0(decay * x[along]) + falling * k0(decay * x[along])
    np.testing.assert_allclose(profile / profile[0], fin / fin[0], rtol=1e-3)


def test_heat_in_is_heat_out_and_temperatures_stay_between_the_surroundings_and_the_top():
    for design in (PlateDesign(9, 0.9), PlateDesign(5, 1.3)):
        heat = solve_plate(design, 32)
        assert heat.heat_in == pytest.approx(heat.heat_out, rel=1e-7)
        inside = heat.temperature[heat.solid]
        assert 0.15 < inside.min() < 0.3
        assert inside.max() == 1
        assert (heat.temperature[~heat.solid] == 0).all()


def test_halving_the_cells_brings_the_mean_temperature_closer():
    means = [mean_temperature(PlateDesign(6, 1.2), cells) for cells in (16, 32, 64)]
    first, second = means[1] - means[0], means[2] - means[1]
    # The re-entrant edge under the hub, a corner of 270 degrees, bounds the order by 4/3.
    assert np.log2(first / second) > 1.15
    assert abs(second) < 0.01 * means[2]


def mean_temperature(design: PlateDesign, cells: int) -> float:
    heat = solve_plate(design, cells)
    points = np.stack(np.meshgrid(*plate_axes(16), indexing="ij"), axis=-1).reshape(-1, 3)
    step = cells // 16
    inside = plate_distance(design, points) >= -1e-9
    return float(heat.temperature[::step, ::step, ::step].ravel()[inside].mean())


def test_the_plate_is_as_symmetric_as_its_holes():
    four = solve_plate(PlateDesign(4, 1.1), 32).temperature
    np.testing.assert_allclose(np.rot90(four), four, atol=1e-8)
    np.testing.assert_allclose(four[:, ::-1], four, atol=1e-8)

    three = solve_plate(PlateDesign(3, 1.3), 64)
    np.testing.assert_allclose(three.temperature[:, ::-1], three.temperature, atol=1e-8)
    turn = np.deg2rad(120)
    radius, height = np.meshgrid([0.3, 0.9, 1.7], [0.05, 0.125, 0.2])
    values = [
        three.at(np.stack([radius * np.cos(a), radius * np.sin(a), height], axis=-1).reshape(-1, 3))
        for a in (0.4, 0.4 + turn, 0.4 + 2 * turn)
    ]
    np.testing.assert_allclose(values[1], values[0], atol=3e-3)
    np.testing.assert_allclose(values[2], values[1], atol=3e-3)
    assert np.ptp(values[0]) > 0.3


def test_every_sliver_with_an_open_face_takes_part():
    # Cell borders that touch the holes: a cell whose area was lost in rounding once stayed at 0 and drew heat.
    heats = [solve_plate(PlateDesign(2, 1.2), cells).heat_in for cells in (80, 96)]
    assert heats[1] == pytest.approx(heats[0], rel=1e-3)
    assert heats[1] < heats[0]


def test_equal_runs_give_equal_bytes_and_other_designs_others():
    first, second = (solve_plate(PlateDesign(7, 1.4), 32).temperature for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert solve_plate(PlateDesign(8, 1.4), 32).temperature.tobytes() != first.tobytes()


def test_the_plan_view_measures_area_walls_and_faces():
    x, y, _ = plate_axes(80)
    design = PlateDesign(9, 1.0)
    view = perforated_disc(x, y, radius=2.0, holes=design.centres(), hole_radius=0.2)
    assert view.area.sum() * 0.05**2 == pytest.approx(np.pi * (4 - 9 * 0.04), rel=2e-5)
    assert view.wall.sum() == pytest.approx(2 * np.pi * (2 + 9 * 0.2), rel=3e-3)
    # A face on the line x = 0.025: the chord of the disc without the holes that the line cuts.
    chord = 2 * np.sqrt(4 - 0.025**2)
    for centre in design.centres():
        chord -= 2 * np.sqrt(max(0.04 - (0.025 - centre[0]) ** 2, 0))
    assert view.x_faces[40].sum() * 0.05 == pytest.approx(chord, rel=1e-12)
    assert (view.distance[view.area == 1] > 0).all()
    assert (view.distance[view.area == 0] < 0).all()


def test_the_solver_and_the_signed_distance_know_the_same_plate():
    design = PlateDesign(5, 0.9)
    heat = solve_plate(design, 48)
    points = np.stack(np.meshgrid(*heat.axes, indexing="ij"), axis=-1).reshape(-1, 3)
    distance = plate_distance(design, points).reshape(heat.solid.shape)
    assert heat.solid[distance >= -1e-9].all()
    assert not heat.solid[distance < -0.75 * 4 / 48].any()


def test_temperature_at_points_is_that_of_the_nodes_and_linear_between_them():
    heat = solve_plate(PlateDesign(2, 1.5), 32)
    x, y, z = heat.axes
    points = np.array([[x[20], y[18], z[1]], [x[20], y[18], (z[0] + z[1]) / 2], [0.0, 0.0, 1.0], [1.5, 0.0, 0.1]])
    got = heat.at(points)
    assert got[0] == pytest.approx(heat.temperature[20, 18, 1], rel=1e-12)
    assert got[1] == pytest.approx(heat.temperature[20, 18, :2].mean(), rel=1e-12)
    assert got[2] == pytest.approx(1, rel=1e-12)
    assert got[3] == 0


def test_bad_input_is_one_clear_line():
    x, y, z = plate_axes(16)
    whole = [PlanView.whole((17, 17))] * 4
    with pytest.raises(ValueError, match="multiple of 16 cells across, got 50"):
        plate_axes(50)
    with pytest.raises(ValueError, match="heat_transfer must be positive, got -1"):
        steady_heat(whole, (x, y, z), heat_transfer=-1.0)
    with pytest.raises(ValueError, match=r"steps of 0\.25 and 0\.25 are too coarse for h / k = 10"):
        steady_heat(whole, (x, y, z), heat_transfer=10.0)
    with pytest.raises(ValueError, match="needs 4 layers"):
        steady_heat(whole[:3], (x, y, z))
    empty = perforated_disc(x, y, radius=0.1, holes=np.zeros((1, 2)), hole_radius=0.2)
    with pytest.raises(ValueError, match="nothing is heated"):
        steady_heat([*whole[:3], empty], (x, y, z))
    with pytest.raises(ValueError, match=r"holes of radius 0\.3 overlap"):
        perforated_disc(x, y, radius=2.0, holes=np.array([[1.0, 0.0], [1.5, 0.0]]), hole_radius=0.3)
    with pytest.raises(ValueError, match=r"a disc of radius 2\.5 reaches over the grid of 17 x 17 nodes"):
        perforated_disc(x, y, radius=2.5, holes=NO_HOLES)


def test_the_linear_solver_says_when_it_does_not_converge():
    matrix = sparse.csr_array(2 * np.eye(500) - np.eye(500, k=1) - np.eye(500, k=-1))
    right_side = np.sin(np.arange(500.0))
    solution, iterations = solve_symmetric(matrix, right_side)
    np.testing.assert_allclose(matrix @ solution, right_side, atol=1e-8)
    assert iterations < 20
    assert solve_symmetric(matrix, np.zeros(500))[1] == 0
    with pytest.raises(ValueError, match=r"500 unknowns did not converge: .* wanted 1\.0e-30"):
        solve_symmetric(matrix, right_side, tolerance=1e-30, limit=3)
