"""What holds for every test."""

import sys

# Some tests import OpenVINO themselves; its telemetry would start processes that call the network.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
