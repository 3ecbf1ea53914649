"""Ids of cases are unique, stay inside, can be folders everywhere, and no case's folder holds another's."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyhead.batch.case import Case
from polyhead.batch.folder import RESERVED, refused_id
from polyhead.batch.naming import folder_name, inside, suffix_of, unique_ids, without_suffix


def test_short_names_are_kept_where_they_are_unambiguous():
    names = [("a", "a.png"), ("b", "b.png"), ("b", "b.jpg"), ("c", "c.png"), ("c/d", "c/d.png"), ("e", "e"), ("e", "e")]
    assert unique_ids(names) == ["a", "b.png", "b.jpg", "c.png", "c/d", "e", "e~2"]


@given(st.lists(st.sampled_from(["a", "b", "a/b", "a~2", "b/c"]), max_size=8))
def test_every_input_has_an_id_of_its_own(names):
    found = unique_ids([(name, f"{name}.x") for name in names])
    assert len(set(found)) == len(names)


PARTS = st.sampled_from(
    ["a", "A", "é", "e\u0301", "con", "Con", "a.", "a ", "a_", "a:", "logs", "LOGS", "a~2", "..", "", "."]
)


@given(st.lists(st.lists(PARTS, min_size=1, max_size=3).map("/".join), max_size=10))
def test_no_system_takes_two_ids_for_one_or_refuses_one(names):
    found = unique_ids([(name, f"{name}.x") for name in names])
    folded = [unicodedata.normalize("NFC", each).casefold() for each in found]
    assert len(set(folded)) == len(names)
    assert not any(one.startswith(f"{other}/") for one in folded for other in folded)
    for name in found:
        assert refused_id(Case(name, inside(name))) is None and folder_name(name) == name  # type: ignore[arg-type]
        for part in name.split("/"):
            assert not set(part) & set('<>:"|?*\\') and part == part.rstrip(". ")
            assert part.split(".")[0].casefold() != "con"


def test_names_that_differ_in_case_or_accents_only_are_told_apart():
    names = [("IMG_1", "IMG_1.png"), ("img_1", "img_1.png"), ("é", "é.png"), ("e\u0301", "e\u0301.jpg")]
    assert unique_ids(names) == ["IMG_1.png", "img_1.png~2", "é.png", "e\u0301.jpg"]
    assert unique_ids([("S/a", "S/a.png"), ("s/b", "s/b.png")]) == ["S/a", "s/b"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("s 1/a-b_c.v2 (3)/ü", "s 1/a-b_c.v2 (3)/ü"),
        ("con", "con_"),
        ("x/NUL.tar/com1.a", "x/NUL_.tar/com1_.a"),
        ("console/lpt0x", "console/lpt0x"),
        ("a:b", "a_b"),
        ('<>"|?*\\', "_______"),
        ("end./end /x..", "end_/end_/x__"),
        ("new\nline", "new_line"),
        ("logs/a", "input-logs/a"),
        ("Summary.HTML/a", "input-Summary.HTML/a"),
        ("s/logs/a", "s/logs/a"),
        ("s/receipt.json", "s/input-receipt.json"),
        (".polyhead/a", "input-.polyhead/a"),
        ("batch.json/a", "input-batch.json/a"),
        ("report.html/a", "input-report.html/a"),
        ("ANSWERS.tsv/a", "input-ANSWERS.tsv/a"),
        ("back\\slash/a", "back_slash/a"),
    ],
)
def test_names_become_folders_that_every_system_can_make(name, found):
    assert folder_name(name) == found


def test_no_reserved_name_is_refused_but_all_get_a_prefix():
    found = unique_ids([(f"{name}/a", f"{name}/a.png") for name in sorted(RESERVED)])
    assert found == [f"input-{name}/a" for name in sorted(RESERVED)]
    assert unique_ids([("logs/a", "logs/a.png"), ("input-logs/a", "input-logs/a.jpg")]) == [
        "input-logs/a.png",
        "input-logs/a.jpg",
    ]


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.nii.gz", ".nii.gz"),
        ("a.b.Fasta.GZ", ".Fasta.GZ"),
        ("a.v2.gz", ".gz"),
        ("a.tar.gz", ".tar.gz"),
        ("a.vcf.bgz", ".vcf.bgz"),
        ("a.ome.tif", ".ome.tif"),
        ("a.ome.tiff", ".ome.tiff"),
        ("nii.gz", ".gz"),
        (".gz", ""),
        (".nii.gz", ".gz"),
        ("a.png", ".png"),
        ("1.2.840.10008", ".10008"),
        ("a", ""),
        ("a.", ""),
        ("a..png", ""),
        ("Dr. Smith", ""),
    ],
)
def test_suffixes(name, suffix):
    assert suffix_of(name) == suffix
    assert without_suffix(f"f.x/{name}") == f"f.x/{name[: len(name) - len(suffix)]}"


def test_many_equal_names_are_numbered_in_no_time():
    start = time.perf_counter()
    found = unique_ids([("a", "a.png")] * 20_000)
    assert found[:2] == ["a.png", "a.png~2"] and found[-1] == "a.png~20000"
    assert time.perf_counter() - start < 5


def test_names_cannot_leave_their_folder():
    assert inside("../../etc/./x.png").as_posix() == "etc/x.png"
    assert inside("/").as_posix() == inside("..").as_posix() == "input"
    assert inside("//host/x").as_posix() == "host/x"
