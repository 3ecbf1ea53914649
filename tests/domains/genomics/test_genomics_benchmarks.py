"""What the benchmarks count: intervals, splits, and measurements that are kept."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from benchmarks.bootstrap import bootstrap_counts
from benchmarks.genomics_common import Work, fingerprint, mean_score, over_seeds, replicates, scores, thinned, truth
from benchmarks.genomics_histone import published, purged
from domains.genomics.data.facts import TaskFacts
from domains.genomics.data.labelled import LabelledData
from domains.genomics.sequences.alphabet import reverse_complement

GIVEN = argparse.Namespace(rows=0)


def table(rows: list[tuple[str, str, str, str]]) -> LabelledData:
    """Rows of (sequence, task, label, split)."""
    sequences, *columns = zip(*rows, strict=True)
    task, label, split = (np.array(column, dtype=object) for column in columns)
    facts = {name: TaskFacts("classification", ("0", "1")) for name in dict.fromkeys(task.tolist())}
    return LabelledData(list(sequences), task, label, split, np.full(len(rows), "", dtype=object), facts)


def drawn(count: int, length: int = 60, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    return ["".join(random.choice(list("ACGT"), length)) for _ in range(count)]


def work(folder: Path, only: tuple[str, ...] = (), minutes: float | None = None) -> Work:
    return Work(folder, 1, only, minutes, folder / "RESULTS.md", GIVEN)


def test_resamples_draw_a_sequence_with_the_rows_of_all_its_tasks():
    random = np.random.default_rng(1)
    sequences = drawn(12)
    rows = [(each, task, str(random.integers(2)), "test") for task in ("a", "b") for each in sequences]
    rows += [(reverse_complement(sequences[0]), "b", "1", "test"), (sequences[1], "a", "0", "train")]
    data = table(rows)
    seeds = [{task: random.integers(2, size=len(truth(data, task))).tolist() for task in ("a", "b")} for _ in range(2)]
    found = replicates(data, {"one": seeds, "half": seeds[:1]}, resamples=20)
    groups = [*range(12), *range(12), 0]
    counts = np.concatenate(list(bootstrap_counts(25, groups=groups, resamples=20, seed=0)))
    for place, line in enumerate(counts):
        parts = {"a": line[:12], "b": line[12:]}
        each = [
            matthews_corrcoef(truth(data, task), predicted[task], sample_weight=parts[task])
            for predicted in seeds
            for task in ("a", "b")
        ]
        assert found["one"][place] == pytest.approx(np.mean(each))
        assert found["half"][place] == pytest.approx(np.mean(each[:2]))
    plain = [matthews_corrcoef(truth(data, task), seeds[0][task]) for task in ("a", "b")]
    assert list(scores(data, seeds[0]).values()) == pytest.approx(plain)
    assert mean_score(data, seeds[:1]) == pytest.approx(np.mean(plain))


def test_a_measurement_is_made_once_and_belongs_to_its_settings(tmp_path: Path):
    made: list[Path] = []

    def run(out: Path):
        made.append(out)
        return {"both": {"a": [1, 0]}}

    first = work(tmp_path).measure("x/y", 2, {"settings": 1}, run)
    again = work(tmp_path, only=("other",)).measure("x/y", 2, {"settings": 1}, run)
    assert first == again
    assert first is not None
    assert first["both"] == {"a": [1, 0]}
    assert made == [tmp_path / "runs" / "x-y" / "2"]
    with pytest.raises(SystemExit, match="another settings"):
        work(tmp_path).measure("x/y", 2, {"settings": 2}, run)
    assert work(tmp_path, only=("other",)).measure("new", 0, {}, run) is None
    assert work(tmp_path, minutes=-1).measure("new", 0, {}, run) is None


def test_what_the_time_cut_short_goes_on_and_keeps_its_seconds(tmp_path: Path):
    assert work(tmp_path).measure("x", 0, {}, lambda out: None) is None
    part = tmp_path / "measured" / "x.0.part"
    part.write_text("100")
    found = work(tmp_path).measure("x", 0, {}, lambda out: {"done": 1})
    assert found is not None
    assert 100 < found["seconds"] < 101
    assert not part.exists()


def test_thinning_leaves_so_many_rows_of_a_task_and_side():
    data = table([(each, task, "0", split) for each in drawn(6) for task in "ab" for split in ("train", "test")])
    few = thinned(data, {("a", "train"): 2, ("b", "test"): 9})
    assert [len(few.rows(task=task, split=split)) for task in "ab" for split in ("train", "test")] == [2, 6, 6, 6]
    assert fingerprint(few) != fingerprint(data)
    assert fingerprint(few) == fingerprint(thinned(data, {("a", "train"): 2}))


def test_the_published_split_keeps_its_test_and_pretrains_on_nothing_that_is_asked():
    sequences = drawn(40)
    rows = [(each, "a", str(place % 2), "validation") for place, each in enumerate(sequences[:30])]
    rows += [(each, "a", "1", "test") for each in sequences[30:]]
    shared = reverse_complement(sequences[0])
    rows += [(shared, "b", "0", "test"), (sequences[5], "b", "1", "validation")]
    side = published(table(rows), GIVEN)
    data = side.data
    assert [row[0] for row in rows if row[3] == "test"] == [data.sequences[row] for row in data.rows(split="test")]
    held = {data.sequences[row] for row in data.rows(split="validation")}
    assert len(held) == 3
    learned = {data.sequences[row] for row in data.rows(split="train")}
    assert held.isdisjoint(learned)
    assert sequences[0] in learned | held
    assert set(side.unlabelled) == learned - {sequences[0]}


def test_the_purged_split_shares_nothing_and_is_no_larger_than_the_other():
    genome = "".join(drawn(1, 4000, seed=3))
    windows = [genome[start : start + 60] for start in range(0, 3900, 30)]
    strands = [reverse_complement(each) if place % 3 == 0 else each for place, each in enumerate(windows)]
    rows = [(each, "ab"[place % 2], str(place // 2 % 2), "validation") for place, each in enumerate(strands)]
    like = table([(each, task, "0", "train") for task in "ab" for each in strands[:20]])
    side = purged(table(rows), GIVEN, like)
    assert side.leakage.clean
    counts = [len(side.data.rows(task=task, split="train")) for task in "ab"]
    assert max(counts) <= 20
    assert side.data.rows(split="test").size
    tested = {side.data.sequences[row] for row in side.data.rows(split="test")}
    assert tested.isdisjoint(side.unlabelled)


def test_an_interval_over_seeds_is_students():
    # t(0.975, 2) = 4.3027; the deviation of 1, 2, 3 is 1.
    assert over_seeds([0.1, 0.2, 0.3]) == f"0.200 ± {4.302653 * 0.1 / 3**0.5:.3f}"
    assert over_seeds([0.5]) == "0.500"
