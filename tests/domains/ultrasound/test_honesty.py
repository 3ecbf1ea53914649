"""Intervals of what is said of probabilities hold at the border, too."""

import math

import numpy as np
import pytest

from domains.medical.ultrasound.evaluation.reliability import _honesty, _words


def test_answers_that_are_all_right_and_sure_are_not_called_certain():
    label = np.arange(30) % 2
    found = _honesty(np.eye(2)[label], label, {"groups": list(range(30)), "resamples": 4000, "seed": 0})
    assert (found.error, found.brier.value, found.brier.low) == (0, 0, 0)
    # The greatest Brier score, 2, of a share of rows of which none was seen: 2 (1 - 0.025^(1/30)).
    assert found.brier.high == pytest.approx(2 * (1 - 0.025 ** (1 / 30)), rel=0.1)
    assert found.loss.value == pytest.approx(0) and math.isnan(found.loss.low)
    assert _words(found.loss) == "0.000" and _words(found.brier).startswith("0.000 (0.000 to 0.2")
