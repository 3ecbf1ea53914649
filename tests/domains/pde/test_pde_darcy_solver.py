"""Darcy's solver against closed forms, against itself, and against what any solution must obey."""

from dataclasses import replace

import numpy as np
import pytest

from domains.pde.solvers import darcy
from domains.pde.solvers.darcy import solve_darcy
from domains.pde.solvers.embedded import DIRECTIONS, Embedding, embed, unit_grid

SQRT3 = np.sqrt(3.0)


def square(points: np.ndarray) -> np.ndarray:
    x, y = points.T
    return np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))


def circle(points: np.ndarray) -> np.ndarray:
    return 0.5 - np.hypot(*(points - 0.5).T)


def annulus(points: np.ndarray) -> np.ndarray:
    radius = np.hypot(*(points - 0.5).T)
    return np.minimum(0.5 - radius, radius - 0.2)


def triangle(points: np.ndarray) -> np.ndarray:
    return np.minimum.reduce(heights(points[:, 0], points[:, 1]))


def l_shape(points: np.ndarray) -> np.ndarray:
    x, y = points.T
    return np.minimum(square(points), np.maximum(0.5 - x, 0.5 - y))


def heights(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances to the sides of the triangle (0, 0), (1, 0), (1/2, √3/2)."""
    return y, (SQRT3 * x - y) / 2, (SQRT3 * (1 - x) - y) / 2


def on_grid(distance, size: int) -> tuple[Embedding, np.ndarray, np.ndarray]:
    y, x = unit_grid(size)
    rows, columns = np.meshgrid(y, x, indexing="ij")
    return embed(distance, y, x), rows, columns


def boundary_values(embedding: Embedding, function) -> np.ndarray:
    """The function where the boundary cuts the links of inside nodes."""
    height, width = embedding.spacing
    rows, columns = np.meshgrid(embedding.y, embedding.x, indexing="ij")
    return np.stack(
        [
            function(columns + dx * width * embedding.fraction[k], rows + dy * height * embedding.fraction[k])
            for k, (dy, dx) in enumerate(DIRECTIONS)
        ]
    )


def error(answer: np.ndarray, exact: np.ndarray, inside: np.ndarray) -> float:
    return float(np.linalg.norm((answer - exact)[inside]) / np.linalg.norm(exact[inside]))


def smooth_conductivity(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.exp(0.5 * np.sin(3 * x) * np.cos(2 * y) + 0.3 * x)


def some_conductivity(shape: tuple[int, ...]) -> np.ndarray:
    return np.exp(0.5 * np.random.default_rng(3).standard_normal(shape))


def manufactured(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """h = sin(2x + 1) cos(y) and the source that it needs with the smooth conductivity."""
    value, slope_x = np.sin(2 * x + 1) * np.cos(y), 2 * np.cos(2 * x + 1) * np.cos(y)
    slope_y = -np.sin(2 * x + 1) * np.sin(y)
    log_x = 1.5 * np.cos(3 * x) * np.cos(2 * y) + 0.3
    log_y = -np.sin(3 * x) * np.sin(2 * y)
    return value, -smooth_conductivity(x, y) * (log_x * slope_x + log_y * slope_y - 5 * value)


def test_manufactured_solution_on_the_square_has_second_order():
    errors = []
    for size in (17, 33, 65):
        embedding, y, x = on_grid(square, size)
        exact = np.sin(np.pi * x) * np.sin(2 * np.pi * y)
        slope_x = np.pi * np.cos(np.pi * x) * np.sin(2 * np.pi * y)
        slope_y = 2 * np.pi * np.sin(np.pi * x) * np.cos(2 * np.pi * y)
        log_x = 1.5 * np.cos(3 * x) * np.cos(2 * y) + 0.3
        log_y = -np.sin(3 * x) * np.sin(2 * y)
        conductivity = smooth_conductivity(x, y)
        source = -conductivity * (log_x * slope_x + log_y * slope_y - 5 * np.pi**2 * exact)
        errors.append(error(solve_darcy(embedding, conductivity, source), exact, embedding.inside))
    assert np.log2(errors[0] / errors[1]) > 1.9
    assert np.log2(errors[1] / errors[2]) > 1.95
    assert errors[2] < 1e-3


@pytest.mark.parametrize("shape", [circle, triangle, annulus, l_shape])
def test_manufactured_solution_with_values_on_a_cut_boundary_has_second_order(shape):
    errors = []
    for size in (17, 33, 65, 129):
        embedding, y, x = on_grid(shape, size)
        exact, source = manufactured(x, y)
        head = boundary_values(embedding, lambda x, y: manufactured(x, y)[0])
        answer = solve_darcy(embedding, smooth_conductivity(x, y), source, head)
        errors.append(np.abs(answer - exact)[embedding.inside].max())
    # The positions of the cuts change from grid to grid, so the order is taken over three halvings.
    assert np.log2(errors[0] / errors[3]) / 3 > 1.8
    assert errors[3] < 1e-4


def torsion_circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """-Δh = 1: (R² - r²) / 4."""
    return (0.25 - (x - 0.5) ** 2 - (y - 0.5) ** 2) / 4


def torsion_triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """-Δh = 1: d₁d₂d₃ / √3. With Σdᵢ = √3/2 and ∇dᵢ·∇dⱼ = -1/2, Δ(d₁d₂d₃) = -(d₁ + d₂ + d₃) = -√3/2."""
    return np.multiply.reduce(heights(x, y)) * 2 / SQRT3


def radial_annulus(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """-Δh = 1: (b² - r²)/4 + (b² - a²)/(4 ln(b/a)) ln(r/b) vanishes at r = a and r = b."""
    inner, outer = 0.2, 0.5
    radius = np.maximum(np.hypot(x - 0.5, y - 0.5), 1e-9)
    slope = (outer**2 - inner**2) / (4 * np.log(outer / inner))
    return (outer**2 - radius**2) / 4 + slope * np.log(radius / outer)


@pytest.mark.parametrize(
    ("shape", "exact", "most", "staircase"),
    [
        (circle, torsion_circle, 1.5e-4, 0.015),
        (triangle, torsion_triangle, 3e-4, 0.025),
        (annulus, radial_annulus, 1e-3, 0.04),
    ],
)
def test_closed_forms_at_a_hundred_nodes(shape, exact, most, staircase):
    embedding, y, x = on_grid(shape, 100)
    ones = np.ones_like(x)
    answer = solve_darcy(embedding, ones)
    assert error(answer, exact(x, y), embedding.inside) < most
    assert (answer[~embedding.inside] == 0).all()
    # Without the cuts' fractions the boundary is a staircase of whole links: two orders of magnitude worse.
    stairs = solve_darcy(replace(embedding, fraction=np.ones_like(embedding.fraction)), ones)
    assert error(stairs, exact(x, y), embedding.inside) > staircase


@pytest.mark.parametrize(
    ("shape", "exact"), [(circle, torsion_circle), (triangle, torsion_triangle), (annulus, radial_annulus)]
)
def test_closed_forms_have_second_order(shape, exact):
    errors = []
    for size in (26, 51, 101):
        embedding, y, x = on_grid(shape, size)
        errors.append(error(solve_darcy(embedding, np.ones_like(x)), exact(x, y), embedding.inside))
    assert np.log2(errors[0] / errors[2]) / 2 > 1.9


def test_rough_conductivity_against_a_fine_grid():
    # K is smooth between the nodes of the coarse grid: bilinear there, so that both grids see one medium.
    from scipy.interpolate import RegularGridInterpolator

    knots = np.linspace(0, 1, 9)
    logarithm = RegularGridInterpolator((knots, knots), 0.5 * np.random.default_rng(1).standard_normal((9, 9)))
    answers = []
    for size in (65, 193):
        embedding, y, x = on_grid(circle, size)
        conductivity = np.exp(logarithm(np.stack([y, x], axis=-1)))
        answers.append((solve_darcy(embedding, conductivity), embedding.inside))
    (coarse, inside), (fine, _) = answers
    assert error(coarse, fine[::3, ::3], inside) < 8e-4


def test_orientation_on_a_shape_without_symmetry():
    embedding, _, x = on_grid(l_shape, 41)
    # The quarter x > 1/2, y > 1/2 is missing; row i is y, column j is x.
    assert embedding.inside[10, 30] and embedding.inside[30, 10] and embedding.inside[10, 10]
    assert not embedding.inside[30, 30]
    conductivity = np.exp(2 * x)
    answer = solve_darcy(embedding, conductivity)
    assert ((answer > 0) == embedding.inside).all()
    # Where K is larger, at larger x, the head is lower.
    assert answer[10, 30] < 0.6 * answer[30, 10]
    # Exchanging x and y everywhere exchanges the answer's axes.
    np.testing.assert_allclose(solve_darcy(embedding, conductivity.T), answer.T, rtol=1e-11)


def test_axes_of_different_spacing():
    y, x = np.linspace(-0.1, 1.1, 61), np.linspace(-0.5, 1.5, 81)
    embedding = embed(circle, y, x)
    rows, columns = np.meshgrid(y, x, indexing="ij")
    answer = solve_darcy(embedding, np.ones(rows.shape))
    assert answer.shape == (61, 81)
    assert error(answer, torsion_circle(columns, rows), embedding.inside) < 1e-3


@pytest.mark.parametrize("shape", [square, circle, triangle, annulus, l_shape])
def test_maximum_principle(shape):
    embedding, _, _ = on_grid(shape, 33)
    conductivity = some_conductivity((3, 33, 33))
    source = np.abs(np.random.default_rng(5).standard_normal((33, 33))) * (np.arange(33) > 20)
    assert (solve_darcy(embedding, conductivity, source) >= 0).all()
    head = np.random.default_rng(6).uniform(2, 3, embedding.fraction.shape)
    free = solve_darcy(embedding, conductivity, 0.0, head)[:, embedding.inside]
    assert free.min() >= 2 and free.max() <= 3


def test_symmetry_linearity_and_scaling():
    embedding, _, _ = on_grid(triangle, 31)
    conductivity = some_conductivity((31, 31))
    draw = np.random.default_rng(7)
    first, second = draw.standard_normal((2, 31, 31)) * embedding.inside
    one, two = solve_darcy(embedding, np.stack([conductivity, conductivity]), np.stack([first, second]))
    # Green's function is symmetric: <f, A⁻¹ g> = <g, A⁻¹ f>.
    np.testing.assert_allclose((first * two).sum(), (second * one).sum(), rtol=1e-10)
    both = solve_darcy(embedding, conductivity, 2 * first - 3 * second)
    np.testing.assert_allclose(both, 2 * one - 3 * two, atol=1e-12)
    np.testing.assert_allclose(solve_darcy(embedding, 4 * conductivity, first), one / 4, rtol=1e-12)


def test_what_flows_in_flows_out():
    embedding, _, _ = on_grid(annulus, 41)
    conductivity = some_conductivity((41, 41))
    answer = solve_darcy(embedding, conductivity)
    step, outflow = embedding.spacing[0], 0.0
    for direction, (dy, dx) in enumerate(DIRECTIONS):
        for i, j in np.argwhere(embedding.inside):
            if not embedding.inside[i + dy, j + dx]:
                part = embedding.fraction[direction, i, j]
                face = conductivity[i, j] * (1 - part / 2) + conductivity[i + dy, j + dx] * part / 2
                outflow += face * answer[i, j] / part
    np.testing.assert_allclose(outflow, embedding.unknowns * step**2, rtol=1e-10)


def test_band_and_sparse_elimination_agree(monkeypatch):
    embedding, _, _ = on_grid(annulus, 41)
    conductivity = some_conductivity((41, 41))
    banded = solve_darcy(embedding, conductivity)
    monkeypatch.setattr(darcy, "BAND_LIMIT", 0)
    np.testing.assert_allclose(solve_darcy(embedding, conductivity), banded, rtol=1e-10)


def test_cut_links_end_on_the_boundary():
    for shape in (circle, triangle, annulus, l_shape):
        embedding, y, x = on_grid(shape, 30)
        height, width = embedding.spacing
        for direction, (dy, dx) in enumerate(DIRECTIONS):
            cut = embedding.inside & ~embedding.neighbour(embedding.inside, direction)
            part = embedding.fraction[direction][cut]
            ends = np.stack([x[cut] + dx * width * part, y[cut] + dy * height * part], axis=1)
            np.testing.assert_allclose(shape(ends), 0, atol=1e-8)
            assert (embedding.fraction[direction][~cut] == 1).all()


def test_answers_for_many_fields_at_once_are_those_of_each():
    embedding, _, _ = on_grid(circle, 25)
    conductivity = some_conductivity((2, 3, 25, 25))
    together = solve_darcy(embedding, conductivity)
    assert together.shape == (2, 3, 25, 25)
    np.testing.assert_array_equal(together[1, 2], solve_darcy(embedding, conductivity[1, 2]))


def test_bad_input():
    y, x = unit_grid(20)
    with pytest.raises(ValueError, match=r"reaches over the grid's edge at \(x, y\)"):
        embed(lambda points: np.ones(len(points)), y, x)
    with pytest.raises(ValueError, match="no node of the 20 x 20 grid lies inside"):
        embed(lambda points: -np.ones(len(points)), y, x)
    with pytest.raises(ValueError, match="y axis must be at least 3 ascending"):
        embed(circle, y**2, x)
    with pytest.raises(ValueError, match="as many finite numbers"):
        embed(lambda points: np.full(len(points), np.nan), y, x)
    with pytest.raises(ValueError, match="at least 3 nodes"):
        unit_grid(2)
    embedding = embed(circle, y, x)
    with pytest.raises(ValueError, match=r"shape \(..., 20, 20\), got \(20, 19\)"):
        solve_darcy(embedding, np.ones((20, 19)))
    with pytest.raises(ValueError, match="positive and finite inside"):
        solve_darcy(embedding, np.where(embedding.inside, 1.0, 0.0))
    with pytest.raises(ValueError, match="source of shape"):
        solve_darcy(embedding, np.ones((20, 20)), np.ones(7))
    with pytest.raises(ValueError, match="boundary's head"):
        solve_darcy(embedding, np.ones((20, 20)), 1.0, np.ones((20, 20)))
