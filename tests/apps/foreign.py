"""Installs applications of other packages into a folder, as pip would, and takes them away again."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from polyhead import application

EXAMPLE = Path(__file__).parents[2] / "docs" / "example"


def install(site: Path, package: str, entries: Mapping[str, str], modules: Mapping[str, str] | None = None) -> None:
    """Writes the metadata of a package, and its modules by their paths."""
    about = site / f"{package.replace('-', '_')}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {value}\n" for name, value in entries.items()]
    (about / "entry_points.txt").write_text("".join([f"[{application.GROUP}]\n", *lines]))
    for path, text in (modules or {}).items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)


def install_example(site: Path) -> None:
    """The example of the documentation, far from the tree that it is written in."""
    install(site, "polyhead-tabular", {"tabular": "tabular.application:TABULAR"})
    shutil.copytree(EXAMPLE / "tabular", site / "tabular")


@contextmanager
def installed(site: Path) -> Iterator[None]:
    """`site` is searched for packages, in this process and in those that it starts."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
        _forget(before)
        yield
    _forget(before)


def _forget(before: set[str]) -> None:
    """What was found among the packages, and the modules that were imported from them."""
    application._registered.cache_clear()
    application._load.cache_clear()
    importlib.invalidate_caches()
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("tabular", "lost", "loose", "crowded", "other"):
            del sys.modules[name]
