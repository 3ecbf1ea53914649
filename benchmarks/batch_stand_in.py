"""A stand-in for a predictor, and a batch of it: ``batch_stand_in.py CHECKOUT FOLDER CASES WORKERS BATCH_SIZE``.

Run as a script it imports polyhead from CHECKOUT, predicts CASES small files and prints, as JSON, what the batch cost.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

ANSWER = b"x" * 2000


class StandIn:
    """Reads a few bytes, answers nothing, and writes four small files and a record of 0.75 KB."""

    def read(self, case: Any) -> bytes:
        return case.path.read_bytes()

    def predict(self, items: Sequence[bytes]) -> list[int]:
        return [len(item) for item in items]

    def write(self, case: Any, result: int, out: Any) -> dict[str, Any]:
        for name in ("mask.bin", "overlay.bin", "thumb.bin"):
            out.write_bytes(name, ANSWER)
        out.write_json("result.json", {"length": result})
        return {"length": result, "thumbnail": "thumb.bin"} | {f"task_{i:02d}.area_mm2": i + 0.25 for i in range(28)}


def stand_in() -> StandIn:
    return StandIn()


def _peak_kib() -> int:
    """Most memory that this process has held; `ru_maxrss` would count that of the process which started it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def _cpu(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def main() -> None:
    checkout, folder, count, workers, batch_size = sys.argv[1:]
    sys.path.insert(0, checkout)
    from polyhead.batch.case import Case
    from polyhead.batch.worker import PredictorFactory

    home = Path(checkout, "polyhead/batch")
    run_batch = import_module(
        "polyhead.batch.run" if (home / "run.py").is_file() else "polyhead.batch.engine"
    ).run_batch
    source = Path(folder, "in")
    source.mkdir(parents=True, exist_ok=True)
    for index in range(int(count)):
        path = source / f"{index:06d}.bin"
        if not path.exists():
            path.write_bytes(b"y" * (100 + index % 50))
    cases = [Case(f"{index:06d}", source / f"{index:06d}.bin") for index in range(int(count))]
    told: dict[str, Any] = {}
    for turn in ("first", "again"):
        before, wall, held = _cpu(resource.RUSAGE_SELF), time.perf_counter(), _peak_kib()
        children = _cpu(resource.RUSAGE_CHILDREN)
        summary = run_batch(
            cases,
            Path(folder, "out"),
            PredictorFactory("batch_stand_in:stand_in", {}),
            model_hash="m",
            parameters={},
            workers=int(workers),
            batch_size=int(batch_size),
        )
        assert dict(summary.counts) == {"ok" if turn == "first" else "skipped": int(count)}, summary
        told[turn] = {
            "wall_s": time.perf_counter() - wall,
            "parent_cpu_s": _cpu(resource.RUSAGE_SELF) - before,
            "worker_cpu_s": _cpu(resource.RUSAGE_CHILDREN) - children,
            "parent_before_kib": held,
            "parent_peak_kib": _peak_kib(),
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
