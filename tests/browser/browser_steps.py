"""What the browser tests of all pages do: wait for a page to settle, keep a picture of it."""

from __future__ import annotations

import os
from pathlib import Path


def settled(page) -> None:
    """Waits until the script of the page has run to its end."""
    for _ in range(2):
        page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
        page.wait_for_timeout(150)


def seen(locator) -> None:
    """Waits until a match is visible and the page has settled: until then, what it replaces may stand there too."""
    locator.first.wait_for()
    settled(locator.page)


def picture(page, name: str) -> None:
    """Keeps a screenshot where POLYHEAD_SCREENSHOTS names a folder."""
    folder = os.environ.get("POLYHEAD_SCREENSHOTS")
    if folder:
        # Charts are drawn in a moment of their own.
        page.wait_for_timeout(1000)
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"{name}.png"))
