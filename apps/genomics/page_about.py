"""What stands behind the answers: the run, its tasks, and how far its confidence can be taken at its word."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from apps.genomics.page_charts import CHART, reliability_chart
from apps.genomics.page_model import Model, task_title
from domains.genomics.uncertainty.calibrate import calibrated_strands
from polyhead.runs.identity import CALIBRATION_FILE
from polyhead.runs.run import Run
from polyhead.uncertainty.temperature import Temperature, read_calibrations
from ui.run_choice import about_run, sentence
from ui.table import table
from ui.theme import ink


def about_part(run: Run | None, model: Model | None) -> None:
    """The calibration, the facts of the run, its scores by task, and the card of its preset."""
    if model is not None:
        _calibration(model)
    about_run(
        run,
        "genomics",
        _facts(run, model) if run is not None and model is not None else {},
        "On the held-out part of its own data, which also chose the weights. Random splits of overlapping windows "
        "share sequences between both sides; `polyhead genomics leakage` counts them.",
    )


def _facts(run: Run, model: Model) -> dict[str, Any]:
    config = run.info.configuration
    data = run.info.data
    rows = data.get("rows", {})
    shape = config.get("model")
    return {
        "Model": shape if isinstance(shape, str) else "own shape",
        "Layout": config.get("layout"),
        "Answers by": {"answer": "tokens", "last": "last token", "mean": "mean of the tokens"}.get(
            str(config.get("head")), ""
        ),
        "Tokens at once": config.get("context"),
        "Vocabulary": data.get("vocabulary"),
        "Training rows": {task_title(task): rows[task] for task in model.tasks if task in rows},
        "Other strand": {
            task_title(task): "same answer" if side.both_strands else "its own answer"
            for task, side in model.tasks.items()
        },
    }


def _calibration(model: Model) -> None:
    st.subheader("How sure it may be")
    try:
        known = read_calibrations(model.path)
        said = json.loads((model.path / CALIBRATION_FILE).read_text("utf-8")) if known else {}
        fitted = calibrated_strands(model.path, [name for name in known if _both(model, name)]) if known else {}
    except ValueError as error:
        st.error(sentence(error))
        return
    if not known:
        st.info(
            "This run is not calibrated: its probabilities are the model's own, and may be too sure. "
            "`polyhead genomics calibrate RUN DATA` fits a temperature to each task on rows that it was not trained on."
        )
        return
    left, right = st.columns([3, 2], gap="large")
    with right:
        task = str(st.selectbox("Task", list(known), format_func=task_title, key="bins"))
        told = known[task]
        strands = "the mean of both strands" if fitted[task] == "both" else "the given strand"
        st.caption(
            f"The temperature of {task_title(task)} is fitted to {strands} on rows of the split "
            f"{said.get('split', 'validation')}, and applied to answers that are made in the same way. Above 1, the "
            "model was too sure. The error is the expected calibration error on the rows of the fit; on others it is "
            "larger. Large dots stand for many rows."
        )
    with left:
        st.plotly_chart(
            reliability_chart(reliability_curves(told), ink=ink()),
            key="reliability",
            config=CHART,
            alt=f"Reliability diagram of {task_title(task)}: share of right answers by confidence, with a calibration "
            f"error of {told.error_before:.1%} as the model says and {told.error_after:.1%} with its temperature",
        )
    table(calibration_rows(known), "Temperatures")


def _both(model: Model, task: str) -> bool:
    return task in model.tasks and model.tasks[task].both_strands


def reliability_curves(told: Temperature) -> dict[str, list[tuple[float, float, int]]]:
    """The bins of a task's reliability diagrams: mean confidence, share that is right, rows."""
    return {
        name: [(each.confidence, each.accuracy, each.rows) for each in bins]
        for name, bins in (("as the model says", told.bins_before), ("with temperature", told.bins_after))
    }


def calibration_rows(known: Mapping[str, Temperature]) -> list[dict[str, Any]]:
    return [
        {
            "Task": task_title(task),
            "Temperature": round(told.temperature, 3),
            "Rows": told.rows,
            "Error before": f"{told.error_before:.1%}",
            "Error after": f"{told.error_after:.1%}",
        }
        for task, told in known.items()
    ]
