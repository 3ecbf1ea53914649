"""What the answers in OUT are answers to; another request never takes their place without being told to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from polyhead.batch.writer import dump_json
from polyhead.runs.differences import TOLD, differences
from polyhead.system.files import write_whole
from polyhead.system.folders import BATCH_FILE, BATCH_STATE

REQUEST_FILE = "request.json"


@dataclass(frozen=True)
class Request:
    """What a batch is asked, whatever its inputs are.

    Attributes:
        model: the hash of the model.
        parameters: JSON values that decide the answers.
        run: the run as the user named it, for words.
    """

    model: str
    parameters: Mapping[str, Any]
    run: str = ""

    def save(self, out: Path) -> None:
        """Makes this what the answers in `out` are to; its folder of states is there."""
        write_whole(out / BATCH_STATE / REQUEST_FILE, dump_json(asdict(self)) + b"\n")

    @staticmethod
    def load(out: Path) -> Request | None:
        """What the answers in `out` are to; None where none was asked."""
        for file, model in ((out / BATCH_STATE / REQUEST_FILE, "model"), (out / BATCH_FILE, "model_hash")):
            try:
                said = json.loads(file.read_bytes())
                run = said.get("run", "") if model == "model" else said["info"].get("run", "")
                return Request(str(said[model]), dict(said["parameters"]), str(run))
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
        return None

    def is_other(self, there: Request) -> bool:
        """Whether `there` asks something else; where the run lies does not matter."""
        return (self.model, json.loads(dump_json(dict(self.parameters)))) != (there.model, dict(there.parameters))

    def refuse_other(self, out: Path) -> None:
        """A `ValueError` where the answers in `out` are to another request: one line says in what it differs."""
        there = Request.load(out)
        if there is not None and self.is_other(there):
            raise ValueError(
                f"{out} holds the answers to another command ({'; '.join(self._differences(there))}); "
                f"choose another -o and keep both, or --overwrite to have these replaced"
            )

    def _differences(self, there: Request) -> list[str]:
        told = []
        if there.model != self.model:
            same = there.run == self.run
            named = f"{self.run or 'it'} has changed since" if same else f"was {there.run}, now {self.run}"
            told.append(f"model: {named}")
        wanted = json.loads(dump_json(dict(self.parameters)))
        lines = [_setting(name, there.parameters, wanted) for name in dict.fromkeys([*there.parameters, *wanted])]
        lines = [line for line in lines if line]
        more = [f"and {len(lines) - TOLD} more"] if len(lines) > TOLD else []
        return told + lines[:TOLD] + more


def _setting(name: str, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """How one parameter differs, in words; of lists of words, as those of tasks, what only one of them has."""
    old, new = there.get(name), wanted.get(name)
    if old == new:
        return ""
    if isinstance(old, list) and isinstance(new, list) and all(isinstance(each, str) for each in [*old, *new]):
        gone, come = [each for each in old if each not in new], [each for each in new if each not in old]
        words = [f"without {_some(gone)}"] if gone else []
        words += [f"with {_some(come)}"] if come else []
        return f"{name}: now {' and '.join(words) or 'in another order'}"
    return "; ".join(differences(old, new, name)) or ""


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
