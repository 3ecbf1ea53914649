"""One perceptron that all tasks share, a linear head for each, and the presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from polyhead.model import MultiHeadModel
from polyhead.registry import Registry
from polyhead.training.settings import TrainConfig
from tabular.tables import INPUTS, TASKS


class Settings(BaseModel):
    """The network's width and dropout, and its training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str
    width: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    training: TrainConfig


PRESETS: Registry[Settings] = Registry("preset")
PRESETS.add("small")(
    Settings(preset="small", training=TrainConfig(epochs=60, batch_size=32, tasks_per_step=3, learning_rate=3e-3))
)


class Backbone(nn.Module):
    """Standardised inputs (rows, columns) to the feature ``latent`` (rows, width)."""

    def __init__(self, settings: Settings):
        super().__init__()
        width = settings.width
        self.layers = nn.Sequential(
            nn.Linear(len(INPUTS), width), nn.ReLU(), nn.Dropout(settings.dropout), nn.Linear(width, width), nn.ReLU()
        )

    def forward(self, inputs: Tensor, needed: Mapping[str, Tensor | None]) -> dict[str, Any]:
        latent = self.layers(inputs)
        return {name: latent if rows is None else latent[rows] for name, rows in needed.items()}


def build_model(settings: Settings) -> MultiHeadModel:
    """The network, with weights from the seed of its training."""
    torch.manual_seed(settings.training.seed)
    heads = {name: nn.Linear(settings.width, task.outputs) for name, task in TASKS.items()}
    return MultiHeadModel(Backbone(settings), heads, TASKS)
