"""Loss and gradient balancing: one Balancer protocol, one file a family."""

from polyhead.balance.base import Balancer, NonFiniteLoss, make_balancer

__all__ = ["Balancer", "NonFiniteLoss", "make_balancer"]
