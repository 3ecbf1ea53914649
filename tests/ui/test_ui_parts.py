"""The parts of pages: layers, proportions, bars, zips, cards, banner, server flags, and the panel of jobs."""

import io
import sys
import zipfile

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from polyhead.application import RESEARCH_USE
from ui import banner, charts, download, job_panel, jobs, provenance, server, table, theme, viewer


def layer(name: str, value: int) -> viewer.Layer:
    def draw(image, opacity):
        drawn = image.copy()
        drawn[:2] = value * opacity
        return drawn

    return viewer.Layer(name, (1, 2, 3), draw)


def test_layers_are_drawn_in_order_and_only_where_shown():
    image = np.zeros((4, 4, 3), np.uint8)
    layers = [layer("a", 100), layer("b", 200)]
    assert viewer.render(image, layers, [], 1.0).max() == 0
    assert viewer.render(image, layers, ["a"], 0.5)[0, 0, 0] == 50
    assert viewer.render(image, layers, ["b", "a"], 1.0)[0, 0, 0] == 200
    with pytest.raises(ValueError, match="no such layer: c"):
        viewer.render(image, layers, ["c"], 1.0)


def test_square_pixels_give_the_proportions_of_the_object():
    image = np.zeros((100, 200, 3), np.uint8)
    assert viewer.square_pixels(image, (0.2, 0.1)).shape == (200, 200, 3)
    assert viewer.square_pixels(image, (0.1, 0.2)).shape == (100, 400, 3)
    assert viewer.square_pixels(image, (0.1, 0.1)) is image
    assert viewer.square_pixels(image, None) is image
    with pytest.raises(ValueError, match="positive"):
        viewer.square_pixels(image, (0.0, 0.1))


def test_small_images_are_repeated_whole_and_large_ones_left():
    image = np.random.default_rng(0).integers(0, 256, (100, 150, 3), dtype=np.uint8)
    large = viewer.enlarged(image, 640)
    assert large.shape == (400, 600, 3) and np.array_equal(large[::4, ::4], image)
    assert viewer.enlarged(large, 640) is large


def test_bars_keep_the_order_and_mark_the_most_probable_class_by_a_word():
    figure = charts.probability_bars(["benign", "malignant"], [0.25, 0.75], "Class")
    assert list(figure.data[0].x) == [0.25, 0.75]
    assert list(figure.data[0].text) == ["25.0%", "75.0%"]
    assert list(figure.layout.yaxis.ticktext) == ["benign", "malignant (most probable)"]
    with pytest.raises(ValueError, match="2 labels for 1"):
        charts.probability_bars(["a", "b"], [1.0])
    with pytest.raises(ValueError, match="no probabilities"):
        charts.probability_bars([], [])


def test_a_zip_holds_what_was_given_and_the_same_content_gives_the_same_bytes(tmp_path):
    (tmp_path / "f.bin").write_bytes(b"file" * 1000)
    entries = {"b/a.txt": b"text", "a.bin": tmp_path / "f.bin"}
    data = download.zip_of(entries)
    assert data == download.zip_of(dict(reversed(entries.items())))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["a.bin", "b/a.txt"]
        assert archive.read("a.bin") == b"file" * 1000 and archive.testzip() is None
    for name in ("/etc/x", "a/../../x", "a\\b"):
        with pytest.raises(ValueError, match="cannot be a name"):
            download.zip_of({name: b""})


def test_folder_entries_leave_out_links_and_temporary_files(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a.txt", ".a.txt.tmp", "sub/b.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "a.txt")
    assert list(download.folder_entries(tmp_path)) == ["a.txt", "sub/b.txt"]


def test_cards_are_read_by_their_headings(tmp_path):
    path = tmp_path / "card.md"
    path.write_text("---\nlicense: mit\n---\n# Title\n\n## Intended use\nResearch.\n\n## Limits\nMany.\n")
    card = provenance.read_card(path)
    assert (card.title, card.front["license"]) == ("Title", "mit")
    assert dict(card.sections) == {"Intended use": "Research.", "Limits": "Many."}
    path.write_text("---\n[broken\n---\n# T\n")
    with pytest.raises(ValueError, match="no YAML"):
        provenance.read_card(path)


def test_the_banner_says_the_conditions_the_model_and_the_hash_and_escapes_them():
    text = banner.banner_html("<b>tiny", "0123456789abcdef")
    assert RESEARCH_USE in text and "&lt;b&gt;tiny" in text and "0123456789ab<" in text
    assert "Model" not in banner.banner_html()


def test_tables_are_escaped_named_and_put_numbers_to_the_right():
    shown = table.table_html([{"<a>": "<b>", "n": 0.123456, "k": 3}], "A & B")
    assert "<caption>A &amp; B</caption>" in shown and '<th scope="col">&lt;a&gt;</th>' in shown
    assert "<td>&lt;b&gt;</td>" in shown and '<td class="number">0.1235</td><td class="number">3</td>' in shown
    with pytest.raises(ValueError, match="at least one row"):
        table.table_html([], "none")


def test_a_folder_beyond_the_limit_is_not_sent(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"12345")
    monkeypatch.setattr(download, "MOST_BYTES", 5)
    assert not download.too_large(tmp_path)
    (tmp_path / "b").write_bytes(b"6")
    assert download.too_large(tmp_path)


def test_facts_and_legends_are_text_never_markup():
    assert "&lt;i&gt;" in theme.facts_html({"<i>": "x"})
    assert "&lt;i&gt;" in theme.legend_html({"<i>": (1, 2, 3)})


def test_the_server_stays_on_this_machine_and_keeps_its_errors_to_itself(tmp_path):
    argv = server.command(tmp_path / "home.py", 8600)
    assert argv[:4] == [sys.executable, "-m", "streamlit", "run"]
    wanted = ("server.port=8600", "server.address=127.0.0.1", "client.showErrorDetails=none", "server.headless=true")
    for flag in wanted:
        assert f"--{flag}" in argv


def test_every_setting_is_one_that_streamlit_knows():
    from streamlit import config

    known = config.get_config_options()
    assert [name for name in server.SETTINGS if name not in known] == []


def test_progress_text_tells_state_counts_and_time_left():
    status = jobs.JobStatus("running", jobs.Progress(24, 1, 100), 50.0, None)
    assert job_panel.progress_text(status) == "Running, 25 of 100 cases, 1 failed, 50 s, about 2 min 30 s left"
    assert [job_panel.duration(s) for s in (0.4, 61, 3725)] == ["0 s", "1 min 1 s", "1 h 2 min"]


def test_the_panel_shows_a_running_job_cancels_it_and_shows_its_end(tmp_path):
    def page(folder):
        from pathlib import Path

        import streamlit as st

        from ui.job_panel import job_panel

        job_panel(Path(folder), result=lambda job, status: st.write(f"result of {job.id}: {status.state}"))

    job = jobs.start_job(tmp_path, [sys.executable, "-c", "import time; time.sleep(600)"], "sleep *long*")
    app = AppTest.from_function(page, args=(str(tmp_path),), default_timeout=30).run()
    assert not app.exception
    assert any("sleep \\*long\\*" in entry.value for entry in app.markdown)
    app.button(key=f"cancel-{job.id}").click().run()
    assert job.wait(30).state == "cancelled"
    app.run()
    assert any("Cancelled" in entry.value for entry in app.markdown)
    assert any(f"result of {job.id}: cancelled" == entry.value for entry in app.markdown)


def test_an_empty_registry_says_so(tmp_path):
    def page(folder):
        from pathlib import Path

        from ui.job_panel import job_panel

        job_panel(Path(folder) / "none")

    app = AppTest.from_function(page, args=(str(tmp_path),), default_timeout=30).run()
    assert [entry.value for entry in app.caption] == ["No jobs yet."]
