"""What a preset's decoder is, without building it."""

from __future__ import annotations

from domains.genomics.presets import PRESETS


def parameters(preset: str) -> int:
    """Numbers that a preset's decoder learns for its DNA vocabulary; each added token is a row more of one or two
    matrices."""
    from domains.genomics.models.family import parameter_count
    from domains.genomics.models.shapes import model_shape_of

    config = PRESETS[preset]
    return parameter_count(model_shape_of(config), config.vocabulary)
