"""The genomics application as the command line, the pages and the packagers see it. Light to import."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from apps.domain import DomainApplication
from polyhead.application import SystemInfo

SYSTEM = "omni-dna"
PUBLISHED = tuple(f"omni-dna-{size}" for size in ("20m", "60m", "116m", "300m", "700m", "1b"))
DEFAULT_PRESET = "omni-dna-micro"


class GenomicsApplication(DomainApplication):
    """Labels, numbers, texts and pictures from DNA by one decoder that learns many tasks."""

    domain = "domains.genomics"
    sampler = "simulator"
    name = "genomics"
    title = "Genomics: many questions to a DNA sequence, answered by one decoder"
    systems: Mapping[str, SystemInfo] = MappingProxyType(
        {
            SYSTEM: SystemInfo(
                title="Omni-DNA: a decoder over DNA, task and answer tokens",
                source="arXiv 2502.03499",
                presets=(*PUBLISHED, DEFAULT_PRESET, "tiny"),
                task_kinds=("classification", "number", "text", "image"),
                notes="omni-dna-20m to -1b have the published shapes, micro is for two cores, tiny for tests",
            ),
        }
    )
    data_sets = ("genomics-simulator", "genomics-histone", "genomics-prom-300-tata", "genomics-needle")

    def model_facts(self, preset: str) -> Mapping[str, int]:
        """Parameters of the preset's decoder before tokens of tasks and answers are added."""
        from domains.genomics.facts import parameters

        return {"parameters": parameters(preset)}


GENOMICS = GenomicsApplication()
