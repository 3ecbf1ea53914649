"""Means of overlapping windows against values by hand, gaps, and the files of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyBigWig
import pytest

from domains.genomics.predicting.scan import Region, ScanWindows, scan, tracks_of, write_scan
from domains.genomics.sequences.alphabet import reverse_complement as other_strand

LABELS = {"g": ("no", "yes"), "three": ("x", "y", "z")}


class StubScorer:
    """P(g) is the share of G; asked batch by batch."""

    def __init__(self):
        self.batches: list[int] = []

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        return LABELS

    def score(
        self, sequences: Sequence[str], tasks: Sequence[str] | None = None, *, reverse_complement: bool = False
    ) -> list[dict[str, np.ndarray]]:
        self.batches.append(len(sequences))
        told = []
        for text in sequences:
            texts = [text, other_strand(text)] if reverse_complement else [text]
            share = float(np.mean([each.count("G") / len(each) for each in texts]))
            values = {"g": np.array([1 - share, share]), "three": np.array([0.5, 0.25, 0.25])}
            told.append({task: values[task] for task in tasks or values})
        return told


class StubGenome:
    def __init__(self, **contigs: str):
        self.contigs = contigs
        self.fetched = 0

    def name(self, contig: str) -> str:
        return contig

    def length(self, contig: str) -> int:
        return len(self.contigs[contig])

    def fetch(self, contig: str, start: int, end: int) -> str:
        self.fetched = max(self.fetched, end - start)
        return self.contigs[contig][start:end]


def draw(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


@pytest.mark.parametrize("length, size, stride", [(95, 20, 7), (100, 20, 10), (11, 20, 5)])
def test_the_mean_at_every_base(length: int, size: int, stride: int) -> None:
    text = draw(length, 1)
    settings = ScanWindows(size, stride, "forward", batch=3)
    model = StubScorer()
    found = list(scan(StubGenome(c=text), [Region("c", 0, length)], model, tasks=["g"], settings=settings))
    width = min(size, length)
    starts = [*range(0, length - width + 1, stride)]
    if starts[-1] + width < length:
        starts.append(length - width)
    sums, counts = np.zeros(length), np.zeros(length)
    for start in starts:
        sums[start : start + width] += text[start : start + width].count("G") / width
        counts[start : start + width] += 1
    told = np.full(length, np.nan)
    for stretch in found:
        told[stretch.start : stretch.end] = stretch.values[0]
    np.testing.assert_allclose(told, sums / counts, atol=1e-12)
    assert max(model.batches) <= 3 and sum(model.batches) == len(starts)


def test_both_strands_regions_and_memory() -> None:
    text = draw(5000, 2)
    genome, model = StubGenome(c=text), StubScorer()
    settings = ScanWindows(50, 50, batch=4)
    found = list(scan(genome, [Region("c", 100, 300), Region("c", 1000, 5000)], model, tasks=["g"], settings=settings))
    assert (found[0].start, found[-1].end) == (100, 5000)
    strong = text[100:150].count("G") + text[100:150].count("C")
    assert found[0].values[0] == pytest.approx(strong / 100)
    assert genome.fetched <= 200
    one = list(scan(genome, [Region("c", 100, 300)], model, settings=settings, one_strand=["g"]))
    assert one[0].values[0] == text[100:150].count("G") / 50 and one[0].values[1] == 0.5


def test_ambiguous_windows_leave_gaps() -> None:
    text = draw(100, 3) + "N" * 60 + draw(100, 4)
    settings = ScanWindows(20, 20, ambiguous=0.2)
    found = list(scan(StubGenome(c=text), [Region("c", 0, 260)], StubScorer(), tasks=["g"], settings=settings))
    assert [(stretch.start, stretch.end) for stretch in found if stretch.end > 80][:2] == [(80, 100), (160, 180)]
    gone = list(scan(StubGenome(c="N" * 50), [Region("c", 0, 50)], StubScorer(), tasks=["g"], settings=settings))
    assert gone == []


def test_files_of_a_scan(tmp_path: Path) -> None:
    text = draw(60, 5) + "G" * 40 + draw(60, 6)
    genome = StubGenome(c=text)
    names = [name for _, _, name in tracks_of(LABELS)]
    assert names == ["g", "three.x", "three.y", "three.z"]
    settings = ScanWindows(20, 10, "forward")
    stretches = scan(genome, [Region("c", 0, 160)], StubScorer(), settings=settings)
    paths = write_scan(stretches, tmp_path / "out", {"c": 160}, names)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in paths)
    assert len(paths) == 12
    with pyBigWig.open(str(tmp_path / "out" / "g.bw")) as file:
        assert file.values("c", 75, 85) == [1.0] * 10
        assert not np.isnan(file.values("c", 0, 160)).any()
    assert "\t1000\t.\t" in (tmp_path / "out" / "g.bed").read_text()
    assert len((tmp_path / "out" / "three.x.bed").read_text().splitlines()) == 1
    with pytest.raises(ValueError, match="one file"):
        write_scan([], tmp_path, {"c": 1}, ["a b", "a_b"])


def test_settings_and_tasks_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="leave bases out"):
        ScanWindows(10, 20)
    with pytest.raises(ValueError, match="those are: g, three"):
        tracks_of(LABELS, ["h"])
