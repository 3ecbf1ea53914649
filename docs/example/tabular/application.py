"""The tabular application as polyhead sees it. Light to import."""

from __future__ import annotations

from collections.abc import Mapping

from polyhead.application import Application, SystemInfo


def _model_facts(preset: str) -> Mapping[str, int]:
    """Parameters of the preset's network."""
    from tabular.network import PRESETS, build_model

    return {"parameters": sum(parameter.numel() for parameter in build_model(PRESETS[preset]).parameters())}


TABULAR = Application(
    name="tabular",
    title="Tables: several questions about each line, answered by one network",
    systems={
        "shared-mlp": SystemInfo(
            title="A shared perceptron with a head for each question",
            source="Caruana, Machine Learning 28 (1997) 41",
            presets=("small",),
            task_kinds=("classification", "regression"),
        )
    },
    data_sets=("tabular-wine",),
    model_facts=_model_facts,
)
