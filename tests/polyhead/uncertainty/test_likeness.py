"""Distances on Gaussians, the share of false alarms, what confidence loses, and the file."""

import math

import numpy as np
import pytest

from polyhead.uncertainty.distance import Mahalanobis
from polyhead.uncertainty.likeness import ENOUGH, Likeness, mix


def gaussian(rows, seed, covariance):
    return np.random.default_rng(seed).multivariate_normal([3.0, -1.0], covariance, size=rows)


COVARIANCE = np.array([[2.0, 1.2], [1.2, 1.0]])


def test_a_shrunk_distance_is_the_closed_form_with_ledoit_and_wolfs_covariance():
    from sklearn.covariance import LedoitWolf

    inputs = gaussian(40, 0, COVARIANCE)
    scale = np.array([0.5, 2.0])
    fitted = Mahalanobis.fit(inputs, shrunk=True, deviation=scale)
    known = LedoitWolf(assume_centered=True).fit((inputs - inputs.mean(axis=0)) / scale)
    others = gaussian(7, 1, COVARIANCE)
    expected = np.sqrt(known.mahalanobis((others - inputs.mean(axis=0)) / scale))
    np.testing.assert_allclose(fitted.distance(others), expected, rtol=1e-9)
    # With rows enough the shrinkage vanishes, and whatever the scale the distance is that of the true Gaussian.
    many = Mahalanobis.fit(gaussian(100_000, 2, COVARIANCE), shrunk=True)
    offset = others - [3.0, -1.0]
    true = np.sqrt(np.einsum("ij,jk,ik->i", offset, np.linalg.inv(COVARIANCE), offset))
    np.testing.assert_allclose(many.distance(others), true, rtol=0.02)


def test_a_shrunk_distance_has_more_numbers_than_rows_and_sees_what_never_changed():
    inputs = np.zeros((12, 40))
    inputs[:, :20] = np.random.default_rng(0).normal(size=(12, 20))
    fitted = Mahalanobis.fit(inputs, shrunk=True, deviation=np.ones(40))
    probe = np.zeros((2, 40))
    probe[1, 30] = 5.0  # fires for the first time
    near, far = fitted.distance(probe)
    assert np.isfinite(far) and far > near + 5


@pytest.mark.parametrize("held", [60, 199, 1000])
def test_false_alarms_are_as_many_as_said(held):
    training = {"a": gaussian(300, 3, COVARIANCE), "b": np.random.default_rng(4).exponential(size=(300, 3))}
    said, seen = [], []
    for seed in range(20):
        generator = np.random.default_rng(seed + 10)
        others = {"a": gaussian(held, seed + 100, COVARIANCE), "b": generator.exponential(size=(held, 3))}
        fitted = Likeness.fit(training, others)
        fresh = {"a": gaussian(2000, seed + 200, COVARIANCE), "b": generator.exponential(size=(2000, 3))}
        said.append(fitted.false_alarms)
        seen.append(float((fitted.unlikeness(fresh) > 1).mean()))
    assert fitted.held_out and len(fitted.held) == held
    rank = min(held, math.ceil((held + 1) * 0.995))
    assert said[0] == pytest.approx(2 * (1 - rank / (held + 1)))
    # The union bound over two parts is near to exact where they are independent.
    assert 0.5 * said[0] < np.mean(seen) < 1.25 * said[0]


def test_few_held_out_rows_are_helped_out_by_the_training():
    training = {"a": gaussian(100, 3, COVARIANCE)}
    alone = Likeness.fit(training)
    few = Likeness.fit(training, {"a": gaussian(ENOUGH - 1, 4, COVARIANCE)})
    assert not alone.held_out and len(alone.held) == 100
    assert not few.held_out and len(few.held) == 100 + ENOUGH - 1
    assert alone.false_alarms == pytest.approx(1 / 101)
    # Each fold is measured by the others: the largest distance is that of the row without its own fold.
    inputs = training["a"]
    fold = np.arange(100) % 5
    distances = [Mahalanobis.fit(inputs[fold != k], shrunk=True).distance(inputs[fold == k]) for k in range(5)]
    assert alone.parts["a"].threshold == pytest.approx(max(each.max() for each in distances))
    with pytest.raises(ValueError, match="at least 10"):
        Likeness.fit({"a": inputs[:9]})


def test_belief_falls_linearly_from_the_threshold_on():
    fitted = Likeness({}, np.linspace(0.2, 1.0, 101), 0.99, True)  # the median is 0.6
    beliefs = [fitted.belief(unlikeness) for unlikeness in (0.0, 1.0, 1.1, 1.2, 1.4, 9.0)]
    assert beliefs == pytest.approx([1, 1, 0.75, 0.5, 0.01, 0.01])
    assert [fitted.percentile(each) for each in (0.1, 0.6, 2.0)] == pytest.approx([0, 100 * 50 / 101, 100], abs=1)
    np.testing.assert_allclose(mix(np.array([0.9, 0.1]), 0.25), [0.6, 0.4])
    np.testing.assert_allclose(mix(np.array([0.9, 0.1]), 0.0), [0.5, 0.5])


def test_the_file_holds_all_of_it_and_damage_is_one_line(tmp_path):
    parts = {"a": gaussian(50, 5, COVARIANCE), "b.c": gaussian(50, 6, COVARIANCE)}
    fitted = Likeness.fit(parts, {name: values[:ENOUGH] for name, values in parts.items()})
    file = tmp_path / "likeness.safetensors"
    assert Likeness.load(file) is None
    fitted.save(file)
    again = Likeness.load(file)
    assert again is not None and again.false_alarms == fitted.false_alarms and again.held_out
    probe = {name: values * 1.7 for name, values in parts.items()}
    np.testing.assert_array_equal(again.unlikeness(probe), fitted.unlikeness(probe))
    np.testing.assert_array_equal(again.held, fitted.held)
    first = file.read_bytes()
    fitted.save(file)
    assert file.read_bytes() == first
    file.write_bytes(first[: len(first) // 2])
    with pytest.raises(ValueError, match=r"likeness\.safetensors is damaged"):
        Likeness.load(file)
