"""k-mer codes against strings, splits that share nothing, and what leaks where they do."""

import csv
import gzip
import math

import numpy as np
import pytest

from domains.genomics.data.splits import Split, purged_split, random_split, sequence_groups
from domains.genomics.evaluation.leakage import leakage_report
from domains.genomics.sequences.kmers import base_codes, canonical, kmer_codes, sequence_kmers, sharing


def dna(length, seed):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def flipped(sequence):
    return sequence.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def words(sequence, k=31):
    """Canonical k-mers the slow way."""
    found = (canonical(sequence[i : i + k]) for i in range(len(sequence) - k + 1))
    return {word for word in found if set(word) <= set("ACGT")}


@pytest.fixture
def windows():
    """Windows of 100 bases that overlap by half along a genome of 6 kb, every third from the other strand."""
    genome = dna(6000, 1)
    cut = [genome[start : start + 100] for start in range(0, 5900, 50)]
    return [flipped(sequence) if index % 3 == 0 else sequence for index, sequence in enumerate(cut)]


@pytest.mark.parametrize("k", [1, 2, 5, 6, 7, 16, 31])
@pytest.mark.parametrize("both", [True, False])
def test_codes_are_the_letters_in_base_four(k, both):
    sequence = dna(60, 2) + "N" + dna(40, 3)
    codes, valid = kmer_codes(base_codes(sequence), k, both=both)
    assert len(codes) == len(sequence) - k + 1
    for start, (code, known) in enumerate(zip(codes.tolist(), valid.tolist(), strict=True)):
        word = sequence[start : start + k]
        assert known == ("N" not in word)
        if known:
            assert code == int((canonical(word) if both else word).translate(str.maketrans("ACGT", "0123")), 4)


def test_codes_of_short_and_many_sequences():
    assert len(kmer_codes(base_codes("ACG"), 31)[0]) == 0
    with pytest.raises(ValueError, match="1 to 31"):
        kmer_codes(base_codes("ACGT"), 32)
    sequences = ["ACGTA", "", "AC", "NNGTA", "acgta"]
    codes, owner = (np.concatenate(parts) for parts in zip(*sequence_kmers(sequences, 3), strict=True))
    assert owner.tolist() == [0, 0, 0, 3, 4, 4, 4]
    assert codes[:3].tolist() == codes[4:].tolist()


@pytest.mark.parametrize("memory", [512 << 20, 100_000])
def test_sharing_finds_all_pairs(windows, memory):
    found = sharing(windows, memory=memory)
    for index in (0, 7, 50):
        chosen = np.arange(len(windows)) == index
        near = found.neighbours(chosen)
        mine = words(windows[index])
        expected = [bool(mine & words(other)) for other in windows]
        assert near.tolist() == expected
    assert found.components().max() == 0, "overlapping windows are one chain"
    assert sharing([dna(80, 1), dna(80, 2)]).components().tolist() == [0, 1]


@pytest.mark.parametrize("memory", [512 << 20, 100_000])
def test_purged_sides_share_no_word(windows, memory):
    rows = windows + [flipped(sequence) for sequence in windows[::2]]  # a second task on the other strand
    split = purged_split(rows, test=0.15, validation=0.1, block=6, seed=1, memory=memory)
    held = {
        side: set().union(*(words(rows[row]) for row in split.rows(side))) for side in ("train", "validation", "test")
    }
    assert not held["train"] & held["test"]
    assert not held["train"] & held["validation"]
    assert not held["validation"] & held["test"]
    counts = split.counts
    assert min(counts["train"], counts["validation"], counts["test"]) > 0 and sum(counts.values()) == len(rows)
    assert split.settings["keep"] == "purge" and split.settings["families"] == 1
    again = purged_split(rows, test=0.15, validation=0.1, block=6, seed=1)
    assert (split.side == again.side).all()


def test_stretches_lose_fewer_rows_than_single_windows(windows):
    lost = {block: purged_split(windows, test=0.2, validation=0, block=block).counts["dropped"] for block in (1, 8)}
    assert lost[8] < lost[1]


def test_small_families_stay_whole_and_nothing_is_lost():
    rows = []
    for family in range(40):
        root = dna(120, family)
        rows += [root, root[:60] + dna(60, 1000 + family), flipped(root)]
    split = purged_split(rows, test=0.2, validation=0.2)
    assert split.settings["keep"] == "components" and split.counts["dropped"] == 0
    sides = split.side.reshape(40, 3)
    assert (sides == sides[:, :1]).all()
    assert split.counts["test"] == 24 and split.counts["validation"] == 24


def test_published_test_rows_stay_and_their_neighbours_go(windows):
    rows = [*windows, windows[10]]
    split = purged_split(rows, validation=0, held={10: "test", len(rows) - 1: "train"})
    assert split.rows("test").tolist() == [10]
    assert split.rows("dropped").tolist() == [9, 11, len(rows) - 1]
    with pytest.raises(ValueError, match="unknown side"):
        purged_split(rows, held={0: "dev"})


def test_random_split_by_row_and_by_sequence(windows):
    rows = windows + [flipped(sequence) for sequence in windows]
    tasks = ["a"] * len(windows) + ["b"] * len(windows)
    split = random_split(rows, tasks, test=0.2, validation=0.1, seed=3)
    for task in ("a", "b"):
        chosen = split.side[np.array(tasks) == task]
        assert (chosen == "test").sum() == round(0.2 * len(windows))
    assert (split.side[: len(windows)] != split.side[len(windows) :]).any()
    whole = random_split(rows, tasks, by="sequence", seed=3)
    assert (whole.side[: len(windows)] == whole.side[len(windows) :]).all()
    assert sequence_groups(["AAC", "GTT", "aac", "CCC"]).tolist() == [0, 0, 0, 1]


def test_a_split_is_recorded_and_checked(windows):
    split = random_split(windows)
    record = split.to_json()
    assert (Split.from_json(record, len(windows)).side == split.side).all()
    with pytest.raises(ValueError, match="altered"):
        Split.from_json(record | {"side": record["side"][::-1]}, len(windows))
    with pytest.raises(ValueError, match="split again"):
        Split.from_json(record, 3)
    with pytest.raises(ValueError, match="leave training rows"):
        random_split(windows, test=0.5, validation=0.5)
    with pytest.raises(ValueError, match="no sequences"):
        purged_split([])
    with pytest.raises(ValueError, match="none is left to train on"):
        purged_split([dna(50, 1)] * 3, test=0.9, validation=0, keep="purge")


def test_leakage_is_counted_on_both_strands():
    a, b, c = dna(100, 1), dna(100, 2), dna(100, 3)
    half = a[:50] + dna(50, 4)
    report = leakage_report(
        [a, b, flipped(a), b, half, c], ["x", "y", "x", "x", "x", "x"], list("010110"), ["train"] * 2 + ["test"] * 4
    )
    (found,) = report.tasks
    assert (found.train, found.test) == (1, 4)
    assert found.same_task == 0.25 and found.any_task == 0.5
    assert found.overlapping == 0.75
    # Seen: 70 words of a, 70 of b; half shares 20 with a. Distinct: 70 + 70 + 50 + 70.
    assert found.kmers == pytest.approx(140 / 260)
    assert math.isnan(found.label_only) and not report.clean
    assert report.to_json()["tasks"][0]["label_only"] is None


def test_labels_alone_predict_across_tasks_until_purged():
    rng = np.random.default_rng(8)
    unique = [dna(60, 100 + index) for index in range(200)]
    hidden = rng.integers(0, 2, 200)
    sequences, tasks = unique * 2, ["p"] * 200 + ["q"] * 200
    labels = [str(value) for value in hidden] * 2  # both tasks ask the same in truth
    leaky = leakage_report(
        sequences, tasks, labels, random_split(sequences, tasks, test=0.4, validation=0, seed=2).side
    )
    assert all(task.label_only == 1.0 and task.label_only_rows > 30 for task in leaky.tasks)
    assert all(0.4 < task.any_task < 0.8 and task.same_task == 0 for task in leaky.tasks)
    assert "without DNA" in leaky.lines()[0]
    purged = leakage_report(sequences, tasks, labels, purged_split(sequences, test=0.3, validation=0).side)
    assert purged.clean and all(task.label_only_rows == 0 for task in purged.tasks)
    with pytest.raises(ValueError, match="between training and test"):
        leakage_report(sequences, tasks, labels, ["train"] * 400)


LABEL_ONLY = {
    "H3": 0.286,
    "H4": 0.327,
    "H3K9ac": 0.538,
    "H3K14ac": 0.712,
    "H4ac": 0.630,
    "H3K4me1": 0.321,
    "H3K4me2": 0.471,
    "H3K4me3": 0.573,
    "H3K36me3": 0.470,
    "H3K79me3": 0.348,
}
"""MCC without DNA on the published histone sets, trained on dev, by another predictor on the same labels."""


def test_histone_tasks_tell_about_each_other(shared_genomics):
    sequences, tasks, labels, side = [], [], [], []
    for task in LABEL_ONLY:
        for part, name in (("dev", "train"), ("test", "test")):
            with gzip.open(shared_genomics / "histone" / f"{task}.{part}.csv.gz", "rt") as file:
                rows = list(csv.DictReader(file))
            sequences += [row["sequence"][:32] for row in rows]  # enough to tell windows apart
            labels += [row["label"] for row in rows]
            tasks += [task] * len(rows)
            side += [name] * len(rows)
    report = leakage_report(sequences, tasks, labels, side)
    for task in report.tasks:
        assert task.same_task == 0 and 0.46 < task.any_task < 0.51
        assert task.label_only == pytest.approx(LABEL_ONLY[task.task], abs=0.07)
        assert task.label_only_rows == round(task.any_task * task.test)
