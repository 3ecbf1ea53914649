"""Splits share no image, keep tasks and classes in proportion, and depend on the seed alone."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.data.splits import Split, fold_rows, group_of, split_rows


def row(task: str, name: str, label: int | None = None, root: str = "/data") -> Row:
    kind = "segmentation" if label is None else "classification"
    return Row(task, kind, 8, Path(root, name), f"../{name}", label=label)


def many() -> list[Row]:
    """Three tasks: 300 masks, 200 of whose images have one of 3 unequal classes, and 7 rows of a small task."""
    rows = [row("lesion", f"i{k:03}.png") for k in range(300)]
    rows += [row("type", f"i{k:03}.png", 0 if k < 150 else 1 if k < 190 else 2) for k in range(200)]
    return rows + [row("small", f"i{k:03}.png", 1) for k in range(250, 257)]


def images(rows) -> set[Path]:
    return {each.image for each in rows}


def test_no_image_is_on_both_sides_and_no_row_is_lost():
    split = split_rows(many(), seed=3)
    assert not images(split.train) & images(split.validation)
    assert Counter(split.train + split.validation) == Counter(many())


@pytest.mark.parametrize("seed", range(5))
def test_every_task_and_class_has_its_share(seed):
    split = split_rows(many(), fraction=0.2, seed=seed)
    tasks = Counter(each.task for each in split.validation)
    assert abs(tasks["lesion"] - 60) <= 1 and abs(tasks["type"] - 40) <= 1 and tasks["small"] in (1, 2)
    classes = Counter(each.label for each in split.validation if each.task == "type")
    assert abs(classes[0] - 30) <= 1 and abs(classes[1] - 8) <= 1 and abs(classes[2] - 2) <= 1


def test_single_label_counts_are_exact():
    rows = [row("type", f"{k}.png", k % 4) for k in range(100)]
    split = split_rows(rows, fraction=0.2)
    assert Counter(each.label for each in split.validation) == {0: 5, 1: 5, 2: 5, 3: 5}


def test_order_place_and_repetition_do_not_matter():
    rows = many()
    split = split_rows(rows, seed=7)
    random.Random(0).shuffle(rows)
    assert split_rows(rows, seed=7) == split
    moved = split_rows([replace(each, image=Path("/elsewhere", each.image.name)) for each in rows], seed=7)
    assert moved.to_json() == split.to_json()
    assert split_rows(rows, seed=8).to_json()["hash"] != split.to_json()["hash"]


def test_small_tasks_keep_training_rows_and_get_one_to_validate():
    rows = [row("one", "a.png"), row("two", "b.png"), row("two", "c.png"), row("rare", "d.png", 0)]
    rows += [row("rare", f"e{k}.png", 1) for k in range(9)]
    for seed in range(10):
        split = split_rows(rows, fraction=0.2, seed=seed)
        train, validation = (Counter(each.task for each in side) for side in (split.train, split.validation))
        assert train["one"] == 1 and train["two"] == validation["two"] == 1 and validation["rare"] == 2
        assert any(each.label == 0 for each in split.train)


def test_equal_contents_stay_together():
    rows = [row("t", f"{k}.png", k % 2) for k in range(40)]
    contents = {each.image: str(k // 4) for k, each in enumerate(rows)}
    split = split_rows(rows, contents=contents)
    assert not {contents[each.image] for each in split.train} & {contents[each.image] for each in split.validation}
    assert split.settings["by_content"] is True


def test_patients_stay_together():
    rows = [row("t", f"p{k // 5:02}_{k % 5}.png") for k in range(100)]
    split = split_rows(rows, by="group")
    assert not {p.name[:3] for p in images(split.train)} & {p.name[:3] for p in images(split.validation)}
    assert len(split.validation) == 20 and split.settings["without_group"] == 0
    chosen = split_rows(rows, by="group", group_pattern=r"_(\d)\.png$")
    assert {p.name[-5] for p in images(chosen.validation)} & {p.name[-5] for p in images(chosen.train)} == set()
    assert len(chosen.validation) == 20


def test_a_huge_patient_stays_in_training():
    rows = [row("t", f"p01_{k}.png") for k in range(60)] + [row("t", f"p{k}_1.png") for k in range(10, 50)]
    for seed in range(5):
        assert len(split_rows(rows, by="group", seed=seed).validation) == 20


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("../a/p012_frame_03.png", "../a/p012_frame"),
        ("../a/0012_04.png", "../a/0012"),
        ("..\\a\\0012_04.png", "../a/0012"),
        ("../a/case 7 (2).png", "../a/case 7"),
        ("../a/benign (4).png", None),
        ("../a/871.png", None),
        ("../a/scan.png", None),
    ],
)
def test_the_patient_that_a_name_names(path, group):
    assert group_of(path) == group


def test_bad_settings_are_one_line():
    rows = many()
    for options, words in [
        ({"fraction": 0.0}, "fraction must lie"),
        ({"by": "group", "group_pattern": "("}, "no regular expression"),
        ({"by": "group", "group_pattern": "i"}, "has no group"),
        ({"by": "group", "group_pattern": "(patient)"}, "matches no image path"),
        ({"by": "patient"}, "by must be"),
    ]:
        with pytest.raises(ValueError, match=words):
            split_rows(rows, **options)
    with pytest.raises(ValueError, match="no rows"):
        split_rows([])
    with pytest.raises(ValueError, match="folds must lie between 2"):
        fold_rows(rows, 1)
    with pytest.raises(ValueError, match=r"number of images or groups \(300\)"):
        fold_rows(rows, 301)


def test_folds_part_the_rows():
    splits = fold_rows(many(), 5, seed=2)
    assert Counter(each for split in splits for each in split.validation) == Counter(many())
    for split in splits:
        assert not images(split.train) & images(split.validation)
        tasks = Counter(each.task for each in split.validation)
        assert abs(tasks["lesion"] - 60) <= 2 and abs(tasks["type"] - 40) <= 2 and tasks["small"] in (1, 2)
        classes = Counter(each.label for each in split.validation if each.task == "type")
        assert abs(classes[0] - 30) <= 1 and abs(classes[1] - 8) <= 1 and abs(classes[2] - 2) <= 1
    shuffled = many()
    random.Random(1).shuffle(shuffled)
    assert fold_rows(shuffled, 5, seed=2) == splits
    assert {split.settings["fold"] for split in splits} == set(range(5))


def test_a_task_of_one_image_is_trained_in_every_fold():
    rows = [row("one", "a.png"), *(row("t", f"{k}.png") for k in range(6))]
    assert all(rows[0] in split.train for split in fold_rows(rows, 3))


def test_a_record_gives_the_split_back():
    split = split_rows(many(), seed=5)
    data = split.to_json()
    assert Split.from_json(data, reversed(many())) == split
    assert set(data["validation"]) == {each.image_path for each in split.validation}
    with pytest.raises(ValueError, match=r"1 images are in no side of the recorded split, e\.g\. \.\./new\.png"):
        Split.from_json(data, [*many(), row("lesion", "new.png")])
    with pytest.raises(ValueError, match="missing, though in the recorded split"):
        Split.from_json(data, [each for each in many() if each.image.name != "i299.png"])
    with pytest.raises(ValueError, match="altered"):
        Split.from_json({**data, "train": data["train"][1:]}, many())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 12), st.integers(0, 2)), min_size=1, max_size=40),
    st.floats(0.05, 0.95),
    st.integers(0, 3),
)
def test_whatever_the_rows(entries, fraction, seed):
    rows = [row(task, f"{name}.png", label) for task, name, label in dict.fromkeys(entries)]
    split = split_rows(rows, fraction=fraction, seed=seed)
    assert not images(split.train) & images(split.validation)
    assert Counter(split.train + split.validation) == Counter(rows)
    assert {each.task for each in split.train} == {each.task for each in rows}
