"""Windows along contigs, what a model says of each, and the mean at every base; a genome takes no more than a batch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from domains.genomics.predicting.tracks import BedRegions, Interval, track
from domains.genomics.sequences.genome import Genome
from domains.genomics.sequences.windows import merge_scores, windows


class Scores(Protocol):
    """The part of `domains.genomics.scoring.scorer.Scorer` that is needed here."""

    @property
    def labels(self) -> Mapping[str, Sequence[str]]: ...

    def score(
        self, sequences: Sequence[str], tasks: Sequence[str] | None = None, *, reverse_complement: bool = False
    ) -> list[dict[str, np.ndarray]]: ...


@dataclass(frozen=True)
class ScanWindows:
    """How contigs are cut.

    Attributes:
        size, stride: bases of a window, and from one's start to the next one's.
        strands: "both" takes the mean with the reverse complement.
        ambiguous: windows with a larger share of letters other than A, C, G and T are not asked, and leave a gap.
        batch: windows that are asked at a time.
    """

    size: int = 500
    stride: int = 100
    strands: str = "both"
    ambiguous: float = 0.1
    batch: int = 256

    def __post_init__(self) -> None:
        for name in ("size", "stride", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.stride > self.size:
            raise ValueError(f"windows of {self.size} bases every {self.stride} leave bases out; take a smaller stride")
        if self.strands not in ("both", "forward"):
            raise ValueError(f"strands is {self.strands!r}; it is both or forward")


@dataclass(frozen=True, slots=True)
class Stretch:
    """What the windows over some bases say on the mean: `values` (tracks,) float64, probabilities."""

    contig: str
    start: int
    end: int
    values: np.ndarray


@dataclass(frozen=True)
class Region:
    """A stretch of a contig to scan, 0-based and half-open."""

    contig: str
    start: int
    end: int


def tracks_of(labels: Mapping[str, Sequence[str]], tasks: Sequence[str] = ()) -> list[tuple[str, int, str]]:
    """Task, place of its label, and name of each track: of two labels the second, else one for each.

    Raises:
        ValueError: an unknown task.
    """
    found = []
    for task in tasks or labels:
        if task not in labels:
            raise ValueError(
                f"{task} is no classification task of this model; those are: {', '.join(labels) or 'none'}"
            )
        names = labels[task]
        if len(names) == 2:
            found.append((task, 1, task))
        else:
            found += [(task, place, f"{task}.{name}") for place, name in enumerate(names)]
    return found


def scan(
    genome: Genome,
    regions: Iterable[Region],
    model: Scores,
    *,
    tasks: Sequence[str] = (),
    settings: ScanWindows | None = None,
    one_strand: Collection[str] = (),
) -> Iterator[Stretch]:
    """The mean of all windows over each base, stretch by stretch, in the order of `regions`.

    The last window ends with its region, and a region shorter than a window is one window. Regions must be sorted and
    must not overlap to be written as a track.

    Args:
        one_strand: tasks that are asked on the forward strand alone, since the other one has another answer.
    """
    settings = settings or ScanWindows()
    tracks = tracks_of(model.labels, tasks)
    asked = list(dict.fromkeys(task for task, _, _ in tracks))
    both = [task for task in asked if settings.strands == "both" and task not in one_strand]
    strands = {True: both, False: [task for task in asked if task not in both]}
    for region in regions:
        for start, end, values in merge_scores(_scored(genome, region, model, strands, tracks, settings)):
            yield Stretch(region.contig, start, end, values)


def _scored(
    genome: Genome,
    region: Region,
    model: Scores,
    strands: Mapping[bool, Sequence[str]],
    tracks: Sequence[tuple[str, int, str]],
    settings: ScanWindows,
) -> Iterator[tuple[int, int, np.ndarray]]:
    length = region.end - region.start
    stream = windows(length, min(settings.size, length), settings.stride)
    while places := list(islice(stream, settings.batch)):
        low, high = region.start + places[0][0], region.start + places[-1][1]
        text = genome.fetch(region.contig, low, high).upper()
        letters = np.frombuffer(text.encode("ascii"), dtype=np.uint8)
        odd = np.append(0, np.cumsum(~np.isin(letters, np.frombuffer(b"ACGT", dtype=np.uint8))))
        kept = []
        for start, end in places:
            start, end = region.start + start, region.start + end
            if (odd[end - low] - odd[start - low]) / (end - start) <= settings.ambiguous:
                kept.append((start, end))
        sequences = [text[start - low : end - low] for start, end in kept]
        answers: list[dict[str, np.ndarray]] = [{} for _ in sequences]
        for both, tasks in strands.items():
            if tasks and sequences:
                told = model.score(sequences, tasks, reverse_complement=both)
                answers = [one | other for one, other in zip(answers, told, strict=True)]
        for (start, end), answer in zip(kept, answers, strict=True):
            yield start, end, np.array([answer[task][place] for task, place, _ in tracks], dtype=np.float64)


def write_scan(
    stretches: Iterable[Stretch],
    folder: Path,
    sizes: Mapping[str, int],
    names: Sequence[str],
    *,
    formats: Sequence[str] = ("bedgraph", "bw", "bed"),
    regions: BedRegions | None = None,
) -> list[Path]:
    """Writes one file a track and format, all in one pass over `stretches`: ``NAME.bedgraph``, ``NAME.bw``, ...

    Args:
        sizes: length of each contig, in the order in which stretches come.
        names: of the tracks, in the order of the stretches' values.
        formats: endings of files, see `domains.genomics.predicting.tracks.FORMATS`.
        regions: what a BED file names.

    Raises:
        ValueError: as `domains.genomics.predicting.tracks.track`; two tracks whose files would have one name.
    """
    files = {name: "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name) for name in names}
    if len(set(files.values())) != len(names):
        raise ValueError(f"two tracks would have one file: {', '.join(names)}")
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    with ExitStack() as stack:
        open_tracks = []
        for place, name in enumerate(names):
            for ending in formats:
                path = folder / f"{files[name]}.{ending.lstrip('.')}"
                shown = name if path.suffix != ".bed" else files[name]
                open_tracks.append((place, stack.enter_context(track(path, sizes, name=shown, regions=regions))))
                paths.append(path)
        for stretch in stretches:
            for place, add in open_tracks:
                add(Interval(stretch.contig, stretch.start, stretch.end, float(stretch.values[place])))
    return paths
