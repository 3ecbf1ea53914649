"""A server with a small run, and a real browser in front of it; without a Chromium these tests say so and skip."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2] / "apps" / "home.py"
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TASKS = {
    "breast_lesion": ("segmentation", 2),
    "breast_3cls": ("classification", 3),
    "thyroid_nodule_det": ("detection", 1),
    "IUGC": ("keypoints", 3),
}


def find_chromium() -> str | None:
    """A Chromium of the system, or the one that playwright installs."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if (found := shutil.which(name)) is not None:
            return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if path and Path(path).exists() else None


def make_run(folder: Path) -> None:
    """A run of the tiny preset with weights as they are before training: its answers mean nothing."""
    import torch

    from domains.medical.ultrasound.networks.network import build_model, task_specs
    from domains.medical.ultrasound.presets import PRESETS
    from polyhead.runs.run import Run, RunInfo

    torch.manual_seed(0)
    config = PRESETS["tiny"]
    tasks = task_specs(TASKS, config)
    info = RunInfo(
        application="ultrasound",
        system=config.system,
        preset=config.preset,
        tasks=tasks.to_json(),
        configuration=config.model_dump(mode="json"),
        notes="untrained, for a test",
    )
    run = Run.begin(folder, info)
    run.save_weights(build_model(tasks, config.network).state_dict())
    run.finish({})


@pytest.fixture(scope="session")
def workspace(tmp_path_factory) -> Path:
    """The folder that the server works in: runs, and a study of four pictures of which one is broken."""
    from PIL import Image

    from domains.medical.ultrasound.simulator import phantom

    folder = tmp_path_factory.mktemp("pages")
    make_run(folder / "runs" / "untrained")
    study = folder / "study"
    study.mkdir()
    for seed in range(3):
        Image.fromarray(phantom("breast_lesion", seed, (192, 256)).image).save(study / f"breast {seed}.png")
    (study / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    return folder


@pytest.fixture(scope="session")
def server(workspace):
    """Address of a running server."""
    from ui.server import command

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "POLYHEAD_RUNS": str(workspace / "runs"),
        "POLYHEAD_DEMO": str(workspace / "demo"),
        "POLYHEAD_DATA_ROOTS": str(workspace),
        "TMPDIR": str(workspace),
        "OMP_NUM_THREADS": "2",
    }
    with (workspace / "server.log").open("wb") as log:
        process = subprocess.Popen(command(HOME, port), env=environment, stdout=log, stderr=log, cwd=workspace)
    try:
        _wait_until_healthy(port, process, workspace / "server.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_healthy(port: int, process: subprocess.Popen, log: Path) -> None:
    limit = time.monotonic() + 40
    while time.monotonic() < limit:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the server does not answer: {log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium found: install one (Debian: apt install chromium; or: playwright install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def screen(browser):
    """A fresh page of 1280 x 1600 pixels; errors of its scripts fail the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 1600}, accept_downloads=True)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    # A model is loaded and asked behind some clicks: a slow machine takes its time.
    page.set_default_timeout(200_000)
    yield page
    context.close()
    assert errors == []
