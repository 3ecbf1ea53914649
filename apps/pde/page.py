"""The PDE page: choose a run and a task, set the input, see the field at once, compare, and read about the model."""

from __future__ import annotations

import streamlit as st

from apps.page_demo import no_run
from apps.pde.page_folder import folder_part
from apps.pde.page_input import Asked, choose_input
from apps.pde.page_model import Model, describe, predictor, words
from apps.pde.page_points import points_part
from apps.pde.page_results import compare_part, field_part, input_part, with_solver
from domains.pde.networks.description import Description
from domains.pde.predicting.write import Answer
from polyhead.batch.case import Case, InvalidInput
from polyhead.runs.run import Run
from ui import upload
from ui.banner import banner
from ui.field_plots import label
from ui.run_choice import about_run, choose_run, sentence
from ui.runs import demo_folder
from ui.theme import page_style

TITLE = "PDE operators: the field at once"

SOURCES = {
    "fisher/fisher": "Fisher: u (1 − u)",
    "fisher/nws": "Newell-Whitehead-Segel: u (1 − u²)",
    "fisher/zfk": "Zeldovich-Frank-Kamenetskii: u (1 − u) exp(−β (1 − u))",
    "plate": "Heated plate",
}


def render() -> None:
    """Draws the page; Streamlit calls it on every interaction."""
    page_style()
    with st.sidebar:
        st.header("Model")
        run = choose_run("pde", "runs/darcy")
        model = _described(run)
        task = choose_task(model) if model else None
    banner(model.title if model else None, model.identity if model else None)
    st.title(TITLE)
    if run is None:
        no_run(
            "pde",
            "The demonstration solves small data sets and trains on them",
            out=demo_folder() / "pde",
            tab="Folder",
        )
    case, folder, about = st.tabs(["One case", "Folder", "About this model"])
    with case:
        if model is not None and task is not None:
            case_part(model, task)
        else:
            st.info("Choose a model in the sidebar first.")
    with folder:
        folder_part(model)
    with about:
        about_part(run, model)


def _described(run: Run | None) -> Model | None:
    try:
        return describe(run) if run is not None else None
    except ValueError as error:
        st.error(sentence(error))
        return None


def task_title(task: str) -> str:
    """A task as people read it.

    >>> task_title("darcy/l_shape")
    'Darcy flow: l shape'
    """
    if task in SOURCES:
        return SOURCES[task]
    problem, _, rest = task.partition("/")
    name = "Darcy flow" if problem == "darcy" else problem.replace("_", " ").capitalize()
    return f"{name}: {rest.replace('_', ' ')}" if rest else name


def choose_task(model: Model) -> str:
    """The task that answers: an equation's source term, or a geometry."""
    task = st.selectbox("Task", list(model.problems), format_func=task_title, key="task")
    equation = model.problems[task].attributes.get("equation")
    if isinstance(equation, str):
        st.caption(f"Equation: {equation}".replace("^", "\\^").replace("_", "\\_"))
    return task


def case_part(model: Model, task: str) -> None:
    """The input of one case, its field, and values at single points."""
    about = model.problems[task]
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.subheader("1. Input")
        asked = choose_input(task, about)
    _sweep()
    if asked is None:
        return
    with right:
        st.subheader("2. Field")
        answer = _answered(model, task, asked)
        if answer is None:
            return
        answer, refused = with_solver(model, asked, answer)
        field_part(answer)
    with left:
        input_part(answer)
    compare_part(model, asked, answer, refused)
    points_part(predictor(model), asked, about)


def _sweep() -> None:
    if "pde-swept" not in st.session_state:
        upload.sweep(upload.spool_folder())
        st.session_state["pde-swept"] = True


def _answered(model: Model, task: str, asked: Asked) -> Answer | None:
    """The operator's answer, asked once as long as the question stays; what is wrong with it is said in one line."""
    try:
        loaded = predictor(model)
    except ValueError as wrong:
        st.error(sentence(wrong))
        return None
    signature = (id(loaded), asked.signature)
    kept = st.session_state.get("pde-answer")
    if kept is not None and kept["signature"] == signature:
        return kept["answer"]
    try:
        case = Case("case", asked.spooled(upload.spool_folder()), (task,), {"kind": "request"})
        question = loaded.read(case)
        # The first call on a set of points works out the trunk there; the second is what every further input takes.
        loaded.predict([question])
        (answer,) = loaded.predict([question])
    except InvalidInput as wrong:
        st.error(words(wrong))
        return None
    except (ValueError, RuntimeError) as wrong:
        st.error(sentence(f"The model could not answer: {wrong}"))
        return None
    st.session_state["pde-answer"] = {"signature": signature, "answer": answer}
    return answer


def about_part(run: Run | None, model: Model | None) -> None:
    """The facts of the run, its training ranges, its scores by task, and the card of its preset."""
    more = {} if model is None else {task_title(task): ranges(about, task) for task, about in model.problems.items()}
    about_run(
        run,
        "pde",
        {f"Trained on, {name}": told for name, told in more.items()},
        "On the held-out part of its own data, which also chose the weights; relative L2 errors are inside the "
        "geometry. Inputs outside of the training ranges can be far off.",
    )


def ranges(about: Description, task: str) -> str:
    """The training range of each input of a task, in words."""
    found = about.inputs.get(task)
    if found is None:
        return ""
    return ", ".join(
        f"{label(quantity.name, quantity.unit)} {low:.4g}" + (f" to {high:.4g}" if high > low else "")
        for quantity, low, high in zip(found.names, found.low, found.high, strict=True)
    )
