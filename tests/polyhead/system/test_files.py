"""Files that are whole or absent, with the permissions that a user's own files have."""

import os
import threading

import pytest

from polyhead.system.files import TEMPORARY, hash_file, replacing, sweep_temporaries, write_whole
from polyhead.system.locks import lock_file, take_lock


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_has_the_permissions_that_the_umask_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "a", b"1")
        with replacing(tmp_path / "b.nii.gz") as temporary:
            assert temporary.name.startswith(TEMPORARY) and temporary.name.endswith(".nii.gz")
            temporary.write_bytes(b"2")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "b.nii.gz")] == [mode, mode]


def test_the_umask_of_other_threads_is_left_alone(tmp_path):
    """Setting the umask to read it would give the files of another thread every permission for an instant."""
    before = os.umask(0o077)
    stop, open_to_all = threading.Event(), []

    def others():
        number = 0
        while not stop.is_set():
            path = tmp_path / f"other-{number}"
            path.write_bytes(b"")
            open_to_all.extend([path] if path.stat().st_mode & 0o077 else [])
            path.unlink()
            number += 1

    thread = threading.Thread(target=others)
    thread.start()
    try:
        for _ in range(200):
            write_whole(tmp_path / "mine", b"x")
    finally:
        stop.set()
        thread.join()
        os.umask(before)
    assert not open_to_all


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    write_whole(tmp_path / "a", b"old")
    with pytest.raises(KeyError), replacing(tmp_path / "a") as temporary:
        temporary.write_bytes(b"new")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_bytes() == b"old"
    long = tmp_path / ("x" * 250)
    write_whole(long, b"long names too")
    assert long.read_bytes() == b"long names too"
    (tmp_path / f"{TEMPORARY}1-1-a").write_bytes(b"")
    assert sweep_temporaries(tmp_path) == 1 and sweep_temporaries(tmp_path / "absent") == 0


def test_the_hash_is_that_of_the_bytes(tmp_path):
    write_whole(tmp_path / "a", b"abc")
    assert hash_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_lock_is_held_once_and_a_system_without_locks_is_told(tmp_path, monkeypatch, caplog):
    with lock_file(tmp_path / "lock") as had, lock_file(tmp_path / "lock") as again:
        assert had and not again
    with lock_file(tmp_path / "lock") as had:
        assert had

    def unsupported(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("polyhead.system.locks.fcntl.flock", unsupported)
    with (tmp_path / "lock").open("ab") as stream:
        assert take_lock(stream, wait=False)
    assert "file system without locks" in caplog.text
