"""The PDE page in a real browser: fields at once, a drawn geometry, the solver, downloads, and a job."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from browser_steps import picture, seen, settled
from pde_runs import make_run

from polyhead.application import RESEARCH_USE

pytestmark = pytest.mark.browser

FACTS = "Time of the operator"


@pytest.fixture(scope="session")
def runs(workspace) -> Path:
    """Runs of the three problems in the workspace of the server, and the data that they were trained on."""
    for problem in ("fisher", "darcy", "plate"):
        make_run(problem, workspace / "pde-data" / problem, workspace / "runs" / f"pde-{problem}")
    return workspace


def opened(page, server: str, problem: str) -> None:
    page.goto(f"{server}/pde")
    seen(page.get_by_role("heading", name="PDE operators: the field at once"))
    chosen = page.get_by_role("combobox", name="Trained run")
    chosen.click()
    page.get_by_role("option", name=f"pde-{problem}").click()
    seen(page.get_by_text(f"preset tiny-{problem} (pde-{problem})"))
    seen(page.get_by_text(FACTS))


def position(slider) -> float:
    return slider.evaluate("element => Number(element.value ?? element.getAttribute('aria-valuenow'))")


@pytest.mark.parametrize(("problem", "scheme"), [("fisher", "dark"), ("darcy", "light"), ("plate", "dark")])
def test_a_field_at_once_and_the_solver_beside_it(screen, server, runs, problem, scheme):
    screen.emulate_media(color_scheme=scheme)
    opened(screen, server, problem)
    assert screen.get_by_text("against the solver").count() == 0
    picture(screen, f"pde-{problem}-{scheme}")
    screen.get_by_role("button", name="Solve it too, and compare").click()
    seen(screen.get_by_text("against the solver"))
    if problem == "plate":
        assert screen.locator(".gl-container canvas").first.is_visible()
    picture(screen, f"pde-{problem}-solved-{scheme}")
    banner = screen.get_by_role("note", name="Conditions of use")
    assert RESEARCH_USE in banner.inner_text() and "Identity:" in banner.inner_text()


def test_a_polygon_drawn_in_the_table_is_answered_and_sent_as_files(screen, server, runs):
    opened(screen, server, "darcy")
    screen.get_by_test_id("stButtonGroup").get_by_text("Polygon", exact=True).click()
    seen(screen.get_by_text("The geometry polygon is not the one"))
    before = screen.get_by_text("inside of").inner_text()
    # The first corner goes from x = 0.1 to x = 0.5: what is left is smaller.
    cells = screen.get_by_test_id("stDataFrame").first
    settled(screen)
    cells.scroll_into_view_if_needed()
    editor = screen.get_by_test_id("stDataFrameNumberInput").or_(screen.locator(".gdg-input")).first
    # A table that is drawn anew forgets which cell was chosen: it is chosen until its editor stands there.
    for _ in range(20):
        box = cells.bounding_box()
        screen.mouse.click(box["x"] + 80, box["y"] + 52)
        # Enter opens the cell; letters typed before it is open would be lost.
        screen.keyboard.press("Enter")
        screen.wait_for_timeout(1000)
        if editor.is_visible():
            break
    seen(editor)
    screen.keyboard.press("Control+a")
    screen.keyboard.type("0.5", delay=60)
    screen.keyboard.press("Enter")
    screen.get_by_text(before).wait_for(state="detached")
    settled(screen)
    after = screen.get_by_text("inside of").inner_text()
    assert int(after.split()[0]) < int(before.split()[0])
    picture(screen, "pde-polygon")
    with screen.expect_download() as started:
        screen.get_by_role("button", name="Everything (zip)").click()
    with zipfile.ZipFile(io.BytesIO(Path(started.value.path()).read_bytes())) as archive:
        assert {"field.npz", "field.vtu", "plot.png", "result.json", "input/request.json"} <= set(archive.namelist())
        asked = json.loads(archive.read("input/request.json"))
        assert asked["geometry"]["polygon"][0] == [0.5, 0.05] and len(asked["geometry"]["polygon"]) == 5
        with np.load(io.BytesIO(archive.read("field.npz"))) as field:
            assert field["mask"].sum() == int(after.split()[0])
        assert json.loads(archive.read("result.json"))["research_use"] == RESEARCH_USE


def test_a_job_over_a_data_folder_outlives_a_reload(screen, server, runs):
    opened(screen, server, "darcy")
    screen.get_by_role("tab", name="Folder").click()
    field = screen.get_by_label("Folder, file or list of paths on the server")
    field.fill(str(runs / "pde-data" / "darcy"))
    field.press("Enter")
    screen.get_by_role("button", name="Start the job on 6 cases").click()
    seen(screen.get_by_text("darcy: 6 cases"))
    screen.reload()
    settled(screen)
    screen.get_by_role("tab", name="Folder").click()
    seen(screen.get_by_text("darcy: 6 cases"))
    seen(screen.get_by_text("Done, 6 of 6 cases"))
    seen(screen.get_by_text("6 cases: 6 done"))
    picture(screen, "pde-job")


def test_the_page_works_by_keyboard_and_has_words_for_its_pictures(screen, server, runs):
    opened(screen, server, "fisher")
    slider = screen.get_by_role("slider", name="Rate [1/s]")
    before = position(slider)
    slider.focus()
    screen.keyboard.press("ArrowRight")
    settled(screen)
    assert position(slider) > before
    charts, unnamed = screen.evaluate(
        """() => {
            const charts = [...document.querySelectorAll('[data-testid=stPlotlyChart]')]
            const named = chart => chart.querySelector('[aria-label]') || chart.getAttribute('aria-label')
                || chart.closest('[aria-label]')
            return [charts.length, charts.filter(chart => !named(chart)).length]
        }"""
    )
    # The input function, the field, and the profile.
    assert charts == 3 and unnamed == 0
    assert screen.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") != "none"
    screen.get_by_role("tab", name="About this model").click()
    seen(screen.get_by_text("Trained on, Fisher"))
    picture(screen, "pde-about")
