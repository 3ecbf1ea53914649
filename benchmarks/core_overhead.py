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
LARGE = 20_000
"""Batches of more cases than this run once."""

STEPS = 400
"""Steps of each training."""

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


def training_cost(checkout: Path, scratch: Path) -> Cost:
    """Microseconds of a step of `fit` and of a bare loop, by setting, with the code of a checkout."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        command = [sys.executable, str(HERE / "benchmarks/training_stand_in.py"), str(checkout), folder, str(STEPS)]
        return json.loads(subprocess.check_output(command, env=os.environ | {"PYTHONPATH": str(checkout)}))


def training_half(states: dict[str, Path], sizes: Sequence[int], turns: int, scratch: Path) -> str:
    """The table of the training loop."""
    found: dict[str, list[Cost]] = {name: [] for name in states}
    for _ in range(turns):
        for name, checkout in states.items():
            found[name].append(training_cost(checkout, scratch))
    lines = []
    for setting in found["now"][0]:
        for name, costs in found.items():
            bare, whole = (median(cost[setting][kind] for cost in costs) for kind in ("bare", "fit"))
            lines.append([setting, name, f"{bare:,.0f}", f"{whole:,.0f}", f"{whole - bare:,.0f}"])
    header = ["setting", "code", "bare loop", "fit", "added"]
    return (
        f"CPU microseconds a step, medians over {STEPS} steps and {turns} processes in turns, one thread. A model of a "
        "few hundred weights, so that the loop is what costs; the bare loop has the same model, losses and optimiser, "
        "and neither draws rows, nor writes metrics, nor measures the gradient.\n\n"
        f"{table(header, lines)}"
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
    "batch": ("What a case of the batch runner costs", batch_half),
    "training": ("What a step of the training loop costs", training_half),
}


if __name__ == "__main__":
    main()
