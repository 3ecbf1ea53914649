"""The chosen run as the parts of the page need it, and its predictor, loaded once for all sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from domains.pde.networks.description import Description
from polyhead.batch.case import InvalidInput
from polyhead.runs.run import Run
from ui.run_choice import identity, run_title


@dataclass(frozen=True)
class Model:
    """A run: where it lies, what it is called, which model it holds, and the problem of each of its tasks."""

    path: Path
    title: str
    identity: str
    problems: Mapping[str, Description]


def describe(run: Run) -> Model:
    """The run as the page needs it; one whose problems are not described is a `ValueError`."""
    said = run.info.data.get("problems")
    if not isinstance(said, Mapping):
        raise ValueError(f"{run.path} does not describe its problems; train it again")
    problems = {name: Description.from_json(values) for name, values in said.items()}
    tasks = run.info.task_set
    lost = [name for name, task in tasks.items() if task.reads not in problems]
    if lost:
        raise ValueError(f"{run.path} does not describe the problem of {lost[0]}; train it again")
    return Model(run.path, run_title(run), identity(run), {name: problems[task.reads] for name, task in tasks.items()})


def predictor(model: Model) -> Any:
    """The predictor of a run; loaded anew where anything that decides its answers has changed."""
    return _load(str(model.path), model.identity)


@st.cache_resource(max_entries=4, show_spinner="Loading the model ...")
def _load(path: str, identity: str) -> Any:
    from domains.pde.predicting.predict import PDEPredictor

    return PDEPredictor(Path(path), device="auto")


def words(wrong: InvalidInput) -> str:
    """A refusal in one line for people: what is wrong, and what to do."""
    text = f"{wrong.reason}; {wrong.remedy}" if wrong.remedy else wrong.reason
    return f"{text[:1].upper()}{text[1:]}."
