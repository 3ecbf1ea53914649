"""The page that Streamlit starts at: the registered applications, what their systems are, and the way to each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from polyhead.application import BrokenApplication, application_names, find_part, load_application, load_part
from ui.banner import banner
from ui.run_choice import sentence
from ui.runs import demo_folder, find_runs, runs_folder
from ui.table import table
from ui.theme import page_style


def pages() -> list[str]:
    """The installed applications that have a page."""
    return [name for name in application_names() if find_part(name, "page")]


def page_function(name: str) -> Callable[[], None]:
    """Draws an application's page; its module is imported when the page is opened, not before."""

    def draw() -> None:
        try:
            page = load_part(name, "page")
        except BrokenApplication as broken:
            st.error(sentence(broken))
        else:
            page.render()

    return draw


def overview(shown: Mapping[str, st.Page]) -> None:
    """What the suite is, and a card for each application; `shown` are the pages by application."""
    page_style()
    banner()
    st.title("polyhead")
    st.write(
        "Scientific and medical applications on one shared idea: one network with many heads, "
        "which answers many questions about the same input."
    )
    names = application_names()
    if not names:
        st.warning("No application is installed. Install polyhead with its applications.")
    for name in names:
        with st.container(border=True):
            _application(name, shown.get(name))


def _application(name: str, page: st.Page | None) -> None:
    try:
        application = load_application(name)
    except BrokenApplication as broken:
        st.markdown(f"**{name}**")
        st.error(sentence(broken))
        return
    st.subheader(application.title)
    rows = [
        {
            "System": system.title,
            "Source": system.source,
            "Presets": ", ".join(system.presets),
            "Kinds of tasks": ", ".join(system.task_kinds),
            "Notes": system.notes,
        }
        for system in application.systems.values()
    ]
    table(rows, "Systems")
    found = find_runs([runs_folder(), demo_folder()], name)
    usable = sum(entry.run is not None for entry in found)
    st.caption(f"Trained runs on this server: {usable}, in {runs_folder()} and {demo_folder()}.")
    if page is not None:
        st.page_link(page, label="Open the page", icon=":material/arrow_forward:")
    else:
        st.caption(f"This application has no page; use the command line: polyhead {name} --help")


def _title(name: str) -> str:
    """The name of a page; names of three letters are abbreviations."""
    return name.upper() if len(name) <= 3 else name.capitalize()


def main() -> None:
    """Sets the frame of all pages and runs the one that was chosen."""
    st.set_page_config(page_title="polyhead: research use only", layout="wide", page_icon=":material/hub:")
    shown = {
        name: st.Page(page_function(name), title=_title(name), url_path=name, icon=":material/biotech:")
        for name in pages()
    }
    home = st.Page(lambda: overview(shown), title="Overview", icon=":material/home:", default=True)
    st.navigation([home, *shown.values()], position="top").run()


if __name__ == "__main__":
    main()
