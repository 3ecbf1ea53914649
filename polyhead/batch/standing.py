"""What stands in OUT beside what is asked: inputs that are results themselves, and answers that nobody asked for."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from polyhead.batch.case import Case
from polyhead.batch.folder import RESERVED
from polyhead.batch.receipts import load_receipt
from polyhead.batch.search import is_hidden
from polyhead.batch.writer import RECEIPT
from polyhead.system.folders import BATCH_STATE

logger = logging.getLogger(__name__)

TOLD = 3
"""Names that a line tells at most."""


def outside(cases: Sequence[Case], out: Path) -> Sequence[Case]:
    """The cases that do not lie in `out`, however their paths are spelled: a batch never answers its own answers.

    Those that do are warned of, in a line. What the batch itself keeps for its input (in `BATCH_STATE`) is no answer.

    Raises:
        ValueError: all of them lie there.
    """
    try:
        here = _key(out)
    except OSError:
        return cases
    known: dict[str, bool] = {}
    state = Path(os.path.realpath(out), BATCH_STATE)

    def lies_in(folder: str) -> bool:
        if folder not in known:
            above = os.path.dirname(folder)  # noqa: PTH120 - one case after the other: strings are quicker
            known[folder] = _is(folder, here) or (above != folder and lies_in(above))
        return known[folder]

    real: dict[str, str] = {}

    def is_own(case: Case) -> bool:
        above = str(case.path.parent)
        if above not in real:
            real[above] = os.path.realpath(above)
        place = os.path.realpath(case.path) if case.path.is_symlink() or case.path.is_dir() else None
        folder = real[above] if place is None else place if case.path.is_dir() else str(Path(place).parent)
        return lies_in(folder) and not Path(folder).is_relative_to(state)

    own = {index for index, case in enumerate(cases) if is_own(case)}
    if own and len(own) == len(cases):
        raise ValueError(f"every input lies in {out}, the folder of the results; choose another -o")
    if not own:
        return cases
    first = cases[min(own)].path
    logger.warning("%d inputs lie in %s, the folder of the results, and are left out: %s ...", len(own), out, first)
    return [case for index, case in enumerate(cases) if index not in own]


def _key(path: Path | str) -> tuple[int, int]:
    state = os.stat(path)  # noqa: PTH116
    return state.st_dev, state.st_ino


def _is(path: str, key: tuple[int, int]) -> bool:
    try:
        return _key(path) == key
    except OSError:
        return False


def not_asked(out: Path, asked: Collection[str]) -> list[str]:
    """Ids of the answers in `out`, sorted, that are not among those `asked`, whose own folders are not looked into."""
    return sorted(_answers(out, asked))


def has_answers(out: Path) -> bool:
    """Whether there is an answer in `out`."""
    return next(_answers(out, ()), None) is not None


def _answers(out: Path, but: Collection[str]) -> Iterator[str]:
    waiting = [""]
    while waiting:
        name = waiting.pop()
        try:
            with os.scandir(out / name) as opened:
                inner = [entry.name for entry in opened if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        if name and (out / name / RECEIPT).is_file():
            receipt = load_receipt(out / name)
            if receipt is not None and receipt.status == "ok":
                yield name
            continue
        names = (f"{name}/{each}" if name else each for each in inner if not is_hidden(each))
        waiting += [each for each in names if each not in but and (name or each not in RESERVED)]


def not_asked_line(ids: Sequence[str]) -> str:
    """What is said of the answers that `not_asked` found.

    >>> not_asked_line(["a/1", "b"])
    '2 earlier answers in this folder are of inputs that were not asked for now, and stay: a/1, b'
    """
    answers = (
        "1 earlier answer in this folder is of an input that was"
        if len(ids) == 1
        else (f"{len(ids):,} earlier answers in this folder are of inputs that were")
    )
    stays = "stays" if len(ids) == 1 else "stay"
    return f"{answers} not asked for now, and {stays}: {', '.join(ids[:TOLD])}{', ...' if len(ids) > TOLD else ''}"
