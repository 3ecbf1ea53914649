"""What the core itself costs, with stand-ins for models: a case of the batch runner, a step of the training loop.

    python -m benchmarks.core_overhead --baseline CHECKOUT [--only batch|training]

CHECKOUT is a folder with an earlier state of this repository; both states run the same stand-in in turns, and the small
sizes are medians. Memory is the parent's own: the most that it has held, less what it held before, a case.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.results import table, write_section

HERE = Path(__file__).resolve().parents[1]
SIZES = (1_000, 10_000, 50_000)
TURNS = 5
STEPS = 400
LARGE = 20_000
"""Batches of more cases than this run once."""

Cost = dict[str, dict[str, float]]


def batch_cost(checkout: Path, cases: int, scratch: Path, *, workers: int = 2, batch_size: int = 16) -> Cost:
    """What a batch of the stand-in costs with the code of a checkout: a first run, and one that finds all done."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        command = [sys.executable, str(HERE / "benchmarks/batch_stand_in.py"), str(checkout), folder]
        environment = os.environ | {"PYTHONPATH": str(checkout)}
        numbers = [str(cases), str(workers), str(batch_size)]
        return json.loads(subprocess.check_output([*command, *numbers], env=environment))


def batch_half(states: dict[str, Path], sizes: Sequence[int], turns: int, scratch: Path) -> str:
    """The table of the batch runner."""
    lines = []
    for cases in sizes:
        found: dict[str, list[Cost]] = {name: [] for name in states}
        for _ in range(turns if cases <= LARGE else 1):
            for name, checkout in states.items():
                found[name].append(batch_cost(checkout, cases, scratch))
        lines += [[f"{cases:,}", name, *_numbers(costs, cases)] for name, costs in found.items()]
    header = ["cases", "code", "parent CPU ms", "worker CPU ms", "wall ms", "parent KB", "peak MB"]
    header += ["again: CPU ms", "again: wall ms"]
    return (
        "Per case, but for the peak. A stand-in that writes four files of 2 KB and a record of 0.75 KB for each case, "
        f"2 workers, batches of 16, in {scratch}.\n\n{table(header, lines)}"
    )


def _numbers(costs: list[Cost], cases: int) -> list[str]:
    def middle(value: Callable[[Cost], float]) -> float:
        return median(value(cost) for cost in costs)

    def a_case(turn: str, name: str) -> str:
        return f"{middle(lambda cost: cost[turn][name]) / cases * 1e3:.2f}"

    grown = middle(lambda cost: cost["first"]["parent_peak_kib"] - cost["first"]["parent_before_kib"]) / cases
    return [
        a_case("first", "parent_cpu_s"),
        a_case("first", "worker_cpu_s"),
        a_case("first", "wall_s"),
        f"{grown:.2f}",
        f"{middle(lambda cost: cost['first']['parent_peak_kib']) / 1024:.0f}",
        a_case("again", "parent_cpu_s"),
        a_case("again", "wall_s"),
    ]


def training_half(states: dict[str, Path], sizes: Sequence[int], turns: int, scratch: Path) -> str:
    """The table of the training loop, of this code alone."""
    from benchmarks.step_stand_in import BATCH, step_microseconds

    lines = []
    for tasks, together in ((1, 1), (27, 1), (27, 8)):
        for average in (False, True):
            found = [step_microseconds(tasks, together, STEPS, scratch, average=average) for _ in range(turns)]
            ours, bare = (median(column) for column in zip(*found, strict=True))
            words = [str(tasks), str(together), "yes" if average else "no", *(f"{each:.0f}" for each in (ours, bare))]
            lines.append([*words, f"{ours - bare:.0f}"])
    header = ["tasks", "in a step", "average", "µs a step", "bare loop µs", "added µs"]
    return (
        f"Medians of {STEPS} steps, {turns} turns, batches of {BATCH} rows through two small layers, so that a step is "
        "little but the loop: sampling, loading, losses, the norm of the gradient, a line of metrics. The bare loop "
        f"has the same model, optimiser and rows, and nothing else.\n\n{table(header, lines)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baseline", type=Path, help="an earlier checkout, run in turns with this one")
    parser.add_argument("--only", choices=HALVES, action="append", help="one half; may be given several times")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of cases of a batch")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()), help="where batches are written")
    given = parser.parse_args()
    states = {"before": given.baseline.resolve()} if given.baseline else {}
    states["now"] = HERE
    for name in given.only or HALVES:
        title, half = HALVES[name]
        write_section(title, half(states, given.sizes, given.turns, given.scratch))


HALVES: dict[str, tuple[str, Callable[[dict[str, Path], Sequence[int], int, Path], str]]] = {
    "training": ("What the training loop adds to a step", training_half),
    "batch": ("What a case of the batch runner costs", batch_half),
}


if __name__ == "__main__":
    main()
