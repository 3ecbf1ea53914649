"""The page that Streamlit starts at."""

import subprocess
import sys
from pathlib import Path

from streamlit.testing.v1 import AppTest

from apps import home
from polyhead.application import RESEARCH_USE

HOME = Path(home.__file__)


def test_the_pages_are_those_of_the_installed_applications():
    assert {"genomics", "pde", "ultrasound"} <= set(home.pages())


def test_the_overview_says_the_conditions_and_names_the_applications():
    app = AppTest.from_file(str(HOME), default_timeout=30).run()
    assert not app.exception
    assert any(RESEARCH_USE in str(entry.proto) for entry in app.get("html"))
    assert [entry.value for entry in app.title] == ["polyhead"]


def test_opening_a_page_does_not_import_torch():
    script = "import sys, apps.ultrasound.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
