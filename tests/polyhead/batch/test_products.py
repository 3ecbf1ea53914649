"""Products of a case: what a user may choose, and what receipts know of the choice."""

from pathlib import Path

import pytest

from polyhead.batch.products import Products, covers, joined
from polyhead.batch.receipts import load_receipt

PICTURES = Products({"masks": "a", "overlays": "b", "thumbnails": "c"})


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("masks", ("masks",)),
        ("thumbnails, masks,thumbnails", ("masks", "thumbnails")),
        ("all", ("masks", "overlays", "thumbnails")),
        ("none", ()),
        (PICTURES.default, ("masks", "overlays", "thumbnails")),
    ],
)
def test_a_choice_is_names_in_any_order(text, chosen):
    assert PICTURES.chosen(text) == chosen


@pytest.mark.parametrize("text", ["mask", "", "masks,,overlays", "masks,all", "Masks", "none,masks"])
def test_an_unknown_name_is_refused_with_the_known_ones(text):
    with pytest.raises(ValueError, match="choose of: masks, overlays, thumbnails, all, none"):
        PICTURES.chosen(text)


def test_a_choice_is_covered_by_more_than_it_and_joined_with_another():
    assert covers(None, None) and covers(None, ["a"]) and covers(["a", "b"], ("a",)) and covers([], ())
    assert not covers(["a"], None) and not covers(["a"], ("a", "b"))
    assert joined(["b"], ("a", "b")) == ["a", "b"] and joined(None, ()) is None


def files(out: Path, name: str) -> set[str]:
    return {path.name for path in (out / name).iterdir()} - {"answer.txt", "more", "receipt.json"}


def test_a_second_call_makes_what_is_missing_and_takes_nothing_away(bench):
    cases = bench.cases({"a": "one", "b": "two!"})
    assert bench.run(cases, saved=["thumbnails"]).counts == {"ok": 2}
    assert files(bench.out, "a") == {"thumb.png"}
    assert bench.run(cases, saved=["thumbnails"]).counts == bench.run(cases, saved=[]).counts == {"skipped": 2}
    assert bench.run(cases, saved=["maps"]).counts == {"ok": 2}
    assert files(bench.out, "a") == files(bench.out, "b") == {"thumb.png", "map.bin"}
    receipt = load_receipt(bench.out / "a")
    assert receipt is not None and receipt.saved == ["maps", "thumbnails"]
    assert bench.run(cases, saved=["maps", "thumbnails"]).counts == {"skipped": 2}
    assert bench.run(cases).counts == {"ok": 2} and bench.run(cases, saved=["maps"]).counts == {"skipped": 2}
    assert bench.run(cases, saved=["maps"], overwrite=True).counts == {"ok": 2}
    assert files(bench.out, "a") == {"map.bin"}


def test_another_input_or_model_keeps_no_products_of_the_old_answer(bench):
    cases = bench.cases({"a": "one"})
    bench.run(cases, saved=["thumbnails"])
    assert bench.run(cases, saved=["maps"], model_hash="m2", overwrite=True).counts == {"ok": 1}
    assert files(bench.out, "a") == {"map.bin"}
    cases[0].path.write_text("other")
    assert bench.run(cases, saved=["thumbnails"], model_hash="m2").counts == {"ok": 1}
    assert files(bench.out, "a") == {"thumb.png"}
