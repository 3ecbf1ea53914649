"""RESULTS.md: one section a script, replaced as a whole when the script is run again."""

from __future__ import annotations

import os
import platform
import re
from datetime import date
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"


def write_section(name: str, text: str, path: Path = RESULTS) -> None:
    """Writes `text` under the heading `name`, with the machine and the day, and prints it."""
    body = f"## {name}\n\n{machine()}, {date.today():%Y-%m-%d}.\n\n{text.strip()}\n"
    old = (
        path.read_text(encoding="utf-8") if path.is_file() else "# Measured\n\nEach section is written by its script.\n"
    )
    pattern = re.compile(rf"^## {re.escape(name)}\n.*?(?=^## |\Z)", flags=re.MULTILINE | re.DOTALL)
    new = pattern.sub(lambda _: body + "\n", old) if pattern.search(old) else f"{old.rstrip()}\n\n{body}"
    path.write_text(new.rstrip() + "\n", encoding="utf-8")
    print(body)


def machine() -> str:
    """Processor, cores, accelerator, versions: what a figure means little without."""
    import torch

    model = platform.processor() or platform.machine()
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        model = found[1] if found else model
    except OSError:
        pass
    parts = [f"{model}, {os.cpu_count()} cores"]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join([*parts, f"Python {platform.python_version()}", f"torch {torch.__version__}"])


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
