"""The page's first part: a few images are chosen, checked, analysed and shown."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from apps.ultrasound import page_input
from apps.ultrasound.page_input import Check, Input
from apps.ultrasound.page_results import Answered, Model, results_part
from domains.medical.intake.images import read_image
from polyhead.batch.case import Case, InvalidInput
from polyhead.batch.one import ask
from ui import upload
from ui.table import table
from ui.viewer import frame_slider, square_pixels

MAX_IMAGES = 60
"""More images than this are work for the folder part, which runs on its own."""

DROP, SIMULATE, SERVER = "Drop files", "Simulated sample", "Folder on the server"


@st.cache_resource(max_entries=2, show_spinner="Loading the model ...")
def load_predictor(path: str, identity: str) -> tuple[Any, threading.Lock]:
    """The predictor of a run, once for all sessions, and the lock that its users share."""
    from domains.medical.ultrasound.predicting.predict import UltrasoundPredictor

    return UltrasoundPredictor(Path(path), device="auto"), threading.Lock()


@st.cache_data(max_entries=2000, show_spinner=False)
def _checked(name: str, path: str, modified: int, size: int) -> Check:
    return page_input.check(Input(name, Path(path)))


def check_inputs(inputs: Sequence[Input]) -> list[Check]:
    """Checks files, each once as long as it does not change."""
    checks = []
    for entry in inputs:
        try:
            state = entry.path.stat()
        except OSError as error:
            checks.append(Check(entry.name, entry.path, f"cannot be read: {error.strerror or error}"))
            continue
        checks.append(_checked(entry.name, str(entry.path), state.st_mtime_ns, state.st_size))
    return checks


def images_part(model: Model | None, tasks: Sequence[str]) -> None:
    """Everything from the choice of files to the results."""
    inputs = choose_inputs(model, tasks)
    if not inputs:
        return
    st.subheader("2. Input check")
    with st.spinner("Checking the files ..."):
        checks = check_inputs(inputs)
    good = [entry for entry in checks if entry.readable]
    (st.info if len(good) == len(checks) else st.warning)(page_input.verdict(checks))
    table([entry.row() for entry in checks], "What was found in the files, before any model runs")
    if any("names a patient" in entry.identity or "filled" in entry.identity for entry in checks):
        st.warning("A file names its patient. Results written by this page never repeat the name, but the file does.")
    cases = choose_frames(good, tasks)
    st.subheader("3. Analysis")
    if not _ready(model, tasks, cases):
        return
    assert model is not None
    signature = _signature(model, tasks, cases)
    count = "1 picture" if len(cases) == 1 else f"{len(cases)} pictures"
    questions = "1 task" if len(tasks) == 1 else f"{len(tasks)} tasks"
    if st.button(f"Analyse {count} for {questions}", type="primary", key="analyse"):
        _analyse(model, cases, signature)
    kept = st.session_state.get("ultrasound-results")
    if kept is None:
        return
    if kept["signature"] != signature:
        st.caption("The choice has changed since the last analysis; its results are no longer shown.")
        return
    results_part(model, kept["answered"], kept["seconds"], checks)


def choose_inputs(model: Model | None, tasks: Sequence[str]) -> list[Input]:
    """The widgets that choose files, and what was chosen."""
    st.subheader("1. Images")
    source = st.segmented_control(
        "Where the images come from", [DROP, SIMULATE, SERVER], default=DROP, required=True, key="source"
    )
    if source == SIMULATE:
        return _simulated(model, tasks)
    if source == SERVER:
        return _on_server()
    # No filter by suffix: DICOM files often have none. The content is checked instead.
    files = st.file_uploader(
        "PNG, JPEG, BMP, TIFF or DICOM, one or several frames",
        accept_multiple_files=True,
        max_upload_size=upload.MAX_FILE_BYTES // 2**20,
        key="files",
    )
    st.caption(
        "Files stay on the server, in a folder that only its user can read; those older than a day are removed "
        "when the page is opened. Names burned into a picture are not removed."
    )
    folder = upload.spool_folder()
    if "ultrasound-swept" not in st.session_state:
        upload.sweep(folder)
        st.session_state["ultrasound-swept"] = True
    taken, refused = upload.spool(files, folder)
    for entry in refused:
        st.error(f"{entry.name} was not taken: {entry.reason}.")
    return [Input(entry.name, entry.path) for entry in taken]


def _simulated(model: Model | None, tasks: Sequence[str]) -> list[Input]:
    left, right = st.columns([3, 1])
    # The simulator knows the official tasks only; a task of another data set has no simulated picture.
    known = [task for task in (tasks or (model.tasks if model else ())) if _can_be_simulated(task)]
    if not known:
        st.info("Choose a task in the sidebar; the picture is simulated for it. Only the official tasks can be.")
        return []
    task = left.selectbox("Simulate a picture for", known, format_func=lambda name: name.replace("_", " "), key="sim")
    seed = right.number_input("Number of the picture", 0, 10_000, 1, key="sim-seed")
    st.caption("A simulated picture is no patient's. It shows speckle and shapes like those the task asks for.")
    with st.spinner("Simulating ..."):
        return [page_input.simulated(task, int(seed), upload.spool_folder())]


def _can_be_simulated(task: str) -> bool:
    from domains.medical.ultrasound.simulator.tasks import sheet

    try:
        sheet(task)
    except ValueError:
        return False
    return True


def _on_server() -> list[Input]:
    text = st.text_input("Folder or file on the server", placeholder="/data/study-12", key="server-path")
    if not text:
        return []
    from domains.medical.ultrasound.asking.sources import cases_from

    try:
        place = upload.server_path(text)
        paths = list(dict.fromkeys(case.path for case in cases_from(place)))
    except ValueError as error:
        st.error(f"{str(error)[:1].upper()}{str(error)[1:]}.")
        return []
    if len(paths) > MAX_IMAGES:
        st.warning(f"{len(paths)} files; the first {MAX_IMAGES} are shown here. The tab Folder analyses all of them.")
    base = place if place.is_dir() else place.parent
    names = [str(path.relative_to(base)) if path.is_relative_to(base) else path.name for path in paths]
    return [Input(name, path) for name, path in zip(names, paths, strict=True)][:MAX_IMAGES]


def choose_frames(checks: Sequence[Check], tasks: Sequence[str]) -> list[tuple[str, Case]]:
    """The pictures to analyse, named as the user knows them: of a sequence, one frame or all."""
    chosen: list[tuple[str, Case]] = []
    for number, entry in enumerate(checks):
        frames: Sequence[int | None] = [None]
        if entry.frames > 1:
            frames = _frames_of(entry, number)
        for frame in frames:
            options = {} if frame is None else {"frame": frame}
            name = entry.name if frame is None else f"{entry.name}, frame {frame + 1}"
            chosen.append((name, Case(f"{number:03d}-{frame or 0:04d}", entry.path, tuple(tasks), options)))
    return chosen


def _frames_of(entry: Check, number: int) -> Sequence[int]:
    """The frames to analyse of a sequence: one, which is shown, or all."""
    with st.container(border=True):
        if st.toggle(f"{entry.name}: all {entry.frames} frames", key=f"all-frames-{number}"):
            return range(entry.frames)
        frame = frame_slider(entry.frames, f"frame-{number}", f"{entry.name}: frame")
        try:
            image = read_image(entry.path, frame)
        except InvalidInput as error:
            st.error(f"{error.reason}.")
        else:
            words = f"{entry.name}, frame {frame + 1}, as it will be analysed"
            st.image(square_pixels(image.pixels, image.spacing), caption=words, alt=words, width=320)
        return [frame]


def _ready(model: Model | None, tasks: Sequence[str], cases: Sequence[Any]) -> bool:
    if model is None:
        st.info("Choose a model in the sidebar first.")
    elif not cases:
        st.error("None of the files can be analysed; the table above says why.")
    elif not tasks:
        st.info("Choose at least one task in the sidebar: what should the model look for?")
    elif len(cases) > MAX_IMAGES:
        st.error(f"{len(cases)} pictures are too many to show here (at most {MAX_IMAGES}); use the tab Folder.")
    else:
        return True
    return False


def _signature(model: Model, tasks: Sequence[str], cases: Sequence[tuple[str, Case]]) -> str:
    files = [[name, str(case.path), case.path.stat().st_mtime_ns, dict(case.options)] for name, case in cases]
    return hashlib.sha256(json.dumps([model.identity, list(tasks), files]).encode()).hexdigest()


def _analyse(model: Model, cases: Sequence[tuple[str, Case]], signature: str) -> None:
    st.session_state.pop("ultrasound-results", None)
    began = time.perf_counter()
    try:
        with st.spinner("Analysing ..."):
            predictor, lock = load_predictor(str(model.path), model.identity)
            with lock:
                answered = answer(predictor, cases)
    except (ValueError, RuntimeError) as error:
        st.error(f"The model could not answer: {error}")
        return
    seconds = time.perf_counter() - began
    st.session_state["ultrasound-results"] = {"signature": signature, "answered": answered, "seconds": seconds}


def answer(predictor: Any, cases: Sequence[tuple[str, Case]]) -> list[Answered]:
    """Reads and predicts; a case that cannot be read keeps its place, with its reason."""
    found = ask(predictor, [case for _, case in cases])
    return [
        Answered(name, None, f"{each.reason}; {each.remedy}" if each.remedy else each.reason)
        if isinstance(each, InvalidInput)
        else Answered(name, each)
        for (name, _), each in zip(cases, found, strict=True)
    ]
