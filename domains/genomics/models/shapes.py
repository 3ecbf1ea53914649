"""The shape of the decoder that settings ask for."""

from __future__ import annotations

from domains.genomics.models.family import FAMILY, ModelShape
from domains.genomics.settings import GenomicsConfig, ShapeConfig


def model_shape_of(config: GenomicsConfig) -> ModelShape:
    """The decoder's shape; a name that the family lacks is a `ValueError`."""
    if isinstance(config.model, ShapeConfig):
        return ModelShape(**config.model.model_dump())
    if config.model not in FAMILY:
        raise ValueError(f"unknown model {config.model!r}; known: {', '.join(FAMILY)}")
    return FAMILY[config.model]
