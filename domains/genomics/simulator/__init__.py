"""Simulated genomes with promoters, splice sites and enhancers whose truth is known by construction."""

from domains.genomics.simulator.write import PRESETS, SampleSize, sample

__all__ = ["PRESETS", "SampleSize", "sample"]
