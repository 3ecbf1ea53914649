"""Gaussian fields: the kernel's covariance, truncation, symmetry pairs, and repeatability."""

import numpy as np
import pytest

from domains.pde.solvers.random_fields import KERNELS, gaussian_field


def covariance(kernel, shape, lengths, extents):
    axes = [np.linspace(0, e, n) / s for n, e, s in zip(shape, extents, lengths, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(shape))
    return KERNELS[kernel](np.linalg.norm(points[:, None] - points, axis=-1))


def of_modes(field):
    flat = field.modes.reshape(field.terms, -1)
    return flat.T @ flat


@pytest.mark.parametrize("kernel", list(KERNELS))
def test_full_expansion_has_the_kernels_covariance(kernel):
    field = gaussian_field(kernel, (40,), 0.3, extent=(2.0,))
    np.testing.assert_allclose(of_modes(field), covariance(kernel, (40,), (0.3,), (2.0,)), atol=1e-9)
    assert field.kept == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(field.variance, 1, atol=1e-9)


@pytest.mark.parametrize(
    ("kernel", "shape", "lengths"),
    [("spherical", (12, 9), (0.5, 0.5)), ("exponential", (7, 10), (0.2, 0.6)), ("spherical", (8, 8), (0.4, 0.4))],
)
def test_full_expansion_in_two_dimensions(kernel, shape, lengths):
    field = gaussian_field(kernel, shape, lengths, terms=shape[0] * shape[1])
    np.testing.assert_allclose(of_modes(field), covariance(kernel, shape, lengths, (1, 1)), atol=1e-9)


def test_separable_expansion_in_two_dimensions():
    field = gaussian_field("squared_exponential", (11, 8), (0.4, 0.2))
    expected = covariance("squared_exponential", (11, 8), (0.4, 0.2), (1, 1))
    np.testing.assert_allclose(of_modes(field), expected, atol=1e-9)


@pytest.mark.parametrize("kernel", ["spherical", "squared_exponential"])
def test_truncated_modes_are_the_leading_ones_of_the_dense_problem(kernel):
    shape, terms = (24, 21), 30
    weights = [np.full(n, 1 / (n - 1)) for n in shape]
    for axis in weights:
        axis[[0, -1]] /= 2
    root = np.sqrt(np.outer(*weights)).ravel()
    dense = root[:, None] * covariance(kernel, shape, (0.45, 0.45), (1, 1)) * root
    values, vectors = np.linalg.eigh(dense)
    leading = vectors[:, -terms:] / root[:, None]
    field = gaussian_field(kernel, shape, 0.45, terms=terms)
    np.testing.assert_allclose(of_modes(field), (leading * values[-terms:]) @ leading.T, atol=1e-7)
    assert field.terms == terms
    assert field.kept == pytest.approx(values[-terms:].sum(), rel=1e-9)


def test_square_keeps_pairs_of_equal_eigenvalues():
    field = gaussian_field("spherical", (30, 30), 0.3, terms=40)
    root = np.sqrt(np.outer(*[np.r_[0.5, np.ones(28), 0.5] / 29] * 2))
    weighted = (field.modes * root).reshape(40, -1)
    gram = weighted @ weighted.T
    values = np.diag(gram)
    np.testing.assert_allclose(gram, np.diag(values), atol=1e-9)
    assert np.all(np.diff(values) <= 1e-9)
    assert values[1] == pytest.approx(values[2], rel=1e-9)
    transposed = (field.modes.transpose(0, 2, 1) * root).reshape(40, -1)
    # The span of the first three modes, one even and a pair, is that of their transposes.
    basis = weighted[:3] / np.sqrt(values[:3, None])
    np.testing.assert_allclose(transposed[:3] @ basis.T @ basis, transposed[:3], atol=1e-9)


def test_ensemble_covariance_and_mean():
    field = gaussian_field("squared_exponential", (16,), 0.25)
    draws = field.draw(40_000, np.random.default_rng(3))
    assert draws.shape == (40_000, 16)
    expected = covariance("squared_exponential", (16,), (0.25,), (1,))
    # The entries of a sample covariance scatter by sqrt((1 + k²) / N) < 0.0071: five of those.
    np.testing.assert_allclose(draws.T @ draws / len(draws), expected, atol=0.036)
    np.testing.assert_allclose(draws.mean(0), 0, atol=0.025)


def test_fewer_terms_keep_less_variance_everywhere():
    some, more = (gaussian_field("exponential", (50,), 0.2, terms=n) for n in (5, 20))
    assert np.all(some.variance < more.variance)
    assert some.kept < more.kept < 1
    weights = np.r_[0.5, np.ones(48), 0.5] / 49
    assert weights @ some.variance == pytest.approx(some.kept, rel=1e-12)


def test_equal_seeds_draw_equal_fields():
    field = gaussian_field("spherical", (32, 32), 0.3, terms=20)
    gaussian_field.cache_clear()
    again = gaussian_field("spherical", (32, 32), 0.3, terms=20)
    first, second = (f.draw(3, np.random.default_rng(5)) for f in (field, again))
    assert first.tobytes() == second.tobytes()
    assert first.shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("matern", (8,), 0.1), {}, "unknown kernel 'matern'"),
        (("spherical", (8, 8), 0.1), {}, "needs a number of terms"),
        (("spherical", (8, 8, 8), 0.1), {}, "one or two axes"),
        (("spherical", (8,), -0.1), {}, "positive length"),
        (("spherical", (8, 8), (0.1,)), {"terms": 4}, "one positive length and extent for each axis"),
        (("spherical", (8,), 0.1), {"terms": 9}, "between 1 and the 8 points"),
    ],
)
def test_bad_input(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        gaussian_field(*arguments, **options)
