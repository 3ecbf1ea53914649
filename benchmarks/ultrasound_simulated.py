"""The preset `tiny` on simulated data: 27 tasks, three seeds of training, scored on images that no training saw.

    python -m benchmarks.ultrasound_simulated

The commands that a user would type, one after the other: sample, then for each seed train, predict and evaluate on the
sample's own validation set. Beside each score stands the trivial baseline fitted on the training rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.results import table, write_section
from domains.medical.ultrasound.data.fm_uia import read_tables
from domains.medical.ultrasound.evaluation.evaluate import evaluate
from domains.medical.ultrasound.evaluation.report import MAIN_METRIC


def polyhead(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "apps.cli", "ultrasound", *map(str, words)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", nargs="*", default=[], help="settings of the training, name=value")
    given = parser.parse_args()
    reports: list[dict[str, Any]] = []
    seconds = []
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        polyhead("sample", data, "--quiet")
        rows = read_tables(data).rows
        for seed in given.seeds:
            run, out = Path(scratch) / f"run{seed}", Path(scratch) / f"out{seed}"
            started = time.perf_counter()
            changes = [word for setting in given.set for word in ("--set", setting)]
            polyhead("train", data, "-o", run, "--preset", "tiny", "--seed", seed, "--quiet", *changes)
            seconds.append(time.perf_counter() - started)
            polyhead("predict", run, data / "val", "-o", out, "--format", "fm-uia", "--save", "masks", "--quiet")
            reports.append(evaluate(out, data / "val", baselines_from=rows).to_json())
            print(json.dumps(reports[-1]["leaderboard"]))

    def shown(values: list[float]) -> str:
        return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"

    columns = []
    for name, first in reports[0]["leaderboard"].items():
        columns.append(
            [
                name,
                shown([report["leaderboard"][name]["value"] for report in reports]),
                f"{first['low']:.3f} to {first['high']:.3f}",
                f"{first['baseline']:.3f}",
            ]
        )
    tasks = []
    for index, first in enumerate(reports[0]["tasks"]):
        metric = MAIN_METRIC[first["kind"]]

        def main_score(report: dict[str, Any], index: int = index, metric: str = metric) -> dict[str, Any]:
            return next(score for score in report["tasks"][index]["scores"] if score["metric"] == metric)

        values = [main_score(report)["value"] for report in reports]
        tasks.append([first["task"], metric, shown(values), f"{main_score(reports[0])['baseline']:.3f}"])
    text = (
        f"{len(rows)} training rows of 27 tasks, {reports[0]['rows']} rows to score; {len(given.seeds)} seeds of "
        f"training, {statistics.median(seconds):.0f} s each (median). Mean over seeds, with the smallest and the "
        "largest; the interval is a bootstrap over images of the first seed. The baselines are the constant class, the "
        "mean box, the mean points and the empty mask.\n\n"
    )
    text += table(["mean over tasks", "score (seeds)", "95 % interval", "baseline"], columns)
    text += "\n\n" + table(["task", "metric", "score (seeds)", "baseline"], tasks)
    write_section("Simulated ultrasound, preset tiny", text)


if __name__ == "__main__":
    main()
