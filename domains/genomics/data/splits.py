"""Training, validation and test rows: by row as published, by sequence, or purged so that sides share no 31-mer."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from domains.genomics.sequences.kmers import LONGEST, Sharing, canonical, sharing

TRAIN, VALIDATION, TEST, DROPPED = "train", "validation", "test", "dropped"
SIDES = (TRAIN, VALIDATION, TEST)
Keep = Literal["auto", "components", "purge"]


@dataclass(frozen=True)
class Split:
    """The side of every row ("train", "validation", "test" or "dropped", shape (n,)), and how it was made."""

    side: NDArray[np.str_]
    settings: dict[str, Any] = field(default_factory=dict)

    def rows(self, side: str) -> NDArray[np.intp]:
        """The rows of a side, rising."""
        if side not in (*SIDES, DROPPED):
            raise ValueError(f"unknown side {side!r}; known: {', '.join((*SIDES, DROPPED))}")
        return np.flatnonzero(self.side == side)

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(self.side.tolist())
        return {side: found[side] for side in (*SIDES, DROPPED)}

    def to_json(self) -> dict[str, Any]:
        """Settings, counts, sides as written, and a hash of them."""
        side = self.side.tolist()
        return {"settings": self.settings, "counts": self.counts, "side": side, "hash": _hash(side)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], rows: int) -> Split:
        """A recorded split; an altered record, or one of another number of rows, is a `ValueError`."""
        side = list(data["side"])
        if _hash(side) != data["hash"]:
            raise ValueError("the recorded split does not fit its hash; it was altered")
        if len(side) != rows:
            raise ValueError(f"the recorded split is of {len(side)} rows, the data have {rows}; split again")
        return cls(np.array(side), dict(data["settings"]))


def random_split(
    sequences: Sequence[str],
    tasks: Sequence[str] | None = None,
    *,
    test: float = 0.1,
    validation: float = 0.1,
    seed: int = 0,
    by: Literal["row", "sequence"] = "row",
) -> Split:
    """Draws the rows of each task independently, as the published sets do, or whole sequences, strands alike.

    By row, a sequence that several tasks label lands on several sides: what a model learns of it under one task tells
    about another. This split is for comparison; conclusions belong to `purged_split`.

    Raises:
        ValueError: no rows, shares that do not leave any training rows, or lengths that differ.
    """
    _check(len(sequences), test, validation)
    rng = np.random.default_rng(seed)
    side = np.full(len(sequences), TRAIN, dtype="<U10")
    if by == "sequence":
        group = sequence_groups(sequences)
        side[:] = _draw(int(group.max()) + 1, test, validation, rng)[group]
    else:
        names = np.array(["" for _ in sequences] if tasks is None else list(tasks))
        if len(names) != len(sequences):
            raise ValueError(f"{len(sequences)} sequences with {len(names)} tasks")
        for name in np.unique(names):
            rows = np.flatnonzero(names == name)
            side[rows] = _draw(len(rows), test, validation, rng)
    return Split(side, {"kind": "random", "by": by, "test": test, "validation": validation, "seed": seed})


def purged_split(
    sequences: Sequence[str],
    *,
    test: float = 0.1,
    validation: float = 0.1,
    k: int = LONGEST,
    keep: Keep = "auto",
    block: int = 20,
    seed: int = 0,
    held: Mapping[int, str] | None = None,
    memory: int = 512 << 20,
) -> Split:
    """Sides that share no sequence, no reverse complement of one, and no k-mer of either strand.

    Equal sequences, of whatever task, are one. Where sequences that share k-mers, directly or through others, form
    many small families ("components"), whole families are drawn and no row is lost. Where they chain along a genome,
    as overlapping windows do, stretches of up to `block` neighbours are drawn for test, then for validation, and the
    sequences that share a k-mer with what was drawn are dropped ("purge"): stretches lose fewer than single windows.

    Args:
        sequences: of every row, shape (n,); equal ones may repeat.
        test, validation: share of the distinct sequences wanted; components and stretches are not cut to fit, so the
            shares are met to within one of them.
        k: shared k-mers of this length count, at most 31. Sequences shorter than k are only held together where equal.
        keep: "components", "purge", or "auto": components unless the largest holds over half of the smaller side.
        block: sequences of a stretch.
        seed: of the drawing.
        held: sides that are given, by row (a published test set). A sequence that has several keeps the strictest
            (test, then validation) and its rows of the other sides are dropped; the rest is drawn and purged.
        memory: bytes that counting k-mers may take.

    Raises:
        ValueError: no rows, shares that leave no training rows, or nothing left to train on.
    """
    _check(len(sequences), test, validation)
    group = sequence_groups(sequences)
    first = np.unique(group, return_index=True)[1]
    shared = sharing([sequences[int(row)] for row in first], k=k, memory=memory)
    settings: dict[str, Any] = {"kind": "purged", "k": k, "test": test, "validation": validation, "seed": seed}
    rng = np.random.default_rng(seed)
    given = _given(held or {}, group, len(first))
    if given.any():
        keep = "purge"
    component = shared.components()
    sizes = np.bincount(component)
    if keep == "auto":
        smaller = min(share for share in (test, validation) if share > 0) if test or validation else 1.0
        keep = "components" if sizes.max() <= max(1, smaller * len(first) / 2) else "purge"
    if keep == "components":
        side = _whole_components(component, sizes, test, validation, rng)
    else:
        side = _purged(shared, given, test, validation, block, rng)
        settings["block"] = block
    if not (side == TRAIN).any():
        raise ValueError("the sequences share so many k-mers that none is left to train on; take smaller shares")
    settings |= {"keep": keep, "sequences": len(first), "families": len(sizes), "largest_family": int(sizes.max())}
    of_row = side[group]
    for row, name in (held or {}).items():
        if of_row[row] != name:
            of_row[row] = DROPPED
    return Split(of_row, settings)


def sequence_groups(sequences: Sequence[str]) -> NDArray[np.intp]:
    """Index (n,) of the distinct sequence of each row, a sequence and its reverse complement being one."""
    index: dict[bytes, int] = {}
    # A digest instead of the sequence: genomes' worth of windows would be held twice.
    names = (hashlib.blake2b(canonical(sequence).encode(), digest_size=16).digest() for sequence in sequences)
    return np.array([index.setdefault(name, len(index)) for name in names], dtype=np.intp)


def _draw(n: int, test: float, validation: float, rng: np.random.Generator) -> NDArray[np.str_]:
    side = np.full(n, TRAIN, dtype="<U10")
    order = rng.permutation(n)
    first, second = round(n * test), round(n * validation)
    side[order[:first]] = TEST
    side[order[first : first + second]] = VALIDATION
    return side


def _whole_components(
    component: NDArray, sizes: NDArray, test: float, validation: float, rng: np.random.Generator
) -> NDArray[np.str_]:
    side = np.full(len(sizes), TRAIN, dtype="<U10")
    wanted = {TEST: test * len(component), VALIDATION: validation * len(component)}
    filled = dict.fromkeys(wanted, 0)
    for index in rng.permutation(len(sizes)).tolist():
        for name, share in wanted.items():
            # A family that would overshoot by more than it fills is left to the training side.
            if filled[name] + sizes[index] / 2 <= share:
                side[index] = name
                filled[name] += int(sizes[index])
                break
    return side[component]


def _purged(
    shared: Sharing, given: NDArray[np.str_], test: float, validation: float, block: int, rng: np.random.Generator
) -> NDArray[np.str_]:
    n = shared.links.shape[0]
    side = np.full(n, TRAIN, dtype="<U10")
    free = np.ones(n, dtype=bool)
    for name, share in ((TEST, test), (VALIDATION, validation)):
        if (given == name).any():
            # What an earlier side touches is lost to this one too.
            drawn = (given == name) & free
        else:
            drawn = _stretches(shared, free & (given == ""), round(share * n), block, rng)
        side[drawn] = name
        free &= ~drawn
        near = shared.neighbours(drawn) & free
        side[near] = DROPPED
        free &= ~near
    return side


def _stretches(
    shared: Sharing, free: NDArray[np.bool_], wanted: int, block: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """About `wanted` free sequences in stretches: from a drawn one outwards, neighbour by neighbour."""
    links, sets = shared.links, shared.links.T.tocsr()
    taken = np.zeros(len(free), dtype=bool)
    count = 0
    for start in rng.permutation(np.flatnonzero(free)).tolist():
        if count >= wanted:
            break
        if taken[start]:
            continue
        queue, reached = [start], {start}
        for node in queue:
            if len(reached) >= min(block, wanted - count):
                break
            for column in links.indices[links.indptr[node] : links.indptr[node + 1]]:
                for other in sets.indices[sets.indptr[column] : sets.indptr[column + 1]].tolist():
                    if free[other] and not taken[other] and other not in reached and len(reached) < block:
                        reached.add(other)
                        queue.append(other)
        taken[list(reached)] = True
        count += len(reached)
    return taken


def _given(held: Mapping[int, str], group: NDArray, groups: int) -> NDArray[np.str_]:
    side = np.full(groups, "", dtype="<U10")
    for row, name in held.items():
        if name not in SIDES:
            raise ValueError(f"row {row}: unknown side {name!r}; known: {', '.join(SIDES)}")
        strictness = SIDES.index(name)
        now = side[group[row]]
        if now == "" or strictness > SIDES.index(str(now)):
            side[group[row]] = name
    return side


def _check(n: int, test: float, validation: float) -> None:
    if n < 1:
        raise ValueError("there are no sequences to split")
    if min(test, validation) < 0 or test + validation >= 1:
        raise ValueError(f"the shares of test and validation must leave training rows, got {test} and {validation}")


def _hash(side: list[str]) -> str:
    return hashlib.sha256(json.dumps(side).encode()).hexdigest()
