"""Folders of samples: begun, gone on with, refused."""

import json

import pytest

from polyhead.samples import SETTINGS, claim_folder
from polyhead.system.files import TEMPORARY


def test_a_folder_is_claimed_once_for_its_settings(tmp_path):
    out = tmp_path / "new" / "sample"
    claim_folder(out, {"seed": 1, "name": "größer"})
    assert json.loads((out / SETTINGS).read_text(encoding="utf-8")) == {"seed": 1, "name": "größer"}
    (out / "part").mkdir()
    unfinished = [out / f"{TEMPORARY}1-0-a.png", out / "part" / f"{TEMPORARY}1-1-b.png"]
    for path in unfinished:
        path.write_bytes(b"half")
    claim_folder(out, {"seed": 1, "name": "größer"})
    assert not any(path.exists() for path in unfinished)
    with pytest.raises(ValueError, match="holds a sample of other settings"):
        claim_folder(out, {"seed": 2, "name": "größer"})


def test_what_is_no_sample_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"is not empty and holds no sample\.json"):
        claim_folder(tmp_path, {"seed": 1})
    with pytest.raises(ValueError, match="is a file"):
        claim_folder(tmp_path / "letter.txt", {"seed": 1})
    assert (tmp_path / "letter.txt").read_text() == "mine"


def test_a_call_that_was_killed_at_its_very_beginning_can_be_repeated(tmp_path):
    (tmp_path / f"{TEMPORARY}1-0-{SETTINGS}").write_bytes(b"{")
    claim_folder(tmp_path, {"seed": 1})
    assert json.loads((tmp_path / SETTINGS).read_text()) == {"seed": 1}


def test_broken_settings_are_other_settings(tmp_path):
    (tmp_path / SETTINGS).write_text("{")
    with pytest.raises(ValueError, match="other settings"):
        claim_folder(tmp_path, {"seed": 1})
