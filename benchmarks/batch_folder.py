"""A folder of 1,000 files of which 30 are broken in ten ways, predicted, predicted again, and killed in the middle.

    python -m benchmarks.batch_folder --run RUN [--against CHECKOUT]

RUN is any trained ultrasound run. With a checkout of an earlier commit, which can read RUN, the same folder is also
predicted by it, in turns, with three tasks and with all of RUN's, and files, bytes and seconds are set side by side.
Every good file must be done and every bad one named, with exit status 3; a second run must do nothing; a run that is
killed (SIGKILL to the whole process group) in the middle and started again must end the same. Times are written down,
nothing is claimed of them.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from benchmarks.results import table, write_section
from domains.medical.ultrasound.simulator import phantom

HERE = Path(__file__).parents[1]
PICTURES = 24
TASKS = ("breast_lesion", "breast_3cls", "thyroid_nodule_det")


def _png(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", **options)
    return buffer.getvalue()


def _jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG")
    return buffer.getvalue()


def _bomb() -> bytes:
    """A PNG whose header says 60,000 x 60,000 pixels."""
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def _flipped(data: bytes) -> bytes:
    """The middle of the compressed pixels overwritten."""
    middle = len(data) // 2
    return data[:middle] + bytes(256) + data[middle + 256 :]


def _dicom(data: bytes) -> bytes:
    from pydicom.data import get_testdata_file

    name = get_testdata_file("rtplan.dcm")
    assert isinstance(name, str)
    return Path(name).read_bytes() + data[:0]


BROKEN: dict[str, tuple[str, Callable[[np.ndarray], bytes]]] = {
    "empty": (".png", lambda pixels: b""),
    "truncated png": (".png", lambda pixels: _png(pixels)[:900]),
    "truncated jpeg": (".jpg", lambda pixels: _jpeg(pixels)[:1500]),
    "text": (".png", lambda pixels: b"patient;diagnosis\n" * 50),
    "random bytes": (".bmp", lambda pixels: np.random.default_rng(0).bytes(5000)),
    "damaged pixels": (".png", lambda pixels: _flipped(_png(pixels))),
    "a bomb": (".png", lambda pixels: _bomb()),
    "one pixel": (".png", lambda pixels: _png(pixels[:1, :1])),
    "a plan, not an image": (".dcm", lambda pixels: _dicom(b"")),
    "html": (".jpg", lambda pixels: b"<!doctype html><title>404 Not Found</title>"),
}


def make_folder(folder: Path, files: int, broken: int) -> set[str]:
    """Writes the folder; returns the ids of the broken files."""
    pictures = [phantom(task, seed, (200, 240)).image for task in TASKS for seed in range(4)]
    kinds = list(BROKEN.items())
    bad = set()
    every = files // broken
    for index in range(files):
        home = folder / f"ward {index % 7}"
        home.mkdir(parents=True, exist_ok=True)
        pixels = pictures[index % len(pictures)].copy()
        pixels[:2, : 1 + index % 200] = index % 251
        if index % every == every // 2 and len(bad) < broken:
            kind, (suffix, make) = kinds[len(bad) % len(kinds)]
            path = home / f"{kind} ({index}){suffix}"
            path.write_bytes(make(pixels))
            bad.add(path.relative_to(folder).with_suffix("").as_posix())
        else:
            (home / f"image ({index}).png").write_bytes(_png(pixels))
    return bad


def command(run: Path, folder: Path, out: Path, tasks: Sequence[str] = TASKS) -> list[str]:
    named = [word for task in tasks for word in ("--task", task)]
    verb = ["ultrasound", "predict", str(run), str(folder), "-o", str(out), "--quiet", *named]
    return [sys.executable, "-m", "apps.cli", *verb]


def timed(words: list[str], tree: Path = HERE) -> tuple[int, float]:
    """Exit status and seconds of a command of `tree`."""
    paths = os.environ | {"PYTHONPATH": str(tree)}
    started = time.perf_counter()
    return subprocess.run(
        words, stdout=subprocess.DEVNULL, env=paths, cwd=tree
    ).returncode, time.perf_counter() - started


def compare(run: Path, scratch: Path, against: Path, turns: int) -> str:
    """Files and bytes a picture and seconds of two trees, medians of `turns` alternating turns."""
    folder = scratch / "pictures"
    folder.mkdir()
    for number in range(PICTURES):
        task = TASKS[number % len(TASKS)]
        Image.fromarray(phantom(task, number, (533, 958)).image).save(folder / f"{number:02d}.png")
    lines = []
    for title, tasks in ((f"{len(TASKS)} tasks", TASKS), ("all tasks", ())):
        seconds: dict[str, list[float]] = {"before": [], "after": []}
        held: dict[str, tuple[float, float]] = {}
        for _ in range(turns):
            for name, tree in (("before", against), ("after", HERE)):
                out = scratch / "compared"
                status, taken = timed(command(run, folder, out, tasks), tree)
                assert status == 0, f"{name}: exit status {status}"
                seconds[name].append(taken)
                sizes = [file.stat().st_size for file in out.glob("*/**/*") if file.is_file()]
                held[name] = (len(sizes) / PICTURES, sum(sizes) / PICTURES)
                shutil.rmtree(out)
        for name, taken in seconds.items():
            files, size = held[name]
            spread = f"{median(taken):.1f} ({min(taken):.1f} to {max(taken):.1f})"
            lines.append([title, name, f"{files:.1f}", f"{size / 1e3:,.0f}", spread])
    commit = subprocess.run(["git", "-C", str(against), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    text = (
        f"{PICTURES} pictures of 958 x 533 pixels, before ({commit.stdout.strip()}) and after, medians of {turns} turns"
    )
    columns = ["what", "tree", "files a picture", "kB a picture", "seconds, start included (from, to)"]
    return f"{text} in alternation.\n\n{table(columns, lines)}\n\n"


def check(out: Path, files: int, bad: set[str], status: int) -> dict[str, int]:
    """The counts by status, after asserting that every good file is done and every bad one named."""
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    failed = {row["id"]: row for row in rows if row["status"] not in ("ok", "skipped")}
    assert status == 3, f"exit status {status}"
    assert len(rows) == files, f"{len(rows)} lines for {files} inputs"
    assert set(failed) == bad, f"failed and broken differ: {sorted(set(failed) ^ bad)[:5]}"
    assert all(row["code"] and row["reason"] for row in failed.values())
    for row in rows:
        if row["id"] not in bad:
            assert (out / row["id"] / "result.json").is_file(), row["id"]
    found: dict[str, int] = {}
    for row in rows:
        found[row["status"]] = found.get(row["status"], 0) + 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--broken", type=int, default=30)
    parser.add_argument("--against", type=Path, help="a checkout of an earlier commit")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    given.run = given.run.absolute()
    lines, compared = [], ""
    with tempfile.TemporaryDirectory() as scratch:
        if given.against is not None:
            compared = compare(given.run, Path(scratch), given.against.absolute(), given.turns)
        folder = Path(scratch) / "in"
        bad = make_folder(folder, given.files, given.broken)
        out = Path(scratch) / "out"
        status, seconds = timed(command(given.run, folder, out))
        lines.append(["first run", str(status), f"{seconds:.1f}", str(check(out, given.files, bad, status))])
        reasons = {row["code"]: row["reason"] for row in map(json.loads, (out / "results.jsonl").open()) if row["code"]}
        status, seconds = timed(command(given.run, folder, out))
        lines.append(["second run", str(status), f"{seconds:.1f}", str(check(out, given.files, bad, status))])

        out = Path(scratch) / "killed"
        started = time.perf_counter()
        process = subprocess.Popen(command(given.run, folder, out), stdout=subprocess.DEVNULL, start_new_session=True)
        while len(list(out.glob("*/*/receipt.json"))) < given.files // 2:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        done = len(list(out.glob("*/*/receipt.json")))
        lines.append([f"killed with {done} receipts", "-9", f"{time.perf_counter() - started:.1f}", ""])
        status, seconds = timed(command(given.run, folder, out))
        lines.append(
            ["the same command again", str(status), f"{seconds:.1f}", str(check(out, given.files, bad, status))]
        )
    text = f"{given.files} files, {given.broken} of them broken in {len(BROKEN)} ways, tasks {', '.join(TASKS)}.\n\n"
    text = compared + text + table(["what", "exit status", "seconds", "cases by status"], lines)
    text += "\n\nHow the bad ones are named, one of each code:\n\n"
    text += "\n".join(f"- `{code}`: {reason}" for code, reason in sorted(reasons.items()))
    write_section("A folder with broken files", text)


if __name__ == "__main__":
    main()
