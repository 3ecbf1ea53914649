"""An application of another package, installed from outside the tree, at every door; and broken ones."""

import csv
import json
import re
import subprocess
import sys

import pytest
from foreign import EXAMPLE, install, install_example, installed
from ranks_of_cli import as_two
from streamlit.testing.v1 import AppTest

from apps import cli, home
from apps.cards import check
from polyhead import application
from polyhead.application import BrokenApplication, cards_folder, find_part, load_application, load_part
from ui.run_choice import card_of

LIGHT = "import sys; from apps.cli import main\ntry: main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"
MODULE = (
    "from polyhead.application import Application\nAPP = Application({!r}, 'A title', {{}}, (), lambda preset: {{}})\n"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The example, installed."""
    folder = tmp_path_factory.mktemp("site")
    install_example(folder)
    with installed(folder):
        yield folder


@pytest.fixture(scope="module")
def trained(site, tmp_path_factory):
    """A sample and a short training, by the command line."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        for words in (["sample", folder / "data"], ["train", folder / "data", "-o", folder / "run", "-q"]):
            patch.setattr(sys, "argv", ["polyhead", "tabular", *map(str, words)])
            with pytest.raises(SystemExit) as ended:
                cli.main()
            assert ended.value.code == 0
    return folder


def test_the_example_is_small_enough_to_be_one():
    lines = [line for file in EXAMPLE.rglob("*.py") for line in file.read_text().splitlines() if line.strip()]
    assert len(lines) < 300


def test_it_is_listed_without_a_heavy_import(site):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIGHT, "info", "--json"], capture_output=True, text=True, check=True
    )
    about = json.loads(done.stdout)
    assert about["applications"]["tabular"]["systems"]["shared-mlp"]["presets"] == ["small"]
    assert about["broken"] == {} and "ultrasound" in about["applications"]
    assert done.stderr == "False\n"


def test_its_command_line_is_one_of_polyhead(site, polyhead, tmp_path):
    status, out, _ = polyhead("--help")
    assert status == 0 and "tabular" in out and "Tables: several questions" in out
    status, out, _ = polyhead("tabular", "train", "data", "-o", tmp_path / "run", "--set", "width=8", "--dry-run")
    shown = json.loads(out)
    assert status == 0 and shown["presets"] == ["small"]
    assert shown["configuration"]["width"] == 8 and shown["configuration"]["training"]["device"] == "auto"
    status, _, err = polyhead("tabular", "train", "data", "-o", tmp_path / "run", "--preset", "smal")
    assert (status, err) == (2, "error: --preset: unknown preset 'smal'; known: small\n")
    status, _, err = polyhead("tabular", "train", tmp_path, "-o", tmp_path / "run")
    assert status == 2 and err.startswith("error: there are no tables in")


def test_it_trains_and_answers_a_folder_with_a_broken_file(trained, polyhead, tmp_path):
    assert json.loads((trained / "run" / "run.json").read_text())["finished"] is True
    tables = tmp_path / "tables"
    tables.mkdir()
    for name in ("06.csv", "07.csv"):
        (tables / name).write_bytes((trained / "data" / "test" / name).read_bytes())
    (tables / "broken.csv").write_text("ash,hue\n1,2\n")
    status, out, err = polyhead("tabular", "predict", trained / "run", tables, "-o", tmp_path / "out")
    assert (status, out) == (3, f"{tmp_path / 'out' / 'summary.html'}\n"), err
    rows = {row["id"]: row for row in map(json.loads, (tmp_path / "out" / "results.jsonl").read_text().splitlines())}
    assert {name: row["status"] for name, row in rows.items()} == {"06": "ok", "07": "ok", "broken": "invalid_input"}
    assert rows["broken"]["reason"].endswith("broken.csv lacks the column magnesium")
    with (tmp_path / "out" / "06" / "answers.csv").open(newline="") as file:
        answers = list(csv.DictReader(file))
    assert len(answers) == rows["06"]["record"]["rows"] == 22
    assert {line["cultivar"] for line in answers} <= {"class_0", "class_1", "class_2"}

    status, out, err = polyhead("tabular", "evaluate", tmp_path / "out", trained / "data", "--json")
    scores = {score["task"]: score for score in json.loads(out)["scores"]}
    assert status == 0 and set(scores) == {"cultivar", "alcohol", "proline"}
    assert (
        scores["cultivar"]["above_baseline"] and scores["cultivar"]["value"] > 0.8 and scores["cultivar"]["rows"] == 44
    )
    assert (tmp_path / "out" / "report.html").is_file() and str(tmp_path / "out" / "report.html") in err


def test_two_processes_train_one_run(trained, tmp_path):
    command = ["tabular", "train", trained / "data", "-o", tmp_path / "run", "--set", "epochs=2"]
    (first, out, err), other = as_two(tmp_path, *command)
    assert (first, out, other) == (0, f"{tmp_path / 'run'}\n", (0, "", "")), err
    assert "finished after 2 epochs in" in err
    for status, _, err in as_two(tmp_path, *command):
        assert status == 2 and f"error: {tmp_path / 'run'} holds a run already; resume it" in err


@pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning")  # other tests import JAX
@pytest.mark.parametrize("workers", [0, 2])
def test_a_row_that_cannot_be_loaded_is_one_line(trained, polyhead, tmp_path, monkeypatch, workers):
    def torn(self, row, seed):
        raise OSError("the table is\ntorn")

    monkeypatch.setattr("tabular.work.Rows.sample", torn)
    command = ["tabular", "train", trained / "data", "-o", tmp_path / "run", "--set", f"training.workers={workers}"]
    status, out, err = polyhead(*command, "-q")
    assert (status, out) == (2, "")
    assert re.fullmatch(r"error: task '\w+', row \d+: OSError: the table is torn\n", err), err


def test_nothing_to_answer_and_a_run_of_another_application(trained, polyhead, tmp_path):
    status, _, err = polyhead("tabular", "predict", trained / "run", tmp_path / "gone", "-o", tmp_path / "out")
    assert (status, err) == (4, f"error: there is no file, folder or glob match {tmp_path / 'gone'}\n")
    info = json.loads((trained / "run" / "run.json").read_text()) | {"application": "other"}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps(info))
    status, _, err = polyhead("tabular", "predict", tmp_path / "run", tmp_path, "-o", tmp_path / "out")
    assert status == 2 and err.startswith(f"error: {tmp_path / 'run'} is a run of other")


def test_its_demonstration_goes_on_where_it_stopped(site, polyhead, tmp_path):
    status, _, err = polyhead("demo", "tabular", "-o", tmp_path)
    assert status == 0 and "[4/4] evaluate: " in err, err
    report = tmp_path / "tabular" / "report.html"
    assert str(report) in err and "Wines" in report.read_text()
    status, _, err = polyhead("demo", "tabular", "-o", tmp_path)
    assert status == 0 and "2 skipped in" in err and "[3/3] evaluate: " in err


def test_its_cards_are_checked_where_it_keeps_them(site, tmp_path):
    assert check() == []
    assert cards_folder("tabular") == site / "tabular" / "cards"
    assert cards_folder("ultrasound") is None
    card = site / "tabular" / "cards" / "tabular-small" / "card.md"
    assert card_of("tabular", "small") == card
    whole = card.read_text()
    try:
        card.write_text(whole.replace("parameters: 4933", "parameters: 12"))
        assert [str(each) for each in check()] == [
            "tabular-small: the front matter says `parameters: 12`, the code makes it 4933"
        ]
        card.unlink()
        assert [str(each) for each in check()] == [
            "tabular-small: the code names it, and there is no tabular-small/card.md"
        ]
    finally:
        card.write_text(whole)


def test_its_page_is_among_the_pages_and_shows_its_run(trained, monkeypatch):
    monkeypatch.setenv("POLYHEAD_RUNS", str(trained))
    monkeypatch.setenv("POLYHEAD_DEMO", str(trained / "nothing"))
    monkeypatch.setenv("POLYHEAD_DATA_ROOTS", str(trained))
    assert "tabular" in home.pages()
    overview = AppTest.from_file(str(home.__file__), default_timeout=60).run()
    assert not overview.exception
    assert "Tables: several questions about each line, answered by one network" in [s.value for s in overview.subheader]

    page = AppTest.from_string("from polyhead.application import load_part; load_part('tabular', 'page').render()")
    page.default_timeout = 60
    page.run()
    assert not page.exception
    assert [title.value for title in page.title] == [load_application("tabular").title]
    assert any("Two layers of 64 units" in text.value for text in page.markdown)
    page.text_input(key="batch-path").input(str(trained / "data" / "test")).run()
    assert not page.exception and [info.value for info in page.info] == ["2 cases"]
    assert page.button(key="start-job").label == "Start the job on 2 cases"


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Six packages whose applications cannot be used, each for a reason of its own."""
    site = tmp_path / "site"
    install(site, "lost-package", {"lost": "lost.application:LOST"}, {"lost/application.py": "import no_such_thing\n"})
    install(site, "loose-package", {"loose": "loose:APP"}, {"loose.py": MODULE.format("loose")})
    install(site, "wrong-package", {"wrong": "loose:APP"})
    install(site, "greedy-package", {"info": "loose:APP"})
    install(site, "crowded-package", {"crowded": "crowded:APP"}, {"crowded/__init__.py": MODULE.format("crowded")})
    install(site, "other-package", {"crowded": "other:APP"}, {"other/__init__.py": MODULE.format("crowded")})
    with installed(site):
        yield


REASONS = {
    "crowded": "is registered by crowded-package 1.0 and other-package 1.0; remove one of them",
    "info": "of greedy-package 1.0 cannot be used: its name is a command of polyhead",
    "loose": "of loose-package 1.0 cannot be used: loose lies in no package; put it into one, beside its cli.py",
    "lost": "of lost-package 1.0 cannot be used: ModuleNotFoundError: No module named 'no_such_thing'",
    "wrong": "of wrong-package 1.0 cannot be used: loose:APP is no polyhead.application.Application of this name",
}


def test_broken_applications_are_a_line_each_and_leave_the_others_alone(broken, polyhead):
    status, out, _ = polyhead("info", "--json")
    about = json.loads(out)
    assert status == 0 and {"genomics", "pde", "ultrasound"} <= set(about["applications"])
    assert about["broken"] == {name: f"the application {name!r} {reason}" for name, reason in REASONS.items()}
    status, out, _ = polyhead("info")
    assert status == 0 and out.endswith("".join(f"the application {name!r} {REASONS[name]}\n" for name in REASONS))
    status, out, _ = polyhead("--help")
    assert status == 0 and "the application 'lost' of lost-package" in " ".join(out.split())
    for words in (["lost", "train"], ["lost", "--help"], ["demo", "lost"]):
        assert polyhead(*words) == (2, "", f"error: the application 'lost' {REASONS['lost']}\n")
    assert [str(each) for each in check()] == [f"{name}: the application {name!r} {REASONS[name]}" for name in REASONS]


def test_broken_applications_stand_on_the_home_page_with_their_reason(broken):
    assert not set(REASONS) & set(home.pages())
    overview = AppTest.from_file(str(home.__file__), default_timeout=60).run()
    assert not overview.exception
    assert [error.value for error in overview.error] == [
        f"The application {name!r} {reason}." for name, reason in REASONS.items()
    ]


def test_parts_that_are_not_there(tmp_path, polyhead):
    install(tmp_path, "other-package", {"other": "other:APP"}, {"other/__init__.py": MODULE.format("other")})
    (tmp_path / "other" / "page.py").write_text("1 / 0\n")
    with installed(tmp_path):
        assert find_part("other", "page") and not find_part("other", "demo")
        with pytest.raises(ValueError, match=r"the application 'other' has no demo: there is no module other\.demo"):
            load_part("other", "demo")
        assert polyhead("other", "--help")[0] == 2
        with pytest.raises(BrokenApplication, match="cannot be used: ZeroDivisionError: division by zero"):
            load_part("other", "page")
        page = AppTest.from_string("from apps.home import page_function; page_function('other')()").run()
        assert not page.exception and "ZeroDivisionError" in page.error[0].value


def test_the_commands_of_polyhead_are_reserved():
    root = cli.typer.main.get_command(cli.app)
    assert isinstance(root, cli._Root)
    assert set(cli.TyperGroup.list_commands(root, None)) == application.COMMANDS  # type: ignore[arg-type]
