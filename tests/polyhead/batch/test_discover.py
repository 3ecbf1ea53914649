from __future__ import annotations

from pathlib import Path

import pytest

from polyhead.batch.discover import discover, read_path_list, write_path_list

SUFFIXES = (".png", ".nii", ".nii.gz")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def ids(source: str | Path) -> list[str]:
    return [found.id for found in discover(source, SUFFIXES)]


def test_a_folder_is_searched_for_known_suffixes_and_hidden_files_are_left(tmp_path):
    touch(tmp_path, "b/x.nii.gz", "a.PNG", "note.md", ".hidden.png", ".git/y.png", "b/v1.2.png")
    assert ids(tmp_path) == ["a", "b/v1.2", "b/x"]


def test_files_that_would_share_an_id_keep_their_suffix(tmp_path):
    touch(tmp_path, "x.png", "x.nii.gz", "y.png")
    assert ids(tmp_path) == ["x.nii.gz", "x.png", "y"]


def test_file_glob_and_nothing(tmp_path):
    touch(tmp_path, "s/a.png", "s/t/b.png", "odd.bin")
    assert ids(tmp_path / "s/a.png") == ["a"]
    assert ids(tmp_path / "odd.bin") == ["odd"]
    assert ids(f"{tmp_path}/**/*.png") == ["a", "t/b"]
    assert ids(f"{tmp_path}/*.nii") == []
    with pytest.raises(ValueError, match="no such file or folder"):
        ids(tmp_path / "gone")


def test_a_written_list_gives_the_same_paths_and_ids(tmp_path, monkeypatch):
    names = ["s/a.png", "s/ b.png", "s/#c.png", "s/new\nline.png", 's/"q".png', "s/ä.png", "s/\udcff.png"]
    touch(tmp_path, *names)
    monkeypatch.chdir(tmp_path)
    found = discover(Path(), SUFFIXES)
    (tmp_path / "failed.txt").write_bytes(write_path_list([(f.id, str(f.path), "why\nnot") for f in found]))
    again = discover(tmp_path / "failed.txt", SUFFIXES)
    assert [f.id for f in again] == [f.id for f in found] and len(found) == 7
    assert [f.path for f in again] == [tmp_path / f.path for f in found]


def test_lists_by_hand(tmp_path):
    (tmp_path / "l.txt").write_bytes("﻿s/a.png\r\n\n# no\ns/t/b.png".encode())
    paths, root = read_path_list(tmp_path / "l.txt")
    assert (paths, root) == ([tmp_path / "s/a.png", tmp_path / "s/t/b.png"], tmp_path / "s")
    assert ids(tmp_path / "l.txt") == ["a", "t/b"]
    (tmp_path / "l.txt").write_text("a.png\na.png\n")
    with pytest.raises(ValueError, match="twice"):
        ids(tmp_path / "l.txt")
    (tmp_path / "l.txt").write_text('"a.png\n')
    with pytest.raises(ValueError, match="line 1"):
        ids(tmp_path / "l.txt")
