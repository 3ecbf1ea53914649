from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from polyhead.batch.case import Case
from polyhead.batch.outcome import Summary
from polyhead.batch.run import run_batch
from polyhead.batch.worker import PredictorFactory


class Bench:
    """A folder of toy inputs and runs over it."""

    def __init__(self, folder: Path):
        self.inputs, self.out, self.journal = folder / "in", folder / "out", folder / "journal"
        self.inputs.mkdir()

    def cases(self, texts: Mapping[str, str]) -> list[Case]:
        cases = []
        for name, text in texts.items():
            path = self.inputs / f"{name}.toy"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            cases.append(Case(name, path))
        return cases

    def run(self, cases: list[Case], *, factor: int = 1, delay: float = 0.0, **options: Any) -> Summary:
        arguments = {"journal": str(self.journal), "factor": factor, "delay": delay}
        options = {"model_hash": "m1", "parameters": {"factor": factor}, "batch_size": 4, **options}
        factory = options.pop("factory", PredictorFactory("toy_predictors:toy", arguments))
        return run_batch(cases, self.out, factory, **options)

    def rows(self) -> dict[str, dict[str, Any]]:
        lines = (self.out / "results.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        assert len({row["id"] for row in rows}) == len(rows)
        return {row["id"]: row for row in rows}

    def statuses(self) -> dict[str, str]:
        return {name: row["status"] for name, row in self.rows().items()}

    def journal_lines(self, word: str) -> list[str]:
        """What the toys noted since the last call that begins with `word`."""
        lines = self.journal.read_text(encoding="utf-8").splitlines() if self.journal.exists() else []
        return [line for line in lines if line.startswith(word)]

    def forget_journal(self) -> None:
        self.journal.unlink(missing_ok=True)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    # the worker inherits sys.path, and finds the toys there
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])
    return Bench(tmp_path)
