"""Loss and gradient balancing: one Balancer protocol, one file a family."""

from polyhead.balance.making import make_balancer, trained_tasks
from polyhead.balance.protocol import (
    Balancer,
    Group,
    Needs,
    NonFiniteLoss,
    Parameters,
    Reduce,
    StepLosses,
)

__all__ = [
    "Balancer",
    "Group",
    "Needs",
    "NonFiniteLoss",
    "Parameters",
    "Reduce",
    "StepLosses",
    "make_balancer",
    "trained_tasks",
]
