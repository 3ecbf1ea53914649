"""The PDE application as the command line, the pages and the packagers see it. Light to import."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from polyhead.application import Application, SystemInfo

PUBLISHED = ("mt-deeponet-fisher", "mt-deeponet-darcy", "mt-deeponet-plate")
MENDED = tuple(f"{name}-plus" for name in PUBLISHED)
TINY = ("tiny-fisher", "tiny-darcy", "tiny-plate")

DEFAULT_PRESETS = {
    "fisher": "mt-deeponet-fisher-plus",
    "darcy": "mt-deeponet-darcy-plus",
    "darcy-target": "mt-deeponet-darcy-plus",
    "plate": "mt-deeponet-plate-plus",
}
"""What `train` takes for a problem where no preset is named; several problems at once take ``mt-deeponet-joint``."""


def _model_facts(preset: str) -> Mapping[str, int]:
    """Parameters of the preset's network for the data that it is meant for."""
    from domains.pde.facts import parameters

    return {"parameters": parameters(preset)}


PDE = Application(
    name="pde",
    title="PDE operators: several equations, geometries and designs with one network",
    systems=MappingProxyType(
        {
            "mt-deeponet": SystemInfo(
                title="MT-DeepONet: branch and trunk networks for several PDEs or geometries",
                source="arXiv 2408.02198, Neural Networks 184 (2025) 107113",
                presets=(*PUBLISHED, *MENDED, "mt-deeponet-joint", *TINY),
                task_kinds=("operator",),
                notes="the presets without -plus follow the published settings, tiny ones are for tests",
            ),
        }
    ),
    data_sets=("pde-fisher-data", "pde-darcy-data", "pde-plate-data"),
    model_facts=_model_facts,
)
