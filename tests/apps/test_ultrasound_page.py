"""The ultrasound page in a simulated browser: choice, check before run, results, folder jobs, the model's facts."""

import io
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from streamlit.testing.v1 import AppTest

from polyhead.application import RESEARCH_USE
from ui.jobs import list_jobs


def page():
    from apps.ultrasound.page import render

    render()


def png(shape=(96, 128), seed=0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def app(workspace, stub_predictor):
    opened = AppTest.from_function(page, default_timeout=30).run()
    assert not opened.exception
    return opened


def text(app) -> str:
    kinds = ("markdown", "caption", "info", "warning", "error", "html", "subheader", "code")
    return "\n".join(str(getattr(entry, "value", "") or entry.proto) for kind in kinds for entry in app.get(kind))


def tables(app) -> list[list[dict]]:
    """The tables of the page as rows of text."""
    found = []
    for entry in app.get("html"):
        body = entry.proto.body
        if '<table class="polyhead-table"' in body:
            tree = ElementTree.fromstring(body)
            names = [cell.text for cell in tree.iter("th")]
            rows = [[cell.text or "" for cell in row.iter("td")] for row in tree.iter("tr")]
            found.append([dict(zip(names, row, strict=True)) for row in rows if row])
    return found


def test_the_banner_names_the_conditions_and_the_model_and_broken_runs_are_told(app):
    shown = text(app)
    assert RESEARCH_USE in shown and "mh-mtl, preset tiny (first)" in shown
    assert "Not usable" in shown and "broken" in shown


def test_without_a_run_the_page_explains_the_demonstration_and_can_start_it(tmp_path, monkeypatch):
    monkeypatch.setenv("POLYHEAD_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("POLYHEAD_DEMO", str(tmp_path / "demo"))
    monkeypatch.setattr("apps.page_demo.polyhead", lambda *a: [sys.executable, "-c", "print('demo')"])
    app = AppTest.from_function(page, default_timeout=30).run()
    assert not app.exception
    assert "polyhead demo ultrasound" in text(app)
    app.button(key="start-demo").click().run()
    (job,) = list_jobs(tmp_path / "runs" / "jobs" / "ultrasound")
    assert job.title == "Demonstration run" and job.result == tmp_path / "demo"
    assert job.wait(20).state == "done"


def test_files_are_checked_before_anything_runs(app):
    app.file_uploader(key="files").upload("good.png", png(), "image/png")
    app.file_uploader(key="files").upload("bad.png", b"no picture at all", "image/png").run()
    (check,) = [table for table in tables(app) if "Can be analysed" in table[0]]
    assert [(row["File"], row["Can be analysed"]) for row in check] == [("good.png", "Yes"), ("bad.png", "No")]
    assert check[0]["Size"] == "128 x 96" and "pixels" in check[0]["Pixel size"]
    assert "no image" in check[1]["Remarks"]
    assert "1 of 2 files can be analysed" in text(app)
    assert "Choose at least one task" in text(app)
    assert "ultrasound-results" not in app.session_state


def test_an_image_is_analysed_and_everything_is_shown(app):
    app.file_uploader(key="files").upload("good.png", png(), "image/png")
    app.toggle(key="all-tasks").set_value(True).run()
    button = app.button(key="analyse")
    assert button.label == "Analyse 1 picture for 4 tasks"
    button.click().run()
    assert not app.exception
    (answers,) = [table for table in tables(app) if "Answer" in table[0]]
    assert {row["Task"]: row["Answer"] for row in answers} == {
        "breast lesion (outline)": "lesion",
        "breast 3cls (class)": "malignant, 70%",
        "thyroid nodule det (box)": "one box, score 80%",
        "IUGC (points)": "3 points",
    }
    (measured,) = [table for table in tables(app) if "Quantity" in table[0]]
    assert measured == [
        {"Image": "good.png", "Task": "breast lesion", "Quantity": "area lesion", "Value": "1200.0", "Unit": "px2"}
    ]
    assert "low confidence (32%)" in text(app) and "nothing is given in millimetres" in text(app)
    assert len(app.get("plotly_chart")) == 1


def test_results_of_another_choice_are_not_shown(app):
    app.file_uploader(key="files").upload("good.png", png(), "image/png")
    app.multiselect(key="tasks").set_value(["breast_lesion"]).run()
    app.button(key="analyse").click().run()
    assert any("Answer" in table[0] for table in tables(app))
    app.multiselect(key="tasks").set_value(["IUGC"]).run()
    assert not any("Answer" in table[0] for table in tables(app))
    assert "choice has changed" in text(app)


def test_a_file_that_breaks_after_the_check_is_named_and_the_others_are_answered(app, workspace, monkeypatch):
    from polyhead.batch.case import InvalidInput

    # The stand-in that the fixture put there; the package's own attribute may be the real module.
    predict = sys.modules["domains.medical.ultrasound.predicting.predict"]
    honest = predict.UltrasoundPredictor.read

    def read(self, case):
        if "bad" in case.path.name:
            raise InvalidInput("truncated-image", "bad.png ends too early", "copy it again")
        return honest(self, case)

    monkeypatch.setattr(predict.UltrasoundPredictor, "read", read)
    for name, seed in (("good.png", 1), ("bad.png", 2)):
        app.file_uploader(key="files").upload(name, png(seed=seed), "image/png")
    app.multiselect(key="tasks").set_value(["breast_lesion"]).run()
    app.button(key="analyse").click().run()
    assert "bad.png: bad.png ends too early; copy it again." in text(app)
    assert "1 of 2 pictures answered" in text(app)


def test_a_server_folder_is_read_only_under_the_roots(app, workspace):
    (workspace / "study").mkdir()
    (workspace / "study" / "one.png").write_bytes(png())
    app.segmented_control(key="source").set_value("Folder on the server").run()
    app.text_input(key="server-path").set_value(str(workspace / "study")).run()
    assert [row["File"] for table in tables(app) if "File" in table[0] for row in table] == ["one.png"]
    app.text_input(key="server-path").set_value("/etc").run()
    assert "lies outside the folders" in text(app)


def test_of_a_sequence_one_frame_or_all_are_analysed(app):
    content = Path(str(get_testdata_file("examples_ybr_color.dcm"))).read_bytes()
    app.file_uploader(key="files").upload("clip", content, "application/dicom")
    app.multiselect(key="tasks").set_value(["breast_lesion"]).run()
    app.slider(key="frame-0").set_value(7).run()
    app.button(key="analyse").click().run()
    assert not app.exception
    assert "1 of 1 pictures answered" in text(app)
    (measured,) = [table for table in tables(app) if "Quantity" in table[0]]
    assert measured[0]["Image"] == "clip, frame 7"
    app.toggle(key="all-frames-0").set_value(True).run()
    assert app.button(key="analyse").label == "Analyse 30 pictures for 1 task"
    app.button(key="analyse").click().run()
    assert "30 of 30 pictures answered" in text(app)
    app.select_slider(key="shown-picture").set_value(29).run()
    (measured,) = [table for table in tables(app) if "Quantity" in table[0]]
    assert measured[0]["Image"] == "clip, frame 30"


def test_a_sample_is_simulated_for_the_chosen_task(app):
    app.segmented_control(key="source").set_value("Simulated sample").run()
    app.multiselect(key="tasks").set_value(["breast_lesion"]).run()
    (check,) = [table for table in tables(app) if "Can be analysed" in table[0]]
    assert check[0]["File"] == "simulated-breast_lesion-1.png" and check[0]["Can be analysed"] == "Yes"


def test_a_folder_is_run_over_by_a_job_whose_results_are_shown(app, workspace, monkeypatch):
    (workspace / "study").mkdir()
    (workspace / "study" / "one.png").write_bytes(png())
    (workspace / "study" / "two.png").write_bytes(b"")
    script = (
        "import json, pathlib, sys\n"
        "out = pathlib.Path(sys.argv[sys.argv.index('-o') + 1]); out.mkdir(parents=True)\n"
        "rows = [{'id': 'one', 'status': 'ok'},\n"
        " {'id': 'two', 'status': 'invalid_input', 'reason': 'two.png has no content', 'remedy': 'copy it again'}]\n"
        "(out / 'results.jsonl').write_text('\\n'.join(map(json.dumps, rows)))\n"
        "print(json.dumps({'event': 'progress', 'done': 1, 'failed': 1, 'total': 2}), file=sys.stderr)\n"
        "sys.exit(3)"
    )
    monkeypatch.setattr("apps.folder_tab.polyhead", lambda *a: [sys.executable, "-c", script, *a])
    app.multiselect(key="tasks").set_value(["breast_lesion", "IUGC"])
    app.text_input(key="batch-path").set_value(str(workspace / "study")).run()
    assert "2 pictures in 2 files. 1 of 2 files can be analysed" in text(app)
    app.button(key="start-job").click().run()
    (job,) = list_jobs(workspace / "runs" / "jobs" / "ultrasound")
    asked = job.argv[3:]
    assert asked[:4] == ("ultrasound", "predict", str(workspace / "runs" / "first"), str(workspace / "study"))
    assert asked[6:] == ("--log-json", "--task", "breast_lesion", "--task", "IUGC")
    assert job.wait(20).state == "partly"
    app.run()
    assert not app.exception
    assert "2 cases: 1 done, 1 invalid input" in text(app)
    (failed,) = [table for table in tables(app) if "What to do" in table[0]]
    assert failed[0] == {
        "Case": "two",
        "What happened": "invalid input",
        "Reason": "two.png has no content",
        "What to do": "copy it again",
    }
    assert "Done, some cases failed, 2 of 2 cases, 1 failed" in text(app)


def test_a_running_job_is_found_again_after_a_reload_and_can_be_cancelled(app, workspace, monkeypatch):
    from ui.jobs import start_job

    started = time.time()
    job = start_job(
        workspace / "runs" / "jobs" / "ultrasound", [sys.executable, "-c", "import time; time.sleep(600)"], "long"
    )
    again = AppTest.from_function(page, default_timeout=30).run()
    again.button(key=f"cancel-{job.id}").click().run()
    assert job.wait(30).state == "cancelled" and time.time() - started < 25


def test_the_model_is_told_with_its_scores(app):
    assert {"Task": "breast lesion", "Scores": "DSC 0.812"} in [row for table in tables(app) for row in table]
    assert "There is no card" in text(app) or "data_cards" not in text(app)
