"""The problems that data can be made for. Looking at the names imports no solver."""

from __future__ import annotations

from importlib import import_module

from domains.pde.problems.plan import Problem
from polyhead.registry import Registry

PROBLEMS: Registry[str] = Registry("problem")
"""Where each problem's object is defined, as ``"module:name"``."""

PROBLEMS.add("fisher")("domains.pde.problems.fisher:FISHER")
PROBLEMS.add("darcy")("domains.pde.problems.darcy:DARCY")
PROBLEMS.add("darcy-target")("domains.pde.problems.darcy:DARCY_TARGET")
PROBLEMS.add("plate")("domains.pde.problems.plate:PLATE")


def problem(name: str) -> Problem:
    """The problem of that name; an unknown one is an `UnknownName` that lists the near ones."""
    module, attribute = PROBLEMS[name].split(":")
    return getattr(import_module(module), attribute)
