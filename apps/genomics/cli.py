"""`polyhead genomics`: sample, split, pretrain, train, calibrate, predict, evaluate, variants, scan, embed, mutate."""

from __future__ import annotations

from apps.flags import application_verbs
from apps.genomics.answer_verbs import evaluate, predict
from apps.genomics.asking_verbs import embed, mutate, scan, variants
from apps.genomics.data_verbs import leakage, sample, split
from apps.genomics.training_verbs import calibrate, pretrain, train

__all__ = [
    "app",
    "calibrate",
    "embed",
    "evaluate",
    "leakage",
    "mutate",
    "predict",
    "pretrain",
    "sample",
    "scan",
    "split",
    "train",
    "variants",
]

app = application_verbs("Genomics: many questions to a DNA sequence, answered by one decoder.")
for verb in (sample, split, leakage, pretrain, train, calibrate, predict, evaluate, variants, scan, embed, mutate):
    app.command()(verb)
