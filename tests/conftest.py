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
