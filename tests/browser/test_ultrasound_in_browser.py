"""The ultrasound page in a real browser: an image from drop to zip, and a job that outlives a reload."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from browser_steps import picture, seen, settled

from polyhead.application import RESEARCH_USE

pytestmark = pytest.mark.browser


def opened(page, server: str) -> None:
    page.goto(f"{server}/ultrasound")
    seen(page.get_by_role("heading", name="Ultrasound: one network, many tasks"))


def test_the_overview_leads_to_the_page(screen, server):
    screen.goto(server)
    seen(screen.get_by_role("heading", name="polyhead", exact=True))
    assert screen.get_by_role("note", name="Conditions of use").inner_text().startswith(RESEARCH_USE)
    picture(screen, "overview")
    screen.locator("[data-testid=stPageLink] a[href$=ultrasound]").click()
    seen(screen.get_by_role("heading", name="Ultrasound: one network, many tasks"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_image_from_drop_to_zip(screen, server, workspace, scheme):
    screen.emulate_media(color_scheme=scheme)
    opened(screen, server)
    screen.locator("input[type=file]").set_input_files(
        [workspace / "study" / "breast 1.png", workspace / "study" / "broken.png"]
    )
    seen(screen.get_by_text("1 of 2 files can be analysed"))
    screen.get_by_text("All 4 tasks").click()
    button = screen.get_by_role("button", name="Analyse 1 picture for 4 tasks")
    seen(button)
    picture(screen, f"check-{scheme}")
    button.click()
    seen(screen.get_by_role("heading", name="4. Results"))
    seen(screen.get_by_role("table", name="Measurements"))
    seen(screen.locator(".js-plotly-plot .bars"))
    shown = screen.get_by_test_id("stImage").locator("img").first
    assert shown.evaluate("image => image.naturalWidth") >= 512
    assert "breast 1.png" in shown.get_attribute("alt")
    picture(screen, f"results-{scheme}")
    with screen.expect_download() as started:
        screen.get_by_role("button", name="Download everything (zip)").click()
    with zipfile.ZipFile(io.BytesIO(Path(started.value.path()).read_bytes())) as archive:
        told = json.loads(archive.read("001 breast 1.png/answers.json"))
        assert set(told["tasks"]) == {"breast_lesion", "breast_3cls", "thyroid_nodule_det", "IUGC"}
        assert sum(told["tasks"]["breast_3cls"]["probabilities"]) == pytest.approx(1, abs=1e-5)
    banner = screen.get_by_role("note", name="Conditions of use")
    banner.scroll_into_view_if_needed()
    assert RESEARCH_USE in banner.inner_text() and "Identity:" in banner.inner_text()


def test_the_banner_stays_in_sight_when_the_page_scrolls(screen, server, workspace):
    screen.set_viewport_size({"width": 1280, "height": 500})
    opened(screen, server)
    screen.locator("input[type=file]").set_input_files([workspace / "study" / "breast 1.png"])
    screen.get_by_role("heading", name="3. Analysis").scroll_into_view_if_needed()
    screen.mouse.move(800, 300)
    screen.mouse.wheel(0, 3000)
    screen.wait_for_timeout(300)
    box = screen.get_by_role("note", name="Conditions of use").bounding_box()
    assert 0 <= box["y"] < 200


def test_a_job_outlives_a_reload_and_shows_its_failures(screen, server, workspace):
    opened(screen, server)
    screen.get_by_text("All 4 tasks").click()
    screen.get_by_role("tab", name="Folder").click()
    field = screen.get_by_label("Folder, file or list of paths on the server")
    field.fill(str(workspace / "study"))
    field.press("Enter")
    screen.get_by_role("button", name="Start the job on 4 pictures").click()
    seen(screen.get_by_text("study: 4 pictures, 4 tasks"))
    screen.reload()
    settled(screen)
    screen.get_by_role("tab", name="Folder").click()
    seen(screen.get_by_text("study: 4 pictures, 4 tasks"))
    seen(screen.get_by_text("Done, some cases failed"))
    seen(screen.get_by_text("1 case without an answer"))
    picture(screen, "job")
    screen.get_by_text("Show the report here").click()
    seen(screen.frame_locator("iframe").get_by_text("broken"))
    picture(screen, "report")


def test_a_running_job_is_cancelled_from_the_page(screen, server, workspace):
    import sys

    from ui.jobs import start_job

    script = (
        "import json, sys, time\n"
        "print(json.dumps({'event': 'progress', 'done': 3, 'failed': 1, 'total': 10}), file=sys.stderr, flush=True)\n"
        "time.sleep(600)"
    )
    job = start_job(workspace / "runs" / "jobs" / "ultrasound", [sys.executable, "-c", script], "a long job")
    try:
        opened(screen, server)
        screen.get_by_role("tab", name="Folder").click()
        seen(screen.get_by_text("4 of 10 cases, 1 failed"))
        picture(screen, "running")
        screen.get_by_role("button", name="Cancel").click()
        seen(screen.get_by_text("Cancelled, 4 of 10 cases"))
        assert job.wait(20).state == "cancelled"
    finally:
        job.cancel()


def test_the_page_has_names_for_its_controls_and_words_for_its_pictures(screen, server, workspace):
    opened(screen, server)
    screen.locator("input[type=file]").set_input_files([workspace / "study" / "breast 0.png"])
    screen.get_by_text("All 4 tasks").click()
    screen.get_by_role("button", name="Analyse 1 picture for 4 tasks").click()
    seen(screen.get_by_role("heading", name="4. Results"))
    unnamed = screen.evaluate(
        """() => [...document.querySelectorAll('img')]
        .filter(image => image.offsetParent && !image.alt && image.getAttribute('role') !== 'presentation').length"""
    )
    assert unnamed == 0
    screen.keyboard.press("Tab")
    focused = screen.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert focused != "none"
