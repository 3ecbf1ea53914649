"""What an operator network must beat: means, kernel ridge, POD with regression, DeepXDE's networks, an FNO."""

from domains.pde.baselines.baseline import BASELINES, Baseline, predict_rows
from domains.pde.baselines.deepxde import DeepXdeOperator, DeepXdeSettings
from domains.pde.baselines.fno import FnoField, FnoSettings
from domains.pde.baselines.kernel import KernelRidgeField, MeanField
from domains.pde.baselines.pod import PodBasis, PodRegression

__all__ = [
    "BASELINES",
    "Baseline",
    "DeepXdeOperator",
    "DeepXdeSettings",
    "FnoField",
    "FnoSettings",
    "KernelRidgeField",
    "MeanField",
    "PodBasis",
    "PodRegression",
    "predict_rows",
]
