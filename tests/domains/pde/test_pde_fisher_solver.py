"""The reaction-diffusion solver against closed forms, conservation laws, and independent integrations."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicHermiteSpline

from domains.pde.solvers.reaction_diffusion import (
    BOUNDARIES,
    TABLE_DENSITY,
    heat_matrix,
    solve_reaction_diffusion,
)
from domains.pde.solvers.reactions import SOURCES, source_term, zfk_flow, zfk_table


def bumps(points=33, samples=3, low=0.5, high=6.0):
    """Smooth initial values with zero slope at both ends."""
    x = np.linspace(0, 1, points)
    waves = np.stack([np.cos(np.pi * k * x) for k in range(1, samples + 1)])
    return low + (high - low) * (1 + waves) / 2


def laplacian(points, spacing):
    matrix = -2 * np.eye(points) + np.eye(points, k=1) + np.eye(points, k=-1)
    matrix[0, 1] = matrix[-1, -2] = 2
    return matrix / spacing**2


@pytest.mark.parametrize("beta", [0.5, 2.0, 6.0])
@pytest.mark.parametrize("time", [1e-3, 0.2, 3.0])
def test_zfk_flow_against_tight_integration(beta, time):
    u = np.array([0.0, 1e-6, 0.3, 0.9, 0.999999, 1.0, 1.0000001, 1.2, 2.0, 5.0, 11.5])
    u = u[beta * u < 25]
    flow = zfk_flow(u, beta, time)
    # w = exp(-β (u - 1)) takes the stiffness out: w' = β u (u - 1).
    for start, end in zip(u, flow, strict=True):
        solution = solve_ivp(
            lambda t, w: beta * (1 - np.log(w) / beta) * (-np.log(w) / beta),
            (0, time),
            [np.exp(-beta * (start - 1))],
            method="DOP853",
            rtol=1e-11,
            atol=1e-20,
            first_step=1e-13,
        )
        assert end == pytest.approx(1 - np.log(solution.y[0, -1]) / beta, abs=3e-9)


def test_zfk_flow_is_a_semigroup_with_fixed_points():
    u = np.linspace(0, 9, 50)
    np.testing.assert_allclose(zfk_flow(zfk_flow(u, 1.3, 0.2), 1.3, 0.5), zfk_flow(u, 1.3, 0.7), rtol=1e-12)
    np.testing.assert_array_equal(zfk_flow(np.array([0.0, 1.0]), 1.3, 4.0), [0, 1])
    np.testing.assert_allclose(zfk_flow(u, 1.3, 0.0), u, rtol=1e-13)


def test_zfk_table_holds_values_and_derivatives():
    values, slopes = zfk_table(1.7, 0.05, 8, 256)
    assert values.shape == slopes.shape == (8 * 256 + 1,)
    difference = (values[2:] - values[:-2]) * 128
    np.testing.assert_allclose(slopes[1:-1], difference, atol=3e-5)


def test_zfk_table_interpolates_to_its_claim():
    u = np.random.default_rng(0).uniform(0, 8, 2000)
    for beta, time in [(2.0, 0.02), (0.5, 1.0), (6.0, 0.3)]:
        values, slopes = zfk_table(beta, time, 8, TABLE_DENSITY)
        table = CubicHermiteSpline(np.arange(len(values)) / TABLE_DENSITY, values, slopes)
        np.testing.assert_allclose(table(u), zfk_flow(u, beta, time), atol=1e-7)


@pytest.mark.parametrize("source", SOURCES)
def test_reaction_alone_follows_the_differential_equation(source):
    initial, rate, beta = np.tile(np.linspace(0, 8, 33), (3, 1)), np.array([0.7, 1.0, 0.3]), np.array([1.9, 0.6, 1.2])
    solution = solve_reaction_diffusion(source, initial, rate, beta, horizon=1.5, snapshots=3, diffusion=0.0)
    for sample in range(3):
        exact = solve_ivp(
            lambda t, u, i=sample: source_term(source, u, rate[i], beta[i]),
            (0, 1.5),
            initial[sample],
            method="LSODA",
            t_eval=[0, 0.75, 1.5],
            lband=0,
            uband=0,
            rtol=1e-10,
            atol=1e-12,
        )
        np.testing.assert_allclose(solution[sample], exact.y.T, atol=5e-8)


@pytest.mark.parametrize("source", SOURCES)
def test_against_the_method_of_lines(source):
    initial, rate, beta = bumps(), np.array([1.0, 0.6, 0.3]), np.array([0.5, 1.0, 1.5])
    solution = solve_reaction_diffusion(
        source, initial, rate, beta, horizon=0.5, snapshots=3, diffusion=0.02, substeps=160
    )
    operator = 0.02 * laplacian(33, 1 / 32)
    for sample in range(3):
        lines = solve_ivp(
            lambda t, u, i=sample: operator @ u + source_term(source, u, rate[i], beta[i]),
            (0, 0.5),
            initial[sample],
            method="Radau",
            t_eval=[0, 0.25, 0.5],
            rtol=1e-9,
            atol=1e-10,
        )
        np.testing.assert_allclose(solution[sample], lines.y.T, atol=2e-5)


@pytest.mark.parametrize("source", SOURCES)
def test_splitting_is_of_second_order(source):
    initial = bumps(low=0.1, high=2.0)

    def end(substeps):
        return solve_reaction_diffusion(
            source, initial, 1.0, 1.0, horizon=1.0, snapshots=3, diffusion=0.05, substeps=substeps
        )[:, -1]

    fine = end(256)
    errors = [np.abs(end(substeps) - fine).max() for substeps in (8, 16, 32)]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(orders > 1.9), (errors, orders)


def test_travelling_wave_of_ablowitz_and_zeppetella():
    """u = (1 + exp((x - c t) / sqrt(6)))^-2 with c = 5 / sqrt(6) solves u_t = u_xx + u (1 - u)."""

    def wave(x, t):
        return (1 + np.exp((x - 5 / np.sqrt(6) * t) / np.sqrt(6))) ** -2

    errors = []
    for points in (201, 401):
        x = np.linspace(-40, 60, points)
        solution = solve_reaction_diffusion(
            "fisher", wave(x, 0)[None], 1.0, horizon=5.0, snapshots=2, diffusion=1.0, length=100.0, substeps=points
        )[0, -1]
        errors.append(np.abs(solution - wave(x, 5.0)).max())
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(orders > 1.9), (errors, orders)
    assert errors[-1] < 2e-3


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_heat_matrix_keeps_bounds_and_composes(boundary):
    matrix = heat_matrix(17, 1 / 16, 0.003, boundary)
    assert matrix.min() >= 0
    assert matrix.sum(axis=1).max() <= 1 + 1e-13
    twice = heat_matrix(17, 1 / 16, 0.006, boundary)
    np.testing.assert_allclose(matrix @ matrix, twice, atol=1e-14)
    still = heat_matrix(17, 1 / 16, 0.0, boundary)
    start = np.sin(2 * np.pi * np.arange(17) / 16)
    start[[0, -1]] = 0
    np.testing.assert_allclose(still @ start, start, atol=1e-13)


@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
@pytest.mark.parametrize("points", [16, 17])
def test_heat_matrix_keeps_the_trapezoidal_mass(boundary, points):
    rough = np.random.default_rng(0).uniform(0, 5, (4, points))
    rough[:, -1] = rough[:, 0]
    later = rough @ heat_matrix(points, 1 / (points - 1), 0.03, boundary).T
    np.testing.assert_allclose(np.trapezoid(later, axis=1), np.trapezoid(rough, axis=1), rtol=1e-12)
    assert np.all(np.ptp(later, axis=1) < 0.9 * np.ptp(rough, axis=1))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_pure_diffusion_keeps_mass_and_bounds(boundary):
    initial = bumps()
    initial[:, -1] = initial[:, 0]
    if boundary == "dirichlet":
        initial[:, [0, -1]] = 0
    solution = solve_reaction_diffusion(
        "fisher", initial, 0.0, horizon=3.0, snapshots=3, diffusion=0.01, boundary=boundary
    )
    mass = np.trapezoid(solution, axis=-1)
    if boundary == "dirichlet":
        assert np.all(np.diff(mass, axis=1) < 0)
    else:
        np.testing.assert_allclose(mass, mass[:, :1] * np.ones(3), rtol=1e-12)
    assert np.all(solution <= initial.max(axis=1)[:, None, None])
    assert np.all(solution >= initial.min(axis=1)[:, None, None])


@pytest.mark.parametrize(
    ("boundary", "wave", "number"),
    [("neumann", np.cos, np.pi / 2), ("dirichlet", np.sin, np.pi / 2), ("periodic", np.cos, np.pi)],
)
def test_modes_decay_as_the_heat_equation_says(boundary, wave, number):
    errors = []
    for points in (51, 101):
        start = wave(number * np.linspace(0, 2, points))
        later = heat_matrix(points, 2 / (points - 1), 0.3 * 0.5, boundary) @ start
        errors.append(np.abs(later - start * np.exp(-0.3 * 0.5 * number**2)).max())
    assert errors[1] < 2e-4
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("source", SOURCES)
def test_values_stay_between_their_bounds(source):
    rough = np.random.default_rng(1).uniform(0, 1, (5, 40))
    rough[0] = np.arange(40) % 2
    solution = solve_reaction_diffusion(source, rough, 2.0, 1.2, horizon=4.0, snapshots=6, diffusion=0.003, substeps=5)
    assert solution.min() >= 0
    assert solution.max() <= 1 + 1e-9
    # What starts above 1 comes down, and never below 1.
    above = solve_reaction_diffusion(source, 1 + 5 * rough, 1.0, 1.2, horizon=1.0, snapshots=3, diffusion=0.003)
    assert above.min() >= 1 - 1e-9
    assert np.all(np.diff(above.max(axis=-1), axis=1) <= 1e-12)


def test_refined_grid_agrees_on_the_nodes():
    initial = bumps()
    coarse, fine, finest = (
        solve_reaction_diffusion("nws", initial, 1.0, horizon=0.4, snapshots=3, diffusion=0.05, refine=refine)
        for refine in (1, 2, 6)
    )
    assert coarse.shape == fine.shape == (3, 3, 33)
    np.testing.assert_array_equal(fine[:, 0], initial)
    assert np.abs(fine - finest).max() < 0.3 * np.abs(coarse - finest).max()


def test_each_sample_is_answered_as_if_alone():
    initial, rate, beta = bumps(), np.array([0.2, 1.0, 0.5]), np.array([2.0, 0.5, 0.5])
    together = solve_reaction_diffusion("zfk", initial, rate, beta, horizon=0.3, snapshots=3, diffusion=0.01)
    for i in range(3):
        alone = solve_reaction_diffusion(
            "zfk", initial[i : i + 1], rate[i], beta[i], horizon=0.3, snapshots=3, diffusion=0.01
        )
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-11)
    assert solve_reaction_diffusion("zfk", initial[:0], 1.0, 1.0, horizon=1, snapshots=2, diffusion=0).shape == (
        0,
        2,
        33,
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"source": "burgers"}, "unknown source term 'burgers'"),
        ({"initial": np.ones(8)}, r"shape \(B, P\)"),
        ({"initial": -np.ones((2, 8))}, "initial values >= 0"),
        ({"initial": np.full((2, 8), np.nan)}, "finite"),
        ({"rate": np.ones(3)}, r"rate must be one number or have shape \(2,\)"),
        ({"rate": -1.0}, "rates must be >= 0"),
        ({"source": "zfk", "beta": 0.0}, "beta > 0"),
        ({"boundary": "dirichlet"}, "0 at both ends"),
        ({"boundary": "periodic", "initial": np.arange(16.0).reshape(2, 8)}, "equal initial values"),
        ({"boundary": "robin"}, "unknown boundary 'robin'"),
        ({"diffusion": -1.0}, "diffusion >= 0"),
        ({"source": "zfk", "beta": 100.0, "initial": np.full((2, 8), 7.0)}, "600 / beta"),
    ],
)
def test_bad_input(changed, words):
    given = {
        "source": "fisher",
        "initial": np.ones((2, 8)),
        "rate": 1.0,
        "horizon": 1.0,
        "snapshots": 2,
        "diffusion": 0,
    }
    with pytest.raises(ValueError, match=words):
        solve_reaction_diffusion(**(given | changed))
