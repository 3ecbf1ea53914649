"""What holds for every test."""

import sys

import pytest

# Some tests import OpenVINO themselves; its telemetry would start processes that call the network.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def main_module():
    """Streamlit's AppTest leaves its script as the main module, which processes started later would run again."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="module")
def one_thread():
    """Torch computes in one thread while the tests of a module that uses this run: small networks are quicker so."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
