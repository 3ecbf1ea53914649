"""What several test modules of the genomics application use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_genomics() -> Path:
    """The folder of real sequences; a test that needs it is left out where the data are not there."""
    root = Path(os.environ.get("POLYHEAD_SHARED_DATA") or Path(__file__).resolve().parents[4] / "shared" / "data")
    folder = root / "genomics"
    if not folder.is_dir():
        pytest.skip("the real sequences (shared data, genomics) are not there")
    return folder


@pytest.fixture
def random_dna():
    """random_dna(length, seed=0): upper-case ACGT drawn with equal chances."""
    import numpy as np

    def draw(length: int, seed: int = 0) -> str:
        return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))

    return draw
