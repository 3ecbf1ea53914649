"""The systems that polyhead runs on, and what is said on others."""

from __future__ import annotations

import sys

OLDEST, NEWEST = (3, 11), (3, 13)
"""The Pythons that it is tested with, both included."""


def refused_system(platform: str = sys.platform) -> str | None:
    """Why a platform, a value of `sys.platform`, is none of those that polyhead runs on; None where it is one."""
    if platform.startswith("linux") or platform == "darwin":
        return None
    name = {"win32": "Windows", "cygwin": "Cygwin"}.get(platform, platform)
    return (
        f"polyhead runs on Linux and macOS, not on {name}: it needs POSIX file locks and process groups; "
        "on Windows use WSL (wsl --install)"
    )
