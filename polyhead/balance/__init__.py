"""Loss and gradient balancing: one Balancer protocol, one file a family."""
