"""The genomics page in a real browser: the example through every tab, downloads, and a job that outlives a reload."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from browser_steps import picture, seen, settled
from genomics_runs import make_run

from polyhead.application import RESEARCH_USE

pytestmark = pytest.mark.browser


@pytest.fixture(scope="session")
def runs(workspace) -> Path:
    """A run in the workspace of the server, and the data that it was trained on."""
    make_run(workspace / "genomics-data", workspace / "runs" / "genomics")
    return workspace


def opened(page, server: str) -> None:
    page.goto(f"{server}/genomics")
    seen(page.get_by_role("heading", name="Genomics: one model, many questions to DNA"))


def with_example(page, server: str) -> None:
    opened(page, server)
    page.get_by_role("button", name="Load an example").click()
    seen(page.get_by_role("heading", name="2. Answers"))
    seen(page.get_by_role("button", name="Everything (zip)"))


def tab(page, name: str) -> None:
    page.get_by_role("tab", name=name).click()
    settled(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_example_goes_through_every_tab(screen, server, runs, scheme):
    screen.emulate_media(color_scheme=scheme)
    with_example(screen, server)
    seen(screen.locator(".js-plotly-plot .bars"))
    picture(screen, f"genomics-answers-{scheme}")
    screen.get_by_role("button", name="Write: ").click()
    seen(screen.get_by_text("tokens together").or_(screen.get_by_text("cut it into windows")))
    picture(screen, f"genomics-written-{scheme}")
    tab(screen, "Bases and changes")
    screen.get_by_role("button", name="Change ").click()
    seen(screen.get_by_text("Dots mark the sequence's own bases"))
    picture(screen, f"genomics-bases-{scheme}")
    tab(screen, "Variants")
    screen.get_by_test_id("stButtonGroup").get_by_text("Example", exact=True).click()
    screen.get_by_role("button", name="Score ").click()
    seen(screen.get_by_role("heading", name="3. Effects"))
    seen(screen.get_by_role("table", name="12 variants"))
    picture(screen, f"genomics-variants-{scheme}")
    tab(screen, "About this model")
    seen(screen.get_by_text("This run is not calibrated"))
    picture(screen, f"genomics-about-{scheme}")
    banner = screen.get_by_role("note", name="Conditions of use")
    assert RESEARCH_USE in banner.inner_text() and "Identity:" in banner.inner_text()


def test_answers_are_sent_with_what_stands_behind_them(screen, server, runs):
    with_example(screen, server)
    with screen.expect_download() as started:
        screen.get_by_role("button", name="Everything (zip)").click()
    with zipfile.ZipFile(io.BytesIO(Path(started.value.path()).read_bytes())) as archive:
        assert set(archive.namelist()) == {"answers.tsv", "sequences.fa", "about.json"}
        about = json.loads(archive.read("about.json"))
        assert about["research_use"] == RESEARCH_USE and about["both_strands"]["promoter"] is False
        names, *rows = [line.split("\t") for line in archive.read("answers.tsv").decode().splitlines()]
    first = [dict(zip(names, row, strict=True)) for row in rows if row[0] == "chr1_start" and row[6] == "enhancer"]
    assert [row["label"] for row in first] == ["inactive", "active"]
    assert sum(float(row["probability"]) for row in first) == pytest.approx(1, abs=1e-5)


def test_every_chart_has_words_and_controls_work_by_keyboard(screen, server, runs):
    with_example(screen, server)
    charts, unnamed = screen.evaluate(
        """() => {
            const charts = [...document.querySelectorAll('[data-testid=stPlotlyChart]')]
            const named = chart => chart.querySelector('[aria-label]') || chart.getAttribute('aria-label')
                || chart.closest('[aria-label]')
            return [charts.length, charts.filter(chart => !named(chart)).length]
        }"""
    )
    # Four tasks and the track, and the attribution in the next tab.
    assert charts >= 5 and unnamed == 0
    screen.keyboard.press("Tab")
    assert screen.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_a_job_over_a_file_outlives_a_reload(screen, server, runs):
    opened(screen, server)
    tab(screen, "Files")
    field = screen.get_by_label("File, folder or list of paths on the server")
    field.fill(str(runs / "genomics-data" / "genome.fa"))
    field.press("Enter")
    screen.get_by_role("button", name="Start the job on ").click()
    seen(screen.get_by_text("genome.fa: 1 block"))
    screen.reload()
    settled(screen)
    screen.get_by_role("tab", name="Files").click()
    seen(screen.get_by_text("genome.fa: 1 block"))
    seen(screen.get_by_text("Done, 1 of 1 cases"))
    picture(screen, "genomics-job")
