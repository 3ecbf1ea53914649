"""What every page shows where no trained run is there: the demonstration, and a button that starts it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from ui.batch_jobs import jobs_folder, polyhead
from ui.jobs import start_job


def no_run(application: str, about: str, *, out: Path, tab: str) -> None:
    """What to do where no trained run is there.

    Args:
        application: as the command line calls it.
        about: what its demonstration does, as "The demonstration ...".
        out: folder for the demonstration.
        tab: title of the tab that shows jobs.
    """
    with st.container(border=True):
        st.markdown(f"**No trained model here yet.** {about}:")
        st.code(f"polyhead demo {application}", language="shell")
        st.write("Its result is small and is good for looking around, not for anything else.")
        if st.button("Start the demonstration", key="start-demo"):
            command = polyhead("demo", application, "-o", str(out))
            start_job(jobs_folder(application), command, "Demonstration run", out)
            st.toast(f"The demonstration runs; see the tab {tab} for its progress.")
