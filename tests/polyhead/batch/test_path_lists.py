"""Lists of paths: what is written is read back with the same paths and ids, whatever the names are."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyhead.batch.naming import without_suffix
from polyhead.batch.path_lists import Listed, PathList, read_path_list, write_path_list


def ids(listed: PathList) -> list[str]:
    """The ids as a reader makes them: as given, else relative to the root without suffix."""
    return [entry.id or without_suffix(entry.path.relative_to(listed.root).as_posix()) for entry in listed.entries]


def test_a_written_list_gives_the_same_paths_and_ids(tmp_path, monkeypatch):
    names = ["s/a", "s/ b", "s/#c", "s/new\nline", 's/"q"', "s/ä", "s/\udcff", "s/u\u00a0", "t.2/v1.2", "s/x~2"]
    entries = [(name, f"{name}.png", "why\nnot") for name in names[:-1]]
    # Ids that are not what the path says: a second answer for one file, a kept suffix, a frame, a name without suffix.
    entries += [(names[-1], "s/x.png", ""), ("s/y.nii.gz", "s/y.nii.gz", ""), ("s/clip/frame_003", "s/clip.dcm", "")]
    entries += [("s/y", "s/y.nii.gz", ""), ("scan", "scan", "")]
    monkeypatch.chdir(tmp_path)
    written = write_path_list(entries)
    assert f"#root={tmp_path}\n# s/a: why not\n{tmp_path}/s/a.png\n# s/ b: why not\n".encode() in written
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "failed.txt").write_bytes(written)
    again = read_path_list(tmp_path / "lists" / "failed.txt")
    assert again.root == tmp_path
    assert again.paths == [tmp_path / path for _, path, _ in entries]
    assert ids(again) == [name for name, _, _ in entries]
    assert sum(entry.id is not None for entry in again.entries) == 3


def test_ids_of_several_roots_are_all_written(tmp_path):
    entries = [("a", "/in/x/a.png", ""), ("b", "/in/y/b.png", ""), ("y/c", "/in/y/c.png", "")]
    (tmp_path / "l.txt").write_bytes(write_path_list(entries))
    assert read_path_list(tmp_path / "l.txt").entries == tuple(Listed(Path(path), name) for name, path, _ in entries)
    assert read_path_list(tmp_path / "l.txt").root == Path("/in")


def test_lists_by_hand(tmp_path):
    (tmp_path / "l.txt").write_bytes("\ufeffs/a.png\r\n\n# no\n  s/t/b.png\t\ns/a.png\n".encode())
    listed = read_path_list(tmp_path / "l.txt")
    assert listed == PathList((Listed(tmp_path / "s/a.png"), Listed(tmp_path / "s/t/b.png")), tmp_path / "s")
    (tmp_path / "l.txt").write_text("#root=.\n#id=other\ns/a.png\n")
    assert read_path_list(tmp_path / "l.txt") == PathList((Listed(tmp_path / "s/a.png", "other"),), tmp_path)
    (tmp_path / "l.txt").write_text("# nothing\n")
    assert read_path_list(tmp_path / "l.txt").entries == ()


def test_relative_paths_lie_beside_the_list_or_else_in_the_working_folder(tmp_path, monkeypatch):
    for folder in ("lists", "work"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "both.png").touch()
    (tmp_path / "work" / "here.png").touch()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "lists" / "l.txt").write_text("both.png\nhere.png\nnowhere.png\n")
    lists = tmp_path / "lists"
    expected = [lists / "both.png", tmp_path / "work" / "here.png", lists / "nowhere.png"]
    assert read_path_list(lists / "l.txt").paths == expected


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b'a.png\n"a.png\n', "line 2: a line that begins with a quote must be a JSON string"),
        ("a.png\n".encode("utf-16"), "not a utf-8 list of paths"),
        (b"a.png\n#id=lost\n", "no path follows the id 'lost'"),
    ],
)
def test_broken_lists_are_told(tmp_path, content, error):
    (tmp_path / "l.txt").write_bytes(content)
    with pytest.raises(ValueError, match=error):
        read_path_list(tmp_path / "l.txt")
