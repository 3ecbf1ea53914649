"""Ids of cases are unique, stay inside, and no case's folder holds another's."""

from hypothesis import given
from hypothesis import strategies as st

from polyhead.batch.naming import inside, unique_ids


def test_short_names_are_kept_where_they_are_unambiguous():
    names = [("a", "a.png"), ("b", "b.png"), ("b", "b.jpg"), ("c", "c.png"), ("c/d", "c/d.png"), ("e", "e"), ("e", "e")]
    assert unique_ids(names) == ["a", "b.png", "b.jpg", "c.png", "c/d", "e", "e~2"]


@given(st.lists(st.sampled_from(["a", "b", "a/b", "a~2", "b/c"]), max_size=8))
def test_every_input_has_an_id_of_its_own(names):
    found = unique_ids([(name, f"{name}.x") for name in names])
    assert len(set(found)) == len(names)


def test_names_cannot_leave_their_folder():
    assert inside("../../etc/./x.png").as_posix() == "etc/x.png"
    assert inside("/").as_posix() == inside("..").as_posix() == "input"
