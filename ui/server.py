"""How the pages are served: the command line of Streamlit with our settings and colours.

The settings travel as flags, so that they hold in whatever folder the command is started.
"""

from __future__ import annotations

import sys
from pathlib import Path

UPLOAD_MB = 200
"""Largest single upload; larger studies are named as a folder on the server."""

SETTINGS: dict[str, str] = {
    "server.fileWatcherType": "none",
    "server.showEmailPrompt": "false",
    "server.enableXsrfProtection": "true",
    "server.enableCORS": "true",
    "server.maxUploadSize": str(UPLOAD_MB),
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "viewer",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": "false",
    "theme.light.primaryColor": "#0b5c7a",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f1f4f6",
    "theme.light.textColor": "#1b262c",
    "theme.light.linkColor": "#0b5c7a",
    "theme.light.borderColor": "#c5d0d6",
    "theme.dark.primaryColor": "#6cc0de",
    "theme.dark.backgroundColor": "#12181c",
    "theme.dark.secondaryBackgroundColor": "#1d262c",
    "theme.dark.textColor": "#e8eef1",
    "theme.dark.linkColor": "#8fd0e8",
    "theme.dark.borderColor": "#3b4a52",
    "theme.baseRadius": "small",
    "theme.showWidgetBorder": "true",
}
"""Error details stay on the server: a traceback can carry paths and the names of patients."""


def command(page: Path, port: int = 8501, address: str = "127.0.0.1", headless: bool = True) -> list[str]:
    """The command that serves `page`; only this machine can reach it unless `address` says otherwise.

    Args:
        page: the script that Streamlit starts at.
        port: port to listen on.
        address: address to listen on.
        headless: False opens a browser.
    """
    flags = SETTINGS | {"server.port": str(port), "server.address": address, "server.headless": str(headless).lower()}
    return [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(page),
        *(f"--{name}={value}" for name, value in flags.items()),
    ]
