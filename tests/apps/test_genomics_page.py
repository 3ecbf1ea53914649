"""The genomics page in a simulated browser: sequences, written answers, bases, variants, calibration, jobs."""

import json
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from genomics_runs import make_run
from streamlit.testing.v1 import AppTest

from polyhead.application import RESEARCH_USE
from polyhead.uncertainty.reliability import Bin
from polyhead.uncertainty.temperature import Temperature, write_calibrations
from ui.jobs import list_jobs

pytestmark = pytest.mark.usefixtures("one_thread")

SHORT = "ACGTTGCATATAAAAGGCGCGATCGATTACGATCGGCTAAGCTCGATCGGATATTCCGGAT"


def page():
    from apps.genomics.page import render

    render()


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """A folder with data/ and a run of it."""
    folder = tmp_path_factory.mktemp("genomics")
    make_run(folder / "data", folder / "run")
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch, made):
    """A function that opens the page with the run."""
    monkeypatch.setenv("POLYHEAD_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("POLYHEAD_DEMO", str(tmp_path / "demo"))
    monkeypatch.setenv("POLYHEAD_DATA_ROOTS", f"{tmp_path}:{made}")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))

    def opened(text: str = "", calibrated: bool = False) -> AppTest:
        run = tmp_path / "runs" / "first"
        shutil.copytree(made / "run", run, ignore=shutil.ignore_patterns("snapshots"))
        if calibrated:
            bins = (Bin(0.4, 0.5, 30, 0.45, 0.4), Bin(0.9, 1.0, 10, 0.95, 0.9))
            told = Temperature("enhancer", 2.0, 40, 0.9, 0.7, 0.08, 0.04, bins, bins)
            write_calibrations(run, {"enhancer": told}, split="test", reverse_complement=True)
        app = AppTest.from_function(page, default_timeout=60).run()
        assert not app.exception
        if text:
            app.text_area(key="genomics-paste").set_value(text).run()
            assert not app.exception
        return app

    return opened


def text(app) -> str:
    kinds = ("markdown", "caption", "info", "warning", "error", "html", "subheader", "code")
    return "\n".join(str(getattr(entry, "value", "") or entry.proto) for kind in kinds for entry in app.get(kind))


def table(app, caption: str) -> list[dict[str, str]]:
    for entry in app.get("html"):
        if f"<caption>{caption}" in entry.proto.body:
            tree = ElementTree.fromstring(entry.proto.body)
            names = [cell.text or "" for cell in tree.iter("th")]
            rows = [[cell.text or "" for cell in row.iter("td")] for row in tree.iter("tr")]
            return [dict(zip(names, row, strict=True)) for row in rows if row]
    raise AssertionError(f"no table {caption!r}: {text(app)}")


def figure(app, words: str) -> dict:
    """The plot whose words for readers of the screen begin so."""
    found = [json.loads(entry.proto.spec) for entry in app.get("plotly_chart") if entry.proto.alt.startswith(words)]
    assert len(found) == 1, [entry.proto.alt for entry in app.get("plotly_chart")]
    return found[0]


def shares(app, task: str, name: str) -> dict[str, float]:
    """The bars of a task by label."""
    (bars,) = figure(app, f"{task} of {name}: ")["data"]
    labels = [label.removesuffix(" (most probable)") for label in bars["customdata"]]
    return dict(zip(labels, bars["x"], strict=True))


def test_without_a_run_the_page_explains_the_demonstration_and_can_start_it(tmp_path, monkeypatch):
    monkeypatch.setenv("POLYHEAD_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("POLYHEAD_DEMO", str(tmp_path / "demo"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("apps.page_demo.polyhead", lambda *a: [sys.executable, "-c", "print('demo')"])
    app = AppTest.from_function(page, default_timeout=30).run()
    assert not app.exception
    assert "polyhead demo genomics" in text(app) and RESEARCH_USE in text(app)
    app.button(key="start-demo").click().run()
    (job,) = list_jobs(tmp_path / "runs" / "jobs" / "genomics")
    assert job.result == tmp_path / "demo" / "genomics" and job.wait(20).state == "done"


def test_probabilities_are_the_mean_of_both_strands_where_the_task_allows_it(place, made):
    from domains.genomics.saved import load_run
    from domains.genomics.scoring.scorer import Scorer
    from domains.genomics.sequences.alphabet import reverse_complement

    app = place(f">one\n{SHORT}\n")
    assert RESEARCH_USE in text(app) and "omni-dna, preset tiny (first)" in text(app)
    model, tokenizer, answers, _ = load_run(made / "run")
    forward, backward = Scorer(model, tokenizer, answers).score([SHORT, reverse_complement(SHORT)])
    for task, title in (("enhancer", "Enhancer"), ("promoter", "Promoter")):
        expected = (forward[task] + backward[task]) / 2 if task == "enhancer" else forward[task]
        assert list(shares(app, title, "one").values()) == pytest.approx(expected.tolist(), abs=1e-6)
    assert "Splice site, Promoter depend on the strand" in text(app)
    app.toggle(key="strands").set_value(False).run()
    assert list(shares(app, "Enhancer", "one").values()) == pytest.approx(forward["enhancer"].tolist(), abs=1e-6)


def test_the_example_needs_no_file_and_fills_every_part(place):
    app = place()
    assert "Paste DNA, drop a file, or load the example" in text(app)
    app.button(key="example").click().run()
    assert not app.exception
    assert [error.value for error in app.error] == []
    rows = table(app, "All sequences")
    assert rows[0]["Sequence"] == "chr1_start" and rows[0]["Bases"] == "1200" and int(rows[0]["Windows"]) >= 3
    track = figure(app, "Probabilities along chr1_start")
    assert track["layout"]["xaxis"]["range"] == [0.5, 1200.5]
    app.button_group(key="track-tasks").set_value(["promoter", "enhancer"]).run()
    assert [line["name"] for line in figure(app, "Probabilities along chr1_start")["data"]] == [
        "Promoter: none",
        "Promoter: tata",
        "Promoter: tata-less",
        "Enhancer: active",
    ]
    app.selectbox(key="record").set_value(1).run()
    assert not app.exception


def test_bad_records_are_told_in_one_line_each_and_the_rest_goes_on(place):
    protein = "MKVLAAGIVGLLLAQPEFILWSHRTKDE"
    app = place(f">good\n{SHORT}\n>empty\n>good\n{SHORT[::-1]}\n>protein\n{protein}\n")
    (warning,) = app.warning
    lines = warning.value.splitlines()
    assert len(lines) == 3 and "empty" in lines[0] and "good\\#2" in lines[1] and "protein" in lines[2]
    assert [row["Sequence"] for row in table(app, "All sequences")] == ["good", "good#2"]
    app.file_uploader(key="sequence-files").upload("genome.fa", b"\x43\x27\x41\x1a" + bytes(64)).run()
    assert not app.exception
    assert "twoBitToFa" in app.warning[0].value


def test_written_answers_are_texts_numbers_and_pictures(place):
    app = place(f">one\n{SHORT}\n")
    app.button(key="write").click().run()
    assert not app.exception
    shown = text(app)
    assert "Function (text)" in shown and "Gc (number)" in shown and "Picture (image)" in shown
    assert any(str(code.value).endswith(" %") for code in app.get("code"))
    (image,) = app.get("image")
    assert "2 x 2 codes" in str(image.proto) and "no codec" not in str(image.proto)


def test_attribution_and_every_change_of_a_stretch(place, made):
    from domains.genomics.saved import load_run
    from domains.genomics.scoring.scorer import Scorer
    from domains.genomics.variants.comparers import comparer
    from domains.genomics.variants.mutagenesis import mutagenesis

    app = place(f">one\n{SHORT}\n")
    app.selectbox(key="base-task").set_value("enhancer").run()
    (bars,) = figure(app, "Gradient times input for Enhancer: active")["data"]
    assert bars["customdata"] == list(SHORT)
    app.button(key="mutate").click().run()
    assert not app.exception
    drawn = figure(app, "Change of P(active) on one for every change")["data"][0]
    model, tokenizer, answers, _ = load_run(made / "run")
    told = mutagenesis(SHORT, comparer(Scorer(model, tokenizer, answers)), tasks=("enhancer",))
    assert decoded(drawn["z"], (4, len(SHORT))) == pytest.approx(told.changes["enhancer"][1], abs=1e-6)
    app.selectbox(key="base-task").set_value("Likelihood of the sequence").run()
    assert "bits a base on the mean" in text(app)


def decoded(values, shape):
    """The numbers of a plot, which travel as base64."""
    import base64

    import numpy as np

    return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).reshape(shape)


def test_typed_variants_are_scored_against_the_pasted_sequence(place):
    app = place(f">one\n{SHORT}\n")
    wrong = "A" if SHORT[9] != "A" else "C"
    app.text_area(key="variant-text").set_value(
        f"one 5 {SHORT[4]} G\n\none 10 {wrong} T\none:20:{SHORT[19:21]}:{SHORT[19]}\none 900 A G"
    ).run()
    app.button(key="score-variants").click().run()
    assert not app.exception
    (warning,) = app.warning
    first, second = warning.value.splitlines()
    assert "line 3" in first and "REF is" in first and "line 5" in second and "past the end of one" in second
    rows = table(app, "2 variants")
    assert [row["Place"] for row in rows] == ["one:5", "one:20"]
    assert [row["Change"] for row in rows] == [f"{SHORT[4]} → G", f"{SHORT[19:21]} → {SHORT[19]}"]
    assert "±" in rows[0]["Ratio (nats)"] and " → " in rows[0]["Enhancer"]


def test_the_example_of_variants_and_a_file_of_them(place, tmp_path):
    app = place()
    app.button_group(key="variant-reference").set_value("Example").run()
    app.button(key="score-variants").click().run()
    assert not app.exception
    assert len(table(app, "12 variants")) == 12
    app.selectbox(key="variant-measure").set_value("Enhancer: active").run()
    figure(app, "Change of P(Enhancer: active)")
    app.file_uploader(key="variant-file").upload("v.csv", b"chrom,pos,ref,alt\n1,7,A,<DEL>\n").run()
    app.button(key="score-variants").click().run()
    assert "symbolic" in app.warning[0].value and "No variant could be scored" in text(app)


def test_a_calibrated_run_shows_its_reliability_and_uses_its_temperatures(place):
    app = place(f">one\n{SHORT}\n", calibrated=True)
    cool = shares(app, "Enhancer", "one")
    assert table(app, "Temperatures") == [
        {"Task": "Enhancer", "Temperature": "2", "Rows": "40", "Error before": "8.0%", "Error after": "4.0%"}
    ]
    curve = figure(app, "Reliability diagram")["data"][1]
    assert curve["x"] == [0.45, 0.95] and curve["y"] == [0.4, 0.9]
    # The temperature was fitted to the mean of both strands: the other way of asking has none.
    app.toggle(key="strands").set_value(False).run()
    warm = shares(app, "Enhancer", "one")
    assert max(cool.values()) < max(warm.values())


def test_files_are_answered_by_a_job_with_the_choices_of_the_page(place, made, tmp_path, monkeypatch):
    monkeypatch.setattr("apps.folder_tab.polyhead", lambda *a: [sys.executable, "-c", "pass", *a])
    app = place()
    app.text_input(key="batch-path").set_value(str(made / "data" / "genome.fa")).run()
    app.multiselect(key="batch-tasks").set_value(["enhancer"]).run()
    assert not app.exception
    app.button(key="start-job").click().run()
    (job,) = list_jobs(tmp_path / "runs" / "jobs" / "genomics")
    asked = job.argv[3:]
    assert asked[:4] == ("genomics", "predict", str(tmp_path / "runs" / "first"), str(made / "data" / "genome.fa"))
    assert asked[6:] == ("--log-json", "--task", "enhancer")
    assert job.wait(20).state == "done"
    app.text_input(key="batch-path").set_value(str(tmp_path / "nothing")).run()
    assert "check the spelling" in text(app)


def test_the_model_is_told_with_its_tasks(place):
    shown = text(place())
    assert "Other strand" in shown and "Promoter its own answer" in shown and "is not calibrated" in shown
