"""What a picture looks like in numbers, against the plain formulas; noise and flat frames stand apart."""

import numpy as np
import pytest

from domains.medical.ultrasound.uncertainty.picture import picture_deviations, picture_numbers


def plainly(pixels):
    grey = pixels.astype(float).mean(axis=2) / 255
    laplacian = (
        4 * grey[1:-1, 1:-1] - grey[2:, 1:-1] - grey[:-2, 1:-1] - grey[1:-1, 2:] - grey[1:-1, :-2]
        if min(grey.shape) > 2
        else np.zeros(1)
    )
    steps = [np.abs(np.diff(grey, axis=axis)) for axis in (1, 0)]
    return [
        grey.mean(),
        grey.std(),
        *np.quantile(grey, [0.05, 0.25, 0.5, 0.75, 0.95]),
        *(np.log(each.mean() + 1e-3 if each.size else 1e-3) for each in steps),
        np.log(laplacian.std() + 1e-3),
        (pixels.max(axis=2).astype(float) - pixels.min(axis=2)).mean() / 255,
        (grey < 0.02).mean(),
        (grey > 0.98).mean(),
    ]


@pytest.mark.parametrize("shape", [(40, 31, 3), (3, 3, 3), (2, 9, 3), (1, 1, 3)])
@pytest.mark.parametrize("top", [6, 256])
def test_the_numbers_are_those_of_the_plain_formulas(shape, top):
    pixels = np.random.default_rng(top).integers(0, top, shape).astype(np.uint8)
    np.testing.assert_allclose(picture_numbers(pixels), plainly(pixels), rtol=1e-9, atol=1e-12)


def test_flat_frames_have_no_edges():
    for level in (0, 255):
        numbers = picture_numbers(np.full((9, 9, 3), level, np.uint8))
        assert numbers[0] == level / 255 and numbers[1] == 0
        np.testing.assert_allclose(numbers[7:10], np.log(1e-3))


def test_a_number_that_never_changes_is_no_reason_alone():
    numbers = np.zeros((20, 12))
    numbers[:, 0] = np.linspace(0, 1, 20)
    deviation = picture_deviations(numbers)
    assert deviation[0] == pytest.approx(numbers[:, 0].std())
    np.testing.assert_allclose(deviation[1:], 0.1 * deviation[0] / np.sqrt(12))
