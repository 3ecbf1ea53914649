"""The genomics application as the command line, the pages and the packagers see it. Light to import."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from polyhead.application import Application, SystemInfo

SYSTEM = "omni-dna"
PUBLISHED = tuple(f"omni-dna-{size}" for size in ("20m", "60m", "116m", "300m", "700m", "1b"))
DEFAULT_PRESET = "omni-dna-micro"


def _model_facts(preset: str) -> Mapping[str, int]:
    """Parameters of the preset's decoder before tokens of tasks and answers are added."""
    from domains.genomics.facts import parameters

    return {"parameters": parameters(preset)}


GENOMICS = Application(
    name="genomics",
    title="Genomics: many questions to a DNA sequence, answered by one decoder",
    systems=MappingProxyType(
        {
            SYSTEM: SystemInfo(
                title="Omni-DNA: a decoder over DNA, task and answer tokens",
                source="arXiv 2502.03499",
                presets=(*PUBLISHED, DEFAULT_PRESET, "tiny"),
                task_kinds=("classification", "number", "text", "image"),
                notes="omni-dna-20m to -1b have the published shapes, micro is for two cores, tiny for tests",
            ),
        }
    ),
    data_sets=("genomics-simulator", "genomics-histone", "genomics-prom-300-tata", "genomics-needle"),
    model_facts=_model_facts,
)
