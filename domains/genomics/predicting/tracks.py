"""Values along contigs as BED, bedGraph and bigWig: sorted, in constant memory, whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from polyhead.system.files import replacing

FORMATS = {".bedgraph": "bedgraph", ".bg": "bedgraph", ".bw": "bigwig", ".bigwig": "bigwig", ".bed": "bed"}
"""Endings of files, and the format that each stands for."""

_ENTRIES = 8192


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of a contig with one value; 0-based, half-open."""

    contig: str
    start: int
    end: int
    value: float


@dataclass(frozen=True)
class BedRegions:
    """Which stretches a BED file names.

    Attributes:
        threshold: the least value.
        gap: stretches that are at most so many bases apart become one.
        shortest: stretches of fewer bases are left out.
    """

    threshold: float = 0.5
    gap: int = 0
    shortest: int = 1


Add = Callable[[Interval], None]


@contextmanager
def track(path: Path, sizes: Mapping[str, int], *, name: str = "", regions: BedRegions | None = None) -> Iterator[Add]:
    """A file of the format that its ending says, see `FORMATS`, which takes intervals one by one.

    Intervals come sorted by contig, in the order of `sizes`, and by start, and do not overlap. A value that is not
    finite leaves a gap. Neighbours of one value become one line. An error on the way leaves what was there before.

    - bedGraph: a ``track`` line with `name`, then contig, start, end, value.
    - bigWig: all contigs of `sizes`, values in single precision; it needs one interval at least, as readers do.
    - BED: the stretches of `regions`, with the names ``NAME_1``, ``NAME_2``, ...; the score is 1000 times the highest
      value, cut to 0 ... 1000 as of a probability; the strand is ``.``; a seventh column holds the mean value over the
      bases that reach the threshold.

    Raises:
        ValueError: another ending, an unknown contig, an interval that is empty, past the contig's end or out of order.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path.name}: a track is written as {', '.join(sorted(FORMATS))}")
    if not sizes:
        raise ValueError("a track needs the sizes of its contigs")
    with replacing(path) as temporary:
        if kind == "bigwig":
            with _BigWig(temporary, sizes) as big:
                yield _pushing(big, sizes)
                big.finish()
            return
        with temporary.open("w", encoding="utf-8", newline="\n") as stream:
            sink: _Sink = _BedGraph(stream, name) if kind == "bedgraph" else _Bed(stream, name, regions or BedRegions())
            yield _pushing(sink, sizes)
            sink.finish()


def write_track(
    intervals: Iterable[Interval],
    path: Path,
    sizes: Mapping[str, int],
    *,
    name: str = "",
    regions: BedRegions | None = None,
) -> Path:
    """Writes all intervals by `track` and returns the path."""
    with track(path, sizes, name=name, regions=regions) as add:
        for interval in intervals:
            add(interval)
    return path


def _pushing(sink: _Sink, sizes: Mapping[str, int]) -> Add:
    """What checks an interval against the last one and gives it on."""
    order = {contig: place for place, contig in enumerate(sizes)}
    last: tuple[str, int] | None = None

    def add(interval: Interval) -> None:
        nonlocal last
        where = f"{interval.contig}:{interval.start + 1}-{interval.end}"
        if interval.contig not in order:
            raise ValueError(f"{where}: the contig is none of the {len(sizes)} that were given")
        if not 0 <= interval.start < interval.end <= sizes[interval.contig]:
            raise ValueError(f"{where} is no stretch of a contig of {sizes[interval.contig]} bases")
        if last is not None and order[interval.contig] < order[last[0]]:
            raise ValueError(f"{where} comes after {last[0]}: contigs must come in the reference's order")
        if last is not None and interval.contig == last[0] and interval.start < last[1]:
            raise ValueError(f"{where} begins before base {last[1] + 1}, where the last one ended")
        last = interval.contig, interval.end
        if math.isfinite(interval.value):
            sink.add(interval)

    return add


class _Sink(Protocol):
    def add(self, interval: Interval) -> None: ...

    def finish(self) -> None: ...


class _Runs:
    """Neighbours with equal values as one, given on to `write`."""

    def __init__(self, write: Add):
        self._write = write
        self._held: Interval | None = None

    def add(self, interval: Interval) -> None:
        held = self._held
        if held is not None and (held.contig, held.end, held.value) == (
            interval.contig,
            interval.start,
            interval.value,
        ):
            self._held = Interval(held.contig, held.start, interval.end, held.value)
            return
        if held is not None:
            self._write(held)
        self._held = interval

    def finish(self) -> None:
        if self._held is not None:
            self._write(self._held)
        self._held = None


class _BedGraph:
    def __init__(self, stream: TextIO, name: str):
        runs = _Runs(self._write)
        self.add, self.finish = runs.add, runs.finish
        self._stream = stream
        stream.write('track type=bedGraph name="' + name.replace('"', "'") + '"\n')

    def _write(self, interval: Interval) -> None:
        self._stream.write(f"{interval.contig}\t{interval.start}\t{interval.end}\t{interval.value:.6g}\n")


class _BigWig:
    def __init__(self, path: Path, sizes: Mapping[str, int]):
        import pyBigWig

        self._runs = _Runs(self._write)
        self.add = self._runs.add
        self._part: list[Interval] = []
        self._entries = 0
        self._file: Any = pyBigWig.open(str(path), "w")
        self._file.addHeader(list(sizes.items()))

    def __enter__(self) -> _BigWig:
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    def _write(self, interval: Interval) -> None:
        self._part.append(interval)
        if len(self._part) == _ENTRIES:
            self._flush()

    def finish(self) -> None:
        self._runs.finish()
        self._flush()
        if not self._entries:
            raise ValueError("no stretch has a value, and an empty bigWig cannot be read")

    def _flush(self) -> None:
        if self._part:
            self._file.addEntries(
                [interval.contig for interval in self._part],
                [interval.start for interval in self._part],
                ends=[interval.end for interval in self._part],
                values=[float(interval.value) for interval in self._part],
            )
        self._entries += len(self._part)
        self._part = []


@dataclass
class _Stretch:
    contig: str
    start: int
    end: int
    highest: float
    total: float
    bases: int


class _Bed:
    def __init__(self, stream: TextIO, name: str, regions: BedRegions):
        self._stream, self._name, self._regions = stream, name or "region", regions
        self._held: _Stretch | None = None
        self._count = 0

    def add(self, interval: Interval) -> None:
        if interval.value < self._regions.threshold:
            return
        held, bases = self._held, interval.end - interval.start
        if held is not None and held.contig == interval.contig and interval.start - held.end <= self._regions.gap:
            held.end, held.highest = interval.end, max(held.highest, interval.value)
            held.total, held.bases = held.total + interval.value * bases, held.bases + bases
            return
        self.finish()
        self._held = _Stretch(
            interval.contig, interval.start, interval.end, interval.value, interval.value * bases, bases
        )

    def finish(self) -> None:
        held, self._held = self._held, None
        if held is None or held.end - held.start < self._regions.shortest:
            return
        self._count += 1
        score = round(1000 * min(max(held.highest, 0.0), 1.0))
        cells = (
            held.contig,
            held.start,
            held.end,
            f"{self._name}_{self._count}",
            score,
            ".",
            f"{held.total / held.bases:.6g}",
        )
        self._stream.write("\t".join(map(str, cells)) + "\n")
