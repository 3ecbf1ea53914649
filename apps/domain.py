"""The methods of an application that are functions of its domain, each imported when it is called."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from polyhead.batch.case import Case, Predictor


class DomainApplication:
    """Calls `sources`, `training`, `predict` and `evaluate` of a domain's rooms, and the module that makes samples.

    Attributes:
        domain: the package of the domain.
        sampler: its module with `sample`.
    """

    domain: ClassVar[str]
    sampler: ClassVar[str]

    def sample(self, out: Path, **options: Any) -> None:
        self._domain(self.sampler).sample(out, **options)

    def cases(self, source: str | Path, **options: Any) -> Iterator[Case]:
        yield from self._domain("asking.sources").cases_from(source, **options)

    def train(self, data: Path, run: Path, config: Any, **options: Any) -> Any:
        return self._domain("learning.training").train(data, run, config, **options)

    def predictor(self, run: Path, **options: Any) -> Predictor:
        return self._domain("predicting.predict").load_predictor(run=run, **options)

    def evaluate(self, predictions: Path, data: Path, **options: Any) -> Any:
        return self._domain("evaluation.evaluate").evaluate(predictions, data, **options)

    def _domain(self, module: str) -> Any:
        return import_module(f"{self.domain}.{module}")
