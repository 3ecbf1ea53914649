"""A run folder as a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from domains.genomics.answers.answer import Answer
from domains.genomics.answers.store import ANSWERS_FILE, load_answers, save_answers
from domains.genomics.models.backbone import merge_lora
from domains.genomics.models.family import build_decoder
from domains.genomics.models.network import PRETRAIN_KIND, backbone_of, build_model
from domains.genomics.models.shapes import model_shape_of
from domains.genomics.sequences.tokenizer import DnaTokenizer
from domains.genomics.settings import GenomicsConfig, read_config
from polyhead.model import MultiHeadModel
from polyhead.runs.run import Run, RunInfo
from polyhead.tasks import TaskSet

APPLICATION = "genomics"


def describe(config: GenomicsConfig, tasks: TaskSet, data: Mapping[str, Any], **more: Any) -> RunInfo:
    """What run.json says of a model; `data` must hold its number of tokens as ``vocabulary``."""
    return RunInfo(
        application=APPLICATION,
        system=config.system,
        preset=config.preset,
        tasks=tasks.to_json(),
        configuration=config.model_dump(mode="json"),
        data=dict(data),
        **more,
    )


def save_parts(run: Run, tokenizer: DnaTokenizer, answers: Mapping[str, Answer]) -> None:
    """Writes what a model needs beside its weights: the tokenizer, and how its tasks answer."""
    tokenizer.save(run.path)
    save_answers(run.path, answers)


def load_run(path: str | Path) -> tuple[MultiHeadModel, DnaTokenizer, dict[str, Answer], GenomicsConfig]:
    """The model, tokenizer, answers and configuration of a run folder, on the CPU, in evaluation mode.

    Adapters are merged into the weights under them. A pretraining has no answers.

    Raises:
        ValueError: not a run of this application, or its files are missing or do not fit.
    """
    run = Run.open(path, application=APPLICATION)
    state = run.load_weights()
    with_adapters = any("lora_" in name for name in state)
    with run.named():
        config = read_config(run.info.configuration)
        tokenizer = DnaTokenizer.load(run.path)
        answers = load_answers(run.path)
        tasks = run.info.task_set
        missing = [name for name, task in tasks.items() if task.kind != PRETRAIN_KIND and name not in answers]
        if missing:
            raise ValueError(f"{ANSWERS_FILE} does not say how {', '.join(missing)} answers")
        if "vocabulary" not in run.info.data:
            raise ValueError("run.json does not say the vocabulary")
        context = config.context if answers else config.pretrain.context
        vocabulary = int(run.info.data["vocabulary"])
        decoder = build_decoder(model_shape_of(config), vocabulary, context=context, initialise=False)
        # Adapters that were merged after the training are no longer there.
        built = config if with_adapters else config.model_copy(update={"lora": None})
        model = build_model(tasks, built, decoder, tokenizer, answers)
    run.load_into(model, state)
    if with_adapters:
        merge_lora(backbone_of(model))
    return model.eval(), tokenizer, answers, config
