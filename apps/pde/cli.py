"""`polyhead pde`: sample, import, train, predict, evaluate, transfer, calibrate."""

from __future__ import annotations

from apps.flags import application_verbs
from apps.pde.answer_verbs import evaluate, predict
from apps.pde.data_verbs import import_foreign, sample
from apps.pde.training_verbs import calibrate, train, transfer

__all__ = ["app", "calibrate", "evaluate", "import_foreign", "predict", "sample", "train", "transfer"]

app = application_verbs("PDE operators: several equations, geometries and designs with one network.")
app.command()(sample)
app.command("import")(import_foreign)
for verb in (train, predict, evaluate, transfer, calibrate):
    app.command()(verb)
