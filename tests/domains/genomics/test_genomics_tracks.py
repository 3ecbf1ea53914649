"""Track files read back, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pyBigWig
import pytest

from domains.genomics.predicting.tracks import BedRegions, Interval, track, write_track

SIZES = {"chr2": 1000, "chr10": 300}
VALUES = [
    Interval("chr2", 0, 50, 0.25),
    Interval("chr2", 50, 100, 0.25),
    Interval("chr2", 100, 150, 0.75),
    Interval("chr2", 150, 200, math.nan),
    Interval("chr2", 210, 260, 1.0),
    Interval("chr10", 290, 300, 0.5),
]


def test_bedgraph(tmp_path: Path) -> None:
    path = write_track(VALUES, tmp_path / "a.bedgraph", SIZES, name='the "task"')
    lines = path.read_text().splitlines()
    assert lines[0] == "track type=bedGraph name=\"the 'task'\""
    expected = ["chr2\t0\t100\t0.25", "chr2\t100\t150\t0.75", "chr2\t210\t260\t1", "chr10\t290\t300\t0.5"]
    assert lines[1:] == expected


def test_bigwig(tmp_path: Path) -> None:
    path = write_track(VALUES, tmp_path / "a.bw", SIZES)
    with pyBigWig.open(str(path)) as file:
        assert file.chroms() == SIZES
        assert file.intervals("chr2") == ((0, 100, 0.25), (100, 150, 0.75), (210, 260, 1.0))
        assert file.stats("chr10", 290, 300)[0] == 0.5
    many = [Interval("chr2", place, place + 1, place % 7 / 8) for place in range(1000)] * 1
    path = write_track(many, tmp_path / "b.bw", SIZES)
    with pyBigWig.open(str(path)) as file:
        assert file.values("chr2", 0, 1000) == [place % 7 / 8 for place in range(1000)]


def test_bed_regions(tmp_path: Path) -> None:
    path = write_track(VALUES, tmp_path / "a.bed", SIZES, name="hit")
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    assert rows == [
        ["chr2", "100", "150", "hit_1", "750", ".", "0.75"],
        ["chr2", "210", "260", "hit_2", "1000", ".", "1"],
        ["chr10", "290", "300", "hit_3", "500", ".", "0.5"],
    ]
    regions = BedRegions(0.6, gap=60, shortest=20)
    path = write_track(VALUES, tmp_path / "b.bed", SIZES, regions=regions)
    assert path.read_text() == "chr2\t100\t260\tregion_1\t1000\t.\t0.875\n"


@pytest.mark.parametrize(
    "intervals, words",
    [
        ([Interval("chr2", 5, 9, 1.0), Interval("chr2", 8, 12, 1.0)], "begins before base 10"),
        ([Interval("chr10", 5, 9, 1.0), Interval("chr2", 8, 12, 1.0)], "reference's order"),
        ([Interval("chr10", 290, 301, 1.0)], "no stretch of a contig of 300 bases"),
        ([Interval("chr3", 0, 1, 1.0)], "none of the 2"),
        ([Interval("chr2", 3, 3, 1.0)], "no stretch"),
    ],
)
@pytest.mark.parametrize("name", ["a.bedgraph", "a.bw", "a.bed"])
def test_what_is_refused_leaves_nothing(tmp_path: Path, name: str, intervals: list[Interval], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        write_track([Interval("chr2", 0, 5, 1.0), *intervals], tmp_path / name, SIZES)
    assert list(tmp_path.iterdir()) == []


def test_endings_and_empty_tracks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"x\.wig: a track is written as"):
        write_track([], tmp_path / "x.wig", SIZES)
    with pytest.raises(ValueError, match="no stretch has a value"):
        write_track([], tmp_path / "x.bw", SIZES)
    with pytest.raises(ValueError, match="sizes"), track(tmp_path / "x.bed", {}):
        pass
    assert write_track([], tmp_path / "x.bed", SIZES).read_text() == ""
