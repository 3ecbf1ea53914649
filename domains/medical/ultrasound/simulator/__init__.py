"""A B-mode ultrasound simulator: speckle physics, probes, anatomy-like scenes, and the FM_UIA files they fill."""

from domains.medical.ultrasound.simulator.render import Simulated, phantom
from domains.medical.ultrasound.simulator.write import sample

__all__ = ["Simulated", "phantom", "sample"]
