"""A plan becomes a data file, block by block; what an interrupted run has solved is kept and used."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import fields
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from pickle import PicklingError
from typing import Any

import numpy as np

from domains.pde.data.samples import OperatorData
from domains.pde.data.store import check_frame, new_file, read_info, write_rows
from domains.pde.problems.plan import Block, Plan, Solved
from polyhead.batch.writer import dump_json
from polyhead.system.files import sweep_temporaries, sync_folder, write_whole

_BLOCKS_FORMAT = 1
_SOLVED = tuple(entry.name for entry in fields(Solved))


def plan_fingerprint(plan: Plan) -> str:
    """SHA-256 of everything that a plan says about its samples before they are solved."""
    digest = hashlib.sha256(f"blocks {_BLOCKS_FORMAT}".encode())

    def add(name: str, value: Any) -> None:
        if isinstance(value, np.ndarray):
            digest.update(f"{name}{value.dtype}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, dict):
            digest.update(name.encode() + json.dumps(value, sort_keys=True, default=str).encode())
        else:
            digest.update(f"{name}{value!r}".encode())

    for entry in fields(Plan):
        if entry.name == "blocks":
            for block in plan.blocks:
                for part in fields(Block):
                    add(part.name, getattr(block, part.name))
        elif entry.name != "solve":
            add(entry.name, getattr(plan, entry.name))
    return digest.hexdigest()


def make(
    plan: Plan,
    path: str | Path,
    *,
    processes: int = 1,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Solves what is left of `plan` and writes the data file `path`.

    Solved blocks lie in the folder ``<path>.partial`` until all are there, each a whole file or absent, so that a run
    that was interrupted or killed goes on where it was and ends in the same arrays. A file that was finished by the
    same plan is left as it is.

    Args:
        processes: how many processes solve blocks; more than one needs a plan whose `solve` can be pickled.
        overwrite: replaces a finished file and drops a partial one of another plan.
        progress: called with the number of samples solved and of all samples, first with those found solved.

    Raises:
        ValueError: something of another plan is there already, or a block's samples have wrong shapes or values.
    """
    path = Path(path)
    if processes < 1:
        raise ValueError(f"processes must be at least 1, got {processes}")
    frame = _frame(plan)
    check_frame(frame, plan.problem)
    _check_blocks(plan)
    fingerprint = plan_fingerprint(plan)
    if path.exists() and not overwrite:
        if read_info(path)["plan"] != fingerprint:
            raise ValueError(f"{path}: holds other data already; name another place, or overwrite it")
        if progress is not None:
            progress(len(plan), len(plan))
        return path
    partial = _open_partial(plan, path, fingerprint, overwrite)
    _solve_missing(plan, partial, processes, progress or (lambda done, total: None))
    whole = partial / path.name
    with new_file(whole, frame, len(plan), plan=fingerprint) as file:
        for number, block in enumerate(plan.blocks):
            solved = _read_block(_block_path(partial, number))
            rows = {"task": np.full(block.count, block.task), "split": block.split, "geometry": block.geometry}
            write_rows(file, block.start, {**rows, **{name: getattr(solved, name) for name in _SOLVED}})
    whole.replace(path)
    sync_folder(path.parent)
    shutil.rmtree(partial)
    return path


def _check_blocks(plan: Plan) -> None:
    row = 0
    for number, block in enumerate(plan.blocks):
        if block.start != row or len(block.split) != block.count or len(block.geometry) != block.count:
            raise ValueError(f"{plan.problem}: block {number} does not start at row {row} with {block.count} samples")
        if not 0 <= block.task < len(plan.tasks) or not np.isin(block.geometry, np.arange(len(plan.mask))).all():
            raise ValueError(f"{plan.problem}: block {number} names a task or a geometry that the plan has not")
        row += block.count
    if not row:
        raise ValueError(f"{plan.problem}: the plan has no samples; ask for at least one")


def _frame(plan: Plan) -> OperatorData:
    """The data set without a sample."""
    nothing = np.zeros(0, dtype=np.int32)
    return OperatorData(
        problem=plan.problem,
        tasks=plan.tasks,
        coordinates=plan.coordinates,
        axes=plan.axes,
        grid_shape=plan.grid_shape,
        parameter_names=plan.parameter_names,
        function_names=plan.function_names,
        solution_name=plan.solution_name,
        task=nothing,
        split=nothing,
        geometry=nothing,
        mask=plan.mask,
        distance=plan.distance,
        geometry_names=plan.geometry_names,
        attributes={**plan.attributes, "preset": plan.preset, "seed": plan.seed},
        parameters=np.zeros((0, len(plan.parameter_names))),
        functions=np.zeros((0, len(plan.function_names), *plan.sensor_shape), dtype=np.float32),
        solution=np.zeros((0, len(plan.coordinates)), dtype=np.float32),
    )


def _open_partial(plan: Plan, path: Path, fingerprint: str, overwrite: bool) -> Path:
    partial = path.with_name(f"{path.name}.partial")
    label = partial / "plan.json"
    if partial.exists():
        found: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            found = json.loads(label.read_bytes())
        if found.get("plan") == fingerprint:
            sweep_temporaries(partial)
            return partial
        if not overwrite:
            said = f"preset {found['preset']}, seed {found['seed']}, {found['samples']} samples" if found else "unknown"
            raise ValueError(
                f"{partial}: an unfinished data set of another plan ({said}) is there; finish it as it was begun, "
                "or overwrite it"
            )
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    facts = {"plan": fingerprint, "preset": plan.preset, "seed": plan.seed, "samples": len(plan)}
    write_whole(label, dump_json({"problem": plan.problem, **facts}, indent=1))
    return partial


def _block_path(partial: Path, number: int) -> Path:
    return partial / f"block-{number:05d}.npz"


def _solve_missing(plan: Plan, partial: Path, processes: int, progress: Callable[[int, int], None]) -> None:
    missing = [number for number in range(len(plan.blocks)) if not _block_path(partial, number).exists()]
    total = len(plan)
    done = total - sum(plan.blocks[number].count for number in missing)
    progress(done, total)
    numbers = (
        _solved_here(plan, partial, missing) if processes == 1 else _solved_apart(plan, partial, missing, processes)
    )
    for number in numbers:
        done += plan.blocks[number].count
        progress(done, total)


def _solved_here(plan: Plan, partial: Path, missing: list[int]) -> Iterator[int]:
    for number in missing:
        _solve_block(plan, partial, number)
        yield number


def _solved_apart(plan: Plan, partial: Path, missing: list[int], processes: int) -> Iterator[int]:
    if not missing:
        return
    workers = min(processes, len(missing))
    with ProcessPoolExecutor(workers, get_context("spawn"), _enter_worker, (plan, partial)) as pool:
        try:
            # The first submission starts a worker, and with it sends the plan.
            waiting: list[Future[int]] = [pool.submit(_solve_in_worker, number) for number in missing]
        except (PicklingError, AttributeError, TypeError) as error:
            raise ValueError(
                f"{plan.problem}: this plan cannot be sent to other processes ({' '.join(str(error).split())}); use one"
            ) from error
        try:
            for future in as_completed(waiting):
                yield future.result()
        except BaseException:
            # The blocks under way are finished and kept.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_work: tuple[Plan, Path] | None = None


def _enter_worker(plan: Plan, partial: Path) -> None:
    global _work
    # Ctrl-C on a terminal reaches the whole group; only the parent answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()
    _work = plan, partial


def _follow(sentinel: int) -> None:
    """Ends this process when its parent has died, however it died."""
    connection.wait([sentinel])
    os._exit(1)


def _solve_in_worker(number: int) -> int:
    assert _work is not None
    _solve_block(*_work, number)
    return number


def _solve_block(plan: Plan, partial: Path, number: int) -> None:
    solved = plan.solve(number)
    block = plan.blocks[number]
    expected = {
        "parameters": (block.count, len(plan.parameter_names)),
        "functions": (block.count, len(plan.function_names), *plan.sensor_shape),
        "solution": (block.count, len(plan.coordinates)),
    }
    for name, shape in expected.items():
        values = getattr(solved, name)
        where = f"{plan.problem}: {name} of block {number}"
        if values.shape != shape:
            raise ValueError(f"{where} must have shape {shape}, got {values.shape}")
        bad = np.flatnonzero(~np.isfinite(values.reshape(block.count, int(np.prod(shape[1:])))).all(axis=1))
        if len(bad):
            raise ValueError(f"{where} is not finite in row {block.start + bad[0]} of the data set")
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **{name: getattr(solved, name) for name in _SOLVED})
    write_whole(_block_path(partial, number), stream.getvalue())


def _read_block(path: Path) -> Solved:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Solved(**{name: arrays[name] for name in _SOLVED})
    except Exception as error:
        raise ValueError(f"{path}: this solved block cannot be read ({error}); delete it and run again") from error
