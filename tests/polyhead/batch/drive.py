"""A run in a process of its own, for tests that kill it: ``drive.py FOLDER [SHARD OF]``."""

from __future__ import annotations

import sys
from pathlib import Path

from polyhead.batch.case import Case
from polyhead.batch.run import run_batch
from polyhead.batch.worker import PredictorFactory


def main() -> int:
    folder = Path(sys.argv[1])
    shard = (int(sys.argv[2]), int(sys.argv[3])) if len(sys.argv) > 2 else (0, 1)
    cases = [Case(path.stem, path) for path in sorted((folder / "in").glob("*.toy"))]
    factory = PredictorFactory("toy_predictors:toy", {"journal": str(folder / "journal"), "delay": 0.01})
    options = {"shard": shard, "batch_size": 4, "parameters": {"factor": 1}}
    return run_batch(cases, folder / "out", factory, model_hash="m1", **options).exit_status


if __name__ == "__main__":
    sys.exit(main())
