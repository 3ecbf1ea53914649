"""Partial differential equations: verified solvers, geometry, and operator networks that learn their answers."""
