"""Cards: the shipped ones hold, and each fault of a card is told."""

import pytest

from apps.cards import HEADINGS, check, installed_cards
from polyhead.application import RESEARCH_USE, Application, SystemInfo

APPLICATION = Application(
    name="toy",
    title="A toy",
    data_sets=("toy-data",),
    systems={"one": SystemInfo("One", "a paper", ("small",)), "two": SystemInfo("Two", "another", ("small",))},
    model_facts=lambda preset: {"parameters": 12, "image_size": 32},
)
DATA = {
    "card": "data",
    "license": "apache-2.0",
    "task_categories": "[image-segmentation]",
    "size_categories": "[n<1K]",
    "annotations_creators": "[machine-generated]",
    "source_datasets": "[original]",
}
MODEL = {
    "card": "model",
    "license": "CC-BY-NC-SA-4.0",
    "library_name": "polyhead",
    "tags": "[medical]",
    "datasets": "[toy-data]",
    "metrics": "[dice]",
    "parameters": "12",
    "image_size": "32",
}


def card(front: dict[str, str], sections: dict[str, str]) -> str:
    head = "".join(f"{key}: {value}\n" for key, value in front.items())
    return f"---\n{head}---\n\n# A title\n\n" + "".join(f"## {name}\n\n{text}\n\n" for name, text in sections.items())


def data_sections() -> dict[str, str]:
    return dict.fromkeys(HEADINGS["data"], "Some words.") | {"Redistribution": "Yes.", "Motivation": RESEARCH_USE}


def model_sections() -> dict[str, str]:
    return dict.fromkeys(HEADINGS["model"], "Some words.") | {"Research use only": RESEARCH_USE}


@pytest.fixture
def cards(tmp_path):
    """Writes both cards, with changes, and gives the problems found, the name of their card left out where it can."""

    def problems(
        name: str = "", front: dict[str, str | None] | None = None, sections: dict[str, str | None] | None = None
    ):
        for each, keys, texts in (("toy-data", DATA, data_sections()), ("toy-small", MODEL, model_sections())):
            changed = keys | (front or {}) if each == name else keys
            words = texts | (sections or {}) if each == name else texts
            (tmp_path / each).mkdir(exist_ok=True)
            text = card(
                *({key: value for key, value in part.items() if value is not None} for part in (changed, words))
            )
            (tmp_path / each / "card.md").write_text(text)
        return [str(problem) for problem in check(tmp_path, [APPLICATION])]

    return problems


def test_good_cards_hold(cards):
    assert cards() == []


@pytest.mark.parametrize(
    ("name", "front", "problem"),
    [
        ("toy-data", {"size_categories": None}, "toy-data: the front matter lacks size_categories"),
        ("toy-small", {"metrics": "[]"}, "toy-small: the front matter lacks metrics"),
        (
            "toy-data",
            {"license": "my-own"},
            "toy-data: the licence 'my-own' is no SPDX identifier; take one, or `other`",
        ),
        (
            "toy-data",
            {"license": "other", "license_name": "x"},
            "toy-data: the licence is `other`, and the front matter",
        ),
        ("toy-small", {"parameters": "13"}, "toy-small: the front matter says `parameters: 13`, the code makes it 12"),
        ("toy-small", {"image_size": "64"}, "toy-small: the front matter says `image_size: 64`, the code makes it 32"),
        ("toy-small", {"datasets": "[gone]"}, "toy-small: the data set gone has no card"),
        ("toy-small", {"card": "data"}, "toy-small: the front matter says `card: data`, not `card: model`"),
        ("toy-data", {"license": "[open"}, "the front matter is no YAML"),
    ],
)
def test_faults_of_the_front_matter(cards, name, front, problem):
    (found,) = cards(name, front=front)
    assert problem in found


def test_another_licence_with_name_and_link_holds(cards):
    link = {"license": "other", "license_name": "terms of the toy", "license_link": "https://example.org/terms"}
    assert cards("toy-data", front=link) == []


@pytest.mark.parametrize(
    ("name", "sections", "problem"),
    [
        ("toy-data", {"Personal data": None}, "toy-data: the section `## Personal data` is missing"),
        ("toy-small", {"Training": ""}, "toy-small: the section `## Training` is empty"),
        ("toy-small", {"Training": "x TODO"}, "toy-small: line 24 is unfinished: TODO"),
        (
            "toy-small",
            {"Evaluation": "[More Information Needed]"},
            "toy-small: line 28 is unfinished: More Information",
        ),
        ("toy-small", {"Research use only": "Mind."}, f"toy-small: it does not say: {RESEARCH_USE}"),
        (
            "toy-data",
            {"Redistribution": "It depends."},
            "toy-data: the section `## Redistribution` must begin with Yes",
        ),
    ],
)
def test_faults_of_the_sections(cards, name, sections, problem):
    (found,) = cards(name, sections=sections)
    assert found.startswith(problem)


def test_cards_and_code_name_each_other(cards, tmp_path):
    assert cards() == []
    (tmp_path / "toy-data").rename(tmp_path / "old-data")
    assert [str(problem) for problem in check(tmp_path, [APPLICATION])] == [
        "old-data: no data set or preset of this name is in the code; remove or rename it",
        "toy-data: the code names it, and there is no toy-data/card.md",
        "toy-small: the data set toy-data has no card",
    ]
    with pytest.raises(ValueError, match="is no folder of cards"):
        check(tmp_path / "absent")


def test_the_installed_cards_hold():
    assert check() == []
    shipped = {path.parent.name for path in installed_cards().glob("*/card.md")}
    assert {name for name in shipped if not name.startswith(("genomics-", "pde-"))} == {
        "fm-uia",
        "ultrasound-mh-mtl",
        "ultrasound-mh-mtl-plus",
        "ultrasound-simulator",
        "ultrasound-tiny",
    }
    assert {"pde-fisher-data", "pde-mt-deeponet-darcy", "pde-tiny-plate"} < shipped
