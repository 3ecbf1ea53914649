"""Uploads: names without tricks, content by hash, limits with their reasons, and paths that stay inside."""

import hashlib
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui import upload


class File:
    def __init__(self, name: str, content: bytes):
        self.name, self._content = name, content

    def getbuffer(self) -> memoryview:
        return memoryview(self._content)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/pass wd.png", "pass wd.png"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("a\x00b\n.png", "ab.png"),
        (".hidden", "hidden"),
        ("..", "file"),
        ("US (2), left.dcm", "US (2), left.dcm"),
        ("<b>x</b>.png", "b_.png"),
        ("x" * 300 + ".png", "x" * 116 + ".png"),
    ],
)
def test_safe_name(name, safe):
    assert upload.safe_name(name) == safe


@given(st.text(max_size=200))
def test_safe_names_never_leave_their_folder(name):
    safe = upload.safe_name(name)
    assert safe and len(safe) <= 120 and safe not in (".", "..") and "/" not in safe and "\\" not in safe
    assert not safe.startswith(".") and "\0" not in safe


def test_spooled_files_have_their_content_and_their_hash(tmp_path):
    (taken,), refused = upload.spool([File("../a.png", b"abc")], tmp_path)
    assert taken.path.read_bytes() == b"abc" and taken.name == "a.png"
    assert taken.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert taken.path.is_relative_to(tmp_path) and refused == []
    before = taken.path.stat().st_mtime_ns
    upload.spool([File("../a.png", b"abc")], tmp_path)
    assert taken.path.stat().st_mtime_ns == before


def test_what_is_refused_is_named_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(upload, "MAX_FILES", 2)
    monkeypatch.setattr(upload, "MAX_FILE_BYTES", 10)
    files = [File("0", b""), File("1", b"1"), File("1b", b"1"), File("2", b"x" * 11), File("3", b"3"), File("4", b"4")]
    taken, refused = upload.spool(files, tmp_path)
    assert [file.name for file in taken] == ["1", "3"]
    reasons = {entry.name: entry.reason for entry in refused}
    assert set(reasons) == {"0", "1b", "2", "4"}
    assert "empty" in reasons["0"] and "twice" in reasons["1b"] and "too large" in reasons["2"]
    assert "more than 2" in reasons["4"]
    assert len(taken) + len(refused) == len(files)


def test_the_total_is_limited_as_well(tmp_path, monkeypatch):
    monkeypatch.setattr(upload, "MAX_TOTAL_BYTES", 5)
    taken, refused = upload.spool([File("a", b"1234"), File("b", b"5678")], tmp_path)
    assert [file.name for file in taken] == ["a"] and [entry.name for entry in refused] == ["b"]


def test_server_paths_stay_under_the_roots(tmp_path, monkeypatch):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    monkeypatch.setenv(upload.ROOTS_VARIABLE, str(inside))
    assert upload.server_path(f" {inside} ") == inside.resolve()
    for text, words in [
        ("", "type the path"),
        (str(outside), "lies outside"),
        (str(inside / ".." / "outside"), "lies outside"),
        (str(inside / "link"), "lies outside"),
        (str(inside / "missing"), "there is no"),
    ]:
        with pytest.raises(ValueError, match=words):
            upload.server_path(text)


def test_sweep_removes_only_what_is_old(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / "old", (time.time() - 1000,) * 2)
    assert upload.sweep(tmp_path, older_than=500) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_the_spool_folder_is_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(upload.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = upload.spool_folder()
    assert folder.stat().st_mode & 0o077 == 0
    assert upload.spool_folder() == folder
