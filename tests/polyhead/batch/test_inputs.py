"""Inputs of a batch: the same files in the same order everywhere, nothing lost without a word."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from polyhead.batch.inputs import Input, Wanted, as_cases, find_inputs, id_names, wanted_of
from polyhead.batch.outcome import NoInput
from polyhead.batch.path_lists import write_path_list
from polyhead.batch.search import PassedOver


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def is_scan(path: Path) -> bool:
    return path.name.endswith((".png", ".nii.gz"))


def find(source: str | Path, **options) -> list[Input]:
    return find_inputs(source, is_scan, looked_for="scans", **options)


def names(source: str | Path, **options) -> list[str]:
    return [each.name for each in find(source, **options)]


def test_a_file_is_taken_whatever_it_is(tmp_path):
    touch(tmp_path, "odd.dat", ".hidden")
    assert find(tmp_path / "odd.dat") == [Input(tmp_path / "odd.dat", "odd.dat")]
    assert names(tmp_path / ".hidden") == [".hidden"]


def test_a_folder_gives_all_below_it_in_the_order_of_names(tmp_path):
    touch(tmp_path, "b.png", "a/z.png", "a/B.png", "a-1/c.png", "a.png", "a/deep/er/x.nii.gz")
    # By the parts of names: the folder a comes before a-1, though '-' is before '/'.
    assert names(tmp_path) == ["a/B.png", "a/deep/er/x.nii.gz", "a/z.png", "a-1/c.png", "a.png", "b.png"]
    assert {each.searched for each in find(tmp_path)} == {tmp_path}


def test_hidden_things_are_left_out_of_folders_globs_and_lists(tmp_path):
    hidden = [".git/x.png", "__MACOSX/y.png", "s/.z.png", "s/._a.png", "s/Thumbs.db", "s/desktop.ini", "s/.DS_Store"]
    touch(tmp_path, "s/a.png", *hidden)
    (tmp_path / "l.txt").write_text("s\n__MACOSX/y.png\n")
    assert names(tmp_path) == ["s/a.png"]
    assert names(tmp_path / "**/*.png") == ["s/a.png"]
    assert names(tmp_path / "s" / "*") == ["a.png"]
    assert names(tmp_path / "l.txt") == ["s/a.png", "__MACOSX/y.png"]
    assert names(tmp_path / "*" / ".z*") == ["s/.z.png"]


def test_links_are_followed_once_and_real_places_come_first(tmp_path):
    touch(tmp_path, "in/z/a.png", "out/b.png", "out/deep/c.png")
    for link, target in (("in/aa", "in/z"), ("in/z/up", "in"), ("in/more", "out"), ("in/again", "out/deep")):
        (tmp_path / link).symlink_to(tmp_path / target)
    (tmp_path / "in" / "self.png").symlink_to("self.png")
    (tmp_path / "in" / "gone.png").symlink_to("nowhere.png")
    expected = ["again/c.png", "gone.png", "more/b.png", "self.png", "z/a.png"]
    assert names(tmp_path / "in") == expected
    assert sorted(Path(name).name for name in names(tmp_path / "in" / "**" / "*.png")) == [
        "a.png", "b.png", "c.png", "gone.png", "self.png"
    ]  # fmt: skip
    assert "z/a.png" in names(tmp_path / "in" / "**" / "*.png")
    assert "z/a.png" in names(tmp_path / "in" / "*")


def test_a_pipe_is_an_input_that_fails_and_one_of_another_name_is_passed_over(tmp_path):
    touch(tmp_path, "a.png")
    for name in ("pipe.png", "pipe.log"):
        os.mkfifo(tmp_path / name)
    found, passed = find(tmp_path, passed=(passed := PassedOver())), passed
    assert [(each.name, each.finding and each.finding.code) for each in found] == [
        ("a.png", None), ("pipe.png", "not-a-file")
    ]  # fmt: skip
    assert passed.counts == {".log": 1}


def test_what_a_glob_is_searched_for(tmp_path):
    touch(tmp_path, "s/1/a.png", "s/1/b.dat", "s/2/a.png", "s/2/deep/c.png", "s/notes.md")
    assert names(tmp_path / "s" / "*" / "a.png") == ["1/a.png", "2/a.png"]
    assert names(tmp_path / "s" / "1" / "*.dat") == ["b.dat"]
    # A pattern that takes everything chooses as a folder does, and names relative to its fixed part.
    assert names(tmp_path / "s" / "*") == names(tmp_path / "s" / "**") == names(tmp_path / "s")
    assert names(tmp_path / "?" / "2") == ["s/2/a.png", "s/2/deep/c.png"]
    touch(tmp_path, "s/x [1].png")
    assert names(tmp_path / "s" / "x [1].png") == ["x [1].png"]


def test_a_folder_may_be_a_case_by_itself(tmp_path):
    touch(tmp_path, "p/ct/1.dcm", "p/ct/2.dcm", "p/ct/deep/a.png", "p/mr/1.dcm", "p/a.png")

    def is_series(folder: Path) -> bool:
        return (folder / "1.dcm").exists()

    assert names(tmp_path, folder_is_case=is_series) == ["p/a.png", "p/ct", "p/mr"]
    assert find(tmp_path / "p" / "ct", folder_is_case=is_series) == [Input(tmp_path / "p" / "ct", "ct")]
    assert names(tmp_path / "p" / "*", folder_is_case=is_series) == ["a.png", "ct", "mr"]
    (tmp_path / "l.txt").write_text("#id=first\np/ct\np\n")
    listed = find(tmp_path / "l.txt", folder_is_case=is_series)
    assert [(each.name, each.given) for each in listed] == [
        ("p/ct", "first"),
        ("p/a.png", None),
        ("p/ct", None),
        ("p/mr", None),
    ]


def test_lists_keep_their_order_and_what_is_missing(tmp_path, caplog):
    touch(tmp_path, "b/x.png", "a/y.png", "empty/n.md")
    (tmp_path / "l.txt").write_text("b\na/gone.png\na/y.png\nb/x.png\nempty\n")
    assert names(tmp_path / "l.txt") == ["b/x.png", "a/gone.png", "a/y.png"]
    assert f"{tmp_path / 'empty'} holds nothing that is looked for" in caplog.messages


def test_what_is_passed_over_is_told_by_suffix_with_some_names(tmp_path, caplog):
    touch(tmp_path, "a.png", "n/1.md", "n/2.md", "n/3.md", "n/4.md", "v.TAR.GZ", "README")
    assert names(tmp_path) == ["a.png"]
    (line,) = caplog.messages
    assert line == (
        "passed over 6 files: 4 .md (n/1.md, n/2.md, n/3.md, ...), 1 .tar.gz (v.TAR.GZ), 1 without a suffix (README)"
    )
    caplog.clear()
    (tmp_path / "a.png").unlink()
    with pytest.raises(NoInput, match=r"found no scans in the folder .* and below; passed over 6 files: 4 \.md"):
        find(tmp_path)
    assert not caplog.messages


def test_results_of_a_batch_are_no_inputs_unless_they_are_named(tmp_path, caplog):
    touch(tmp_path, "a.png", "out/.polyhead/merge.lock", "out/a/overlay.png")
    assert names(tmp_path) == names(tmp_path / "*") == ["a.png"]
    assert caplog.messages == [f"{tmp_path / 'out'} holds the results of a batch; they are no inputs"] * 2
    assert names(tmp_path / "out") == ["a/overlay.png"]


def test_a_folder_that_cannot_be_entered_is_named(tmp_path, caplog, monkeypatch):
    touch(tmp_path, "a.png", "closed/b.png")
    scandir = os.scandir

    def refusing(folder):
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    for source in (tmp_path, tmp_path / "**" / "*.png", tmp_path / "*"):
        good, closed = find(source)
        assert (good.name, good.finding, closed.name) == ("a.png", None, "closed")
        assert closed.finding is not None and closed.finding.code == "no-permission"
        assert closed.finding.reason == "closed: the folder cannot be entered (Permission denied)"
    (alone,) = find(tmp_path / "closed")
    assert alone.finding == closed.finding and caplog.messages == []


def test_nothing_found_is_an_error_of_its_own(tmp_path):
    (tmp_path / "l.txt").write_text("# nothing\n")
    (tmp_path / "link.png").symlink_to("gone.png")
    for source, words in (
        (tmp_path / "gone.png", "there is no file, folder or glob match"),
        (tmp_path / "*.jpg", "found no scans matching"),
        (tmp_path / "l.txt", "found no paths in the list"),
        (tmp_path / "link.png", r"is a link to gone\.png, which is not there; mend it"),
    ):
        with pytest.raises(NoInput, match=words):
            find(source)


def test_a_folder_is_read_once_and_no_file_is_asked_twice(tmp_path, monkeypatch):
    touch(tmp_path, *(f"{folder}/{k}.png" for folder in "abc" for k in range(50)))
    asked: list[Path] = []
    opened: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: opened.append(str(folder)) or scandir(folder))
    find_inputs(tmp_path, lambda path: not asked.append(path), looked_for="scans")
    assert len(asked) == len(set(asked)) == 150
    assert sorted(opened) == sorted(str(tmp_path / name) for name in ("", "a", "b", "c"))


def test_parts_of_inputs_and_the_ids_that_a_list_gives_them(tmp_path):
    touch(tmp_path, "s/a.png", "s/a.nii.gz", "s/b.nii.gz")

    def parts(found: Input) -> list[Wanted]:
        count = 1 if found.path.suffix == ".png" else 3
        return [
            Wanted(found.path, id_names(found, {".png", ".gz"}, f"{k:02d}" if count > 1 else ""), options={"k": k})
            for k in range(count)
        ]

    counted: list[tuple[int, int]] = []

    def cases(source):
        wanted = wanted_of(find(source), parts, count=lambda done, total: counted.append((done, total)))
        return {case.id: case for case in as_cases(wanted)}

    whole = cases(tmp_path)
    ends = ("00", "01", "02")
    assert list(whole) == [*(f"s/a/{k}" for k in ends), "s/a.png", *(f"s/b/{k}" for k in ends)]
    assert counted == [(1, 3), (2, 3), (3, 3)]
    chosen = [whole[name] for name in ("s/a/01", "s/a.png", "s/b/02")]
    (tmp_path / "lists").mkdir()
    failed = tmp_path / "lists" / "failed.txt"
    failed.write_bytes(write_path_list([(case.id, str(case.path), "why") for case in chosen]))
    assert list(cases(failed).values()) == chosen
    # A part that the file no longer has: all that it has now.
    failed.write_bytes(write_path_list([("s/b/07", str(tmp_path / "s/b.nii.gz"), "why")]))
    assert list(cases(failed)) == ["b/00", "b/01", "b/02"]


def test_nothing_is_said_where_nothing_is_passed_over(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    touch(tmp_path, "a.png")
    find(tmp_path)
    assert not caplog.messages
