"""The codecs of image answers: ``codecs/NAME.json`` and ``codecs/NAME.safetensors`` in the folder of data or of a run.

``tasks.json`` names the codec of a task by its option ``codec``; a training takes it along into the run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from domains.genomics.answers.answer import Answer
from domains.genomics.answers.image import ImageAnswer
from polyhead.system.files import replacing

if TYPE_CHECKING:
    from domains.genomics.answers.vqvae import VqVae

CODECS = "codecs"
_ENDINGS = (".json", ".safetensors")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def load_codecs(folder: Path, answers: Mapping[str, Answer]) -> dict[str, VqVae]:
    """The codecs that a run or data keep, by task; a task without one is left out.

    Raises:
        ValueError: a codec that is damaged or incomplete, or does not make the codes of the task's answer.
    """
    from domains.genomics.answers.vqvae import load_vqvae

    read: dict[str, VqVae] = {}
    found = {}
    for task, answer in answers.items():
        name = answer.codec if isinstance(answer, ImageAnswer) else ""
        if not name or not any(path.is_file() for path in codec_files(folder, name)):
            continue
        codec = read.get(name) or read.setdefault(name, load_vqvae(Path(folder) / CODECS, name))
        made = codec.answer(name)
        if made != answer:
            raise ValueError(f"task {task!r}: its answer is {_words(answer)}, its codec {name} makes {_words(made)}")
        found[task] = codec
    return found


def codec_files(folder: Path, name: str) -> tuple[Path, Path]:
    """Where the settings and the weights of a codec lie; a name that is none for a file is a `ValueError`."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"a codec's name is of letters, digits, _ and -, got {name!r}")
    settings, weights = (Path(folder) / CODECS / f"{name}{ending}" for ending in _ENDINGS)
    return settings, weights


def codec_hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of the files of codecs that are there, by name."""
    found = {}
    for name in sorted(set(names)):
        files = codec_files(folder, name)
        if all(path.is_file() for path in files):
            found[name] = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    return found


def copy_codecs(source: Path, target: Path, names: Iterable[str]) -> None:
    """Copies codecs from the folder of data into that of other data or of a run."""
    for name in sorted(set(names)):
        for old, new in zip(codec_files(source, name), codec_files(target, name), strict=True):
            new.parent.mkdir(parents=True, exist_ok=True)
            with replacing(new) as temporary:
                temporary.write_bytes(old.read_bytes())


def drop_codecs(run: Path, keep: Iterable[str]) -> None:
    """Removes from a run folder the codecs that a former training left, but for those named."""
    folder = run / CODECS
    kept = {path for name in keep for path in codec_files(run, name)}
    if folder.is_dir():
        for path in folder.iterdir():
            if path.suffix in _ENDINGS and path not in kept:
                path.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()


def _words(answer: Answer) -> str:
    assert isinstance(answer, ImageAnswer)
    return f"a grid of {answer.grid[0]} x {answer.grid[1]} of {answer.codes} codes"
