"""Data files: round trips, damage, resuming, several processes."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
from toy_plan import SIZES, solve, toy_plan

from domains.pde.data.samples import OperatorData, Quantity
from domains.pde.data.store import data_files, read_data, read_info, seal, write_data
from domains.pde.problems.catalogue import PROBLEMS, problem
from domains.pde.simulator.making import make, plan_fingerprint
from polyhead.application import RESEARCH_USE
from polyhead.registry import UnknownName

ROOT = Path(__file__).parents[3]


@pytest.fixture
def data(tmp_path) -> OperatorData:
    return read_data(make(toy_plan(), tmp_path / "made.h5"))


def solved_directly() -> dict[str, np.ndarray]:
    blocks = [solve(number, seed=0) for number in range(len(SIZES))]
    return {
        name: np.concatenate([getattr(b, name) for b in blocks]) for name in ("parameters", "functions", "solution")
    }


def test_made_data_hold_what_the_plan_says(data):
    plan = toy_plan()
    for name, values in solved_directly().items():
        np.testing.assert_array_equal(getattr(data, name), values)
    np.testing.assert_array_equal(data.task, np.repeat([0, 1, 0, 1], SIZES))
    np.testing.assert_array_equal(data.geometry, np.repeat([0, 1, 0, 1], SIZES))
    np.testing.assert_array_equal(data.split, np.concatenate([block.split for block in plan.blocks]))
    np.testing.assert_array_equal(data.coordinates.reshape(3, 4, 2)[2, 1], [1.0, 2 / 3])
    assert (data.axes, data.grid_shape, data.tasks) == (plan.axes, (3, 4), plan.tasks)
    assert data.solution_name == Quantity("temperature", "K")
    assert data.attributes == {"equation": "none", "diffusion": 1e-3, "preset": "tiny", "seed": 0}


def test_round_trip_keeps_every_bit(data, tmp_path):
    again = read_data(write_data(data, tmp_path / "again.h5"))
    assert again.fingerprint() == data.fingerprint()
    assert again.attributes == data.attributes
    assert again.mask.dtype == bool and again.coordinates.dtype == np.float64 and again.task.dtype == np.int16


def test_round_trip_without_functions_parameters_and_boundary(data, tmp_path):
    bare = replace(
        data, parameters=np.zeros((len(data), 0)), parameter_names=(), functions=np.zeros((len(data), 0), np.float32),
        function_names=(), distance=None, geometry_names=(),
    )  # fmt: skip
    again = read_data(write_data(bare, tmp_path / "bare.h5"))
    assert again.fingerprint() == bare.fingerprint()
    assert again.distance is None and again.functions.shape == (12, 0)


def test_other_tools_see_units_and_use(data, tmp_path):
    with h5py.File(tmp_path / "made.h5") as file:
        assert file.attrs["use"] == RESEARCH_USE and file.attrs["equation"] == "none" and file.attrs["seed"] == 0
        assert list(file["coordinates"].attrs["units"]) == ["m", "m"]
        assert list(file["samples/solution"].attrs["names"]) == ["temperature"]
    info = read_info(tmp_path / "made.h5")
    assert (info["problem"], info["samples"], info["points"]) == ("toy", 12, 12)
    assert info["plan"] == plan_fingerprint(toy_plan())


@pytest.mark.parametrize(
    ("field", "row", "index", "message"),
    [
        ("parameters", 2, (0,), "parameters is nan at row 2 .'rate', index 0, task toy/a"),
        ("functions", 4, (1, 3), "functions is nan at row 4 .'log conductivity', index 1, 3, task toy/b"),
        ("solution", 0, (7,), "solution is nan at row 0 .index 7, task toy/a"),
        ("coordinates", 5, (1,), "coordinates is nan at row 5 .index 1"),
        ("distance", 1, (2,), "distance is nan at row 1"),
    ],
)
def test_values_that_are_not_finite_are_named(data, tmp_path, field, row, index, message):
    values = getattr(data, field).copy()
    values[(row, *index)] = np.nan
    with pytest.raises(ValueError, match=message):
        write_data(replace(data, **{field: values}), tmp_path / "bad.h5")
    assert not list(tmp_path.glob("*bad*"))


def test_empty_geometry_and_no_samples(data, tmp_path):
    mask = data.mask.copy()
    mask[1] = False
    with pytest.raises(ValueError, match=r"geometry 1 .cut. has an empty mask"):
        write_data(replace(data, mask=mask), tmp_path / "bad.h5")
    with pytest.raises(ValueError, match="no samples"):
        write_data(data.take(np.arange(0)), tmp_path / "bad.h5")


def test_foreign_and_damaged_files(data, tmp_path):
    path = tmp_path / "made.h5"
    whole = path.read_bytes()
    cases = {
        "text.h5": (b"not a data set", "not an HDF5 file"),
        "short.h5": (whole[: len(whole) // 2], "damaged"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_data(tmp_path / name)
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["tensor"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"not of this project .it holds tensor"):
        read_data(tmp_path / "foreign.h5")
    with pytest.raises(ValueError, match="no such file"):
        read_data(tmp_path / "absent.h5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.attrs.update({"version": 9}), "version 9 of the format"),
        (lambda f: f.__delitem__("samples/split"), "damaged"),
        (lambda f: f["coordinates"].attrs.update({"units": ["m"]}), "2 names and 1 units"),
        (lambda f: f["coordinates"].attrs.update({"grid_shape": [5, 5]}), "has not 12 points"),
        (lambda f: f["samples/task"].write_direct(np.full(12, 7, np.int16)), r"task must lie in \[0, 2\)"),
    ],
)
def test_altered_files(data, tmp_path, change, message):
    with h5py.File(tmp_path / "made.h5", "r+") as file:
        change(file)
    with pytest.raises(ValueError, match="checksum is not that of its contents"):
        read_data(tmp_path / "made.h5")
    seal(tmp_path / "made.h5")
    with pytest.raises(ValueError, match=message):
        read_data(tmp_path / "made.h5")


def test_silent_damage_in_the_numbers_is_found(data, tmp_path):
    path = tmp_path / "made.h5"
    with h5py.File(path) as file:
        chunk = file["samples/solution"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    # Offsets count from the end of the block that HDF5 leaves to its user.
    content[512 + chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        read_data(path)


def test_any_damage_is_told_and_never_hangs(data, tmp_path):
    whole = (tmp_path / "made.h5").read_bytes()
    generator = np.random.default_rng(0)
    for place in generator.integers(512, len(whole), 60):
        content = bytearray(whole)
        content[place] ^= int(generator.integers(1, 256))
        (tmp_path / "bad.h5").write_bytes(content)
        with pytest.raises(ValueError, match=r"bad.h5: damaged"):
            read_data(tmp_path / "bad.h5")


def test_data_files_by_problem(data, tmp_path):
    folder = tmp_path / "data"
    with pytest.raises(ValueError, match="no such file or folder"):
        data_files(folder)
    folder.mkdir()
    with pytest.raises(ValueError, match=r"no .h5 file in it"):
        data_files(folder)
    first, second = write_data(data, folder / "a.h5"), write_data(replace(data, problem="other"), folder / "b.h5")
    assert data_files(folder) == {"toy": first, "other": second}
    assert data_files(second) == {"other": second}
    write_data(data, folder / "c.h5")
    with pytest.raises(ValueError, match=r"a.h5 and c.h5 both hold toy"):
        data_files(folder)


def test_interrupted_making_goes_on(data, tmp_path):
    path = tmp_path / "new.h5"
    with pytest.raises(KeyboardInterrupt):
        make(toy_plan(fail_at=2), path)
    assert not path.exists()
    seen = []
    make(toy_plan(), path, progress=lambda *counts: seen.append(counts))
    assert seen == [(5, 12), (9, 12), (12, 12)]
    assert read_data(path).fingerprint() == data.fingerprint()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["made.h5", "new.h5"]


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_making_goes_on(data, tmp_path, processes):
    path = tmp_path / "new.h5"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = Path(__file__).with_name("toy_plan.py")
    process = subprocess.Popen([sys.executable, str(script), str(path), str(processes)], env=environment)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("new.h5.partial/block-*.npz"))) < processes:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # Those that solve notice it and end, too.
    assert not psutil.wait_procs(workers, timeout=20)[1]
    (tmp_path / "new.h5.partial" / ".polyhead-tmp-1-0").write_bytes(b"half a block")
    assert not path.exists()
    seen = []
    make(toy_plan(), path, progress=lambda *counts: seen.append(counts))
    assert seen[0] == (sum(SIZES[:processes]), 12)
    assert read_data(path).fingerprint() == data.fingerprint()
    assert not list(tmp_path.glob("new.h5.partial"))


def test_two_processes_make_the_same(data, tmp_path):
    path = make(toy_plan(), tmp_path / "new.h5", processes=2)
    assert read_data(path).fingerprint() == data.fingerprint()


def test_what_is_there_is_kept_unless_it_is_of_another_plan(data, tmp_path):
    path = tmp_path / "made.h5"
    before = path.stat().st_mtime_ns
    assert make(toy_plan(), path) == path and path.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="holds other data already"):
        make(toy_plan(seed=1), path)
    make(toy_plan(seed=1), path, overwrite=True)
    assert read_data(path).attributes["seed"] == 1
    other = tmp_path / "other.h5"
    with pytest.raises(KeyboardInterrupt):
        make(toy_plan(fail_at=1), other)
    with pytest.raises(ValueError, match=r"another plan .preset tiny, seed 0, 12 samples."):
        make(toy_plan(seed=1), other)
    assert read_data(make(toy_plan(seed=1), other, overwrite=True)).fingerprint() == read_data(path).fingerprint()


def test_bad_plans(tmp_path):
    with pytest.raises(ValueError, match="solution of block 0 is not finite in row 1"):
        make(toy_plan(spoil=True), tmp_path / "bad.h5")
    plan = toy_plan()
    with pytest.raises(ValueError, match=r"solution of block 0 must have shape \(3, 12\)"):
        make(replace(plan, solve=lambda n: replace(solve(n, seed=0), solution=np.zeros((3, 5)))), tmp_path / "shape.h5")
    with pytest.raises(ValueError, match="cannot be sent to other processes"):
        make(replace(plan, solve=lambda n: solve(n, seed=0)), tmp_path / "closure.h5", processes=2)
    with pytest.raises(ValueError, match="block 1 does not start at row 3"):
        make(replace(plan, blocks=plan.blocks[:1] + plan.blocks[2:]), tmp_path / "gap.h5")
    lost = (replace(plan.blocks[0], task=2), *plan.blocks[1:])
    with pytest.raises(ValueError, match="block 0 names a task or a geometry"):
        make(replace(plan, blocks=lost), tmp_path / "lost.h5")
    with pytest.raises(ValueError, match="empty mask"):
        make(replace(plan, mask=np.zeros((2, 12), bool)), tmp_path / "empty.h5")


def test_catalogue_names_near_problems():
    assert list(PROBLEMS) == ["fisher", "darcy", "darcy-target", "plate"]
    with pytest.raises(UnknownName, match="known: fisher"):
        problem("fishr")
