"""The answers of a model's tasks as one JSON file beside its weights."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from domains.genomics.answers.answer import EOS, Answer
from domains.genomics.answers.classes import ClassAnswer
from domains.genomics.answers.image import ImageAnswer
from domains.genomics.answers.numbers import NumberAnswer
from domains.genomics.answers.text import TextAnswer
from polyhead.registry import Registry
from polyhead.system.files import replacing

ANSWERS_FILE = "answers.json"

ANSWERS: Registry[type[ClassAnswer] | type[NumberAnswer] | type[TextAnswer] | type[ImageAnswer]] = Registry(
    "answer kind"
)
for _kind in (ClassAnswer, NumberAnswer, TextAnswer, ImageAnswer):
    ANSWERS.add(_kind.kind)(_kind)


def answer_from_json(data: Mapping[str, Any]) -> Answer:
    """The answer that `Answer.to_json` described; an unknown kind is a `ValueError`."""
    return ANSWERS[data["kind"]].from_json(data)


def answer_tokens(answers: Iterable[Answer]) -> tuple[str, ...]:
    """The tokens of all answers and `EOS`, each once, in the order of first use."""
    return tuple(dict.fromkeys([EOS, *(token for answer in answers for token in answer.tokens)]))


def save_answers(folder: Path, answers: Mapping[str, Answer]) -> Path:
    """Writes ``answers.json`` into an existing folder."""
    path = Path(folder) / ANSWERS_FILE
    with replacing(path) as temporary:
        entries = {task: answer.to_json() for task, answer in answers.items()}
        temporary.write_text(json.dumps(entries, ensure_ascii=False, indent=1), encoding="utf-8")
    return path


def load_answers(folder: Path) -> dict[str, Answer]:
    """Reads ``answers.json``; a `ValueError` says where the folder has none or it cannot be read."""
    path = Path(folder) / ANSWERS_FILE
    if not path.is_file():
        raise ValueError(f"{folder}: no {ANSWERS_FILE}; a run of a genomics training holds it")
    try:
        return {task: answer_from_json(entry) for task, entry in json.loads(path.read_text("utf-8")).items()}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not the answers of a genomics run ({error})") from error
