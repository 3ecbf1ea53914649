"""Foreign formats: values against what was written, orientation, splits, and what is refused."""

import csv
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from domains.pde.data.samples import SPLITS, OperatorData, Quantity
from domains.pde.data.store import read_data, write_data
from domains.pde.importing.options import ImportOptions
from domains.pde.importing.reading import import_data, join

N, NY, NX = 7, 4, 6
SAMPLES = Path(os.environ.get("POLYHEAD_SHARED_DATA", Path(__file__).parents[4] / "shared" / "data")) / "pde"


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(5)
    return {
        "inputs": generator.normal(size=(N, NY, NX)).astype(np.float32),
        "outputs": generator.normal(size=(N, NY, NX)).astype(np.float32),
    }


def check_fields(data: OperatorData, arrays: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(data.functions[:, 0], arrays["inputs"])
    np.testing.assert_array_equal(data.solution.reshape(arrays["outputs"].shape), arrays["outputs"])


# --- one format after the other ---


def test_npz(arrays, tmp_path):
    path = tmp_path / "flow.npz"
    np.savez(path, **arrays, n_samples=N)
    data = import_data(path, problem="flow")
    check_fields(data, arrays)
    assert data.tasks == ("flow/flow",) and data.grid_shape == (NY, NX)
    assert [quantity.name for quantity in data.axes] == ["y", "x"]
    np.testing.assert_allclose(data.coordinates.reshape(NY, NX, 2)[1, 2], [1 / 3, 2 / 5])
    assert [int((data.split == k).sum()) for k in range(3)] == [6, 0, 1]
    assert data.attributes["not_used"] == ["n_samples"]
    assert "not in the file" in data.attributes["coordinates"]
    again = read_data(write_data(data, tmp_path / "flow.h5"))
    assert again.fingerprint() == data.fingerprint()


def test_split_and_seed(arrays, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    half = ImportOptions(fractions=(0.5, 0.25, 0.25), seed=3)
    first, second = (import_data(tmp_path / "a.npz", problem="p", options=half) for _ in range(2))
    np.testing.assert_array_equal(first.split, second.split)
    assert [int((first.split == k).sum()) for k in range(3)] == [4, 1, 2]
    test = import_data(tmp_path / "a.npz", problem="p", options=ImportOptions(split="test"))
    assert (test.split == SPLITS.index("test")).all()


def test_first_samples_only(arrays, tmp_path):
    np.savez(tmp_path / "a.npz", **{**arrays, "outputs": np.ones((N, NY, NX))}, mask=np.ones((NY, NX)))
    data = import_data(tmp_path / "a.npz", problem="p", options=ImportOptions(samples=3))
    np.testing.assert_array_equal(data.functions[:, 0], arrays["inputs"][:3])
    assert len(data) == 3 and data.mask.shape == (1, NY * NX)
    with pytest.raises(ValueError, match="samples must be at least 1"):
        import_data(tmp_path / "a.npz", problem="p", options=ImportOptions(samples=0))


def test_npy_folder_with_train_and_test(arrays, tmp_path):
    for name, values in arrays.items():
        np.save(tmp_path / f"{name}_train.npy", values[:5])
        np.save(tmp_path / f"{name}_test.npy", values[5:])
    data = import_data(tmp_path, problem="p", options=ImportOptions(validation=0.2))
    check_fields(data, arrays)
    assert data.split[5:].tolist() == [2, 2]
    assert sorted(data.split[:5].tolist()) == [0, 0, 0, 0, 1]
    assert data.attributes["split"] == "the file's own, with 1 training samples taken for validation"


def test_mat_five_and_seven_give_the_same(arrays, tmp_path):
    y, x = np.linspace(0, 1, NY), np.linspace(0, 3, NX)
    xx, yy = np.meshgrid(x, y)
    scipy.io.savemat(tmp_path / "five.mat", {**arrays, "xx": xx, "yy": yy})
    with h5py.File(tmp_path / "seven.mat", "w", userblock_size=512) as file:
        for name, values in {**arrays, "xx": xx, "yy": yy}.items():
            file[name] = values.T
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
    with (tmp_path / "seven.mat").open("rb+") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(512, b" "))
    five, seven = (import_data(tmp_path / f"{name}.mat", problem="p") for name in ("five", "seven"))
    for data in (five, seven):
        check_fields(data, arrays)
        assert [quantity.name for quantity in data.axes] == ["y", "x"]
        np.testing.assert_allclose(data.coordinates.reshape(NY, NX, 2)[1, 2], [y[1], x[2]])
    np.testing.assert_array_equal(five.split, seven.split)


def test_torch_file_with_strided_tensors(arrays, tmp_path):
    # As neuraloperator's files: views whose first axis runs fastest in memory.
    strided = {
        name: torch.from_numpy(np.asfortranarray(arrays[key])) for name, key in (("x", "inputs"), ("y", "outputs"))
    }
    assert strided["x"].stride() == (1, N, N * NY)
    torch.save(strided, tmp_path / "flow.pt")
    check_fields(import_data(tmp_path / "flow.pt", problem="p"), arrays)


def test_csv(tmp_path):
    header = ["split", "rate [1/s]", "f [N] @ x=0", "f [N] @ x=1", "u [K] @ t=0 x=1", "u [K] @ t=0 x=0"]
    header += ["u [K] @ t=2 x=0", "u [K] @ t=2 x=1", "u [K] @ t=3 x=0", "u [K] @ t=3 x=1"]
    rows = [["train", 0.5, 1, 2, 10, 11, 12, 13, 14, 15], ["test", 0.25, 3, 4, 20, 21, 22, 23, 24, 25]]
    with (tmp_path / "table.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    data = import_data(tmp_path / "table.csv", problem="p", options=ImportOptions(validation=0))
    assert data.parameter_names == (Quantity("rate", "1/s"),) and data.parameters.tolist() == [[0.5], [0.25]]
    assert data.functions.tolist() == [[[1, 2]], [[3, 4]]] and data.function_names == (Quantity("f", "N"),)
    assert data.grid_shape == (3, 2) and data.solution_name == Quantity("u", "K")
    assert data.coordinates.tolist() == [[0, 0], [0, 1], [2, 0], [2, 1], [3, 0], [3, 1]]
    assert data.solution[0].tolist() == [11, 10, 12, 13, 14, 15]
    assert data.split.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate,u [1] @ x=0\n1,2\n", "the column 'rate' has no unit"),
        ("rate [1],u [1] @ 0.5\n1,2\n", "the column 'u .1. @ 0.5' has no point"),
        ("rate [1],u [1] @ x=0\n1,two\n", "row 1, column 'u .1. @ x=0': not a number: 'two'"),
        ("rate [1],u [1] @ x=0\n1,2\n3\n", "row 2 has 1 cells, the header 2"),
        ("rate [1],u [1] @ x=0\n1,nan\n", "solution is nan at row 0"),
        ("rate [1]\n1\n", "no column with a solution"),
        ("rate [1],rate [1]\n1,1\n", "'rate .1.' is there twice"),
        ("split,u [1] @ x=0\nrain,1\n", "line 2: split is one of train, validation, test, got 'rain'"),
        ("u [1] @ x=0\n1\n", "no inputs"),
        ("rate [1],u [1] @ x=0\n", "at least one row"),
        ("rate [\xb5m],u [1] @ x=0\n1,2\n", "not a table in UTF-8"),
    ],
)
def test_bad_tables(tmp_path, text, message):
    (tmp_path / "bad.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        import_data(tmp_path / "bad.csv", problem="p")


def test_pdebench_in_time(tmp_path):
    tensor = np.random.default_rng(0).normal(size=(3, 5, 8)).astype(np.float32)
    with h5py.File(tmp_path / "1D_Advection.hdf5", "w") as file:
        file["tensor"], file["x-coordinate"] = tensor, np.linspace(0, 1, 8)
        file["t-coordinate"] = np.linspace(0, 2, 6)
        file.attrs["beta"] = 0.4
    data = import_data(tmp_path / "1D_Advection.hdf5", problem="advection")
    np.testing.assert_array_equal(data.solution.reshape(3, 5, 8), tensor)
    np.testing.assert_array_equal(data.functions[:, 0], tensor[:, 0])
    np.testing.assert_allclose(data.coordinates.reshape(5, 8, 2)[2, 7], [0.8, 1.0])
    assert data.attributes["pdebench"] == {"beta": 0.4}


def test_pdebench_darcy(tmp_path):
    generator = np.random.default_rng(0)
    nu, head = generator.uniform(size=(3, 5, 4)), generator.uniform(size=(3, 1, 5, 4))
    with h5py.File(tmp_path / "darcy.hdf5", "w") as file:
        file["nu"], file["tensor"] = nu, head
        file["x-coordinate"], file["y-coordinate"] = np.linspace(0, 1, 5), np.linspace(0, 2, 4)
        file["t-coordinate"] = np.zeros(1)
    data = import_data(tmp_path / "darcy.hdf5", problem="p")
    np.testing.assert_array_equal(data.functions[:, 0], nu.astype(np.float32))
    np.testing.assert_array_equal(data.solution.reshape(3, 5, 4), head[:, 0].astype(np.float32))
    assert data.axes == (Quantity("x"), Quantity("y"))
    np.testing.assert_allclose(data.coordinates.reshape(5, 4, 2)[1, 3], [0.25, 2.0])


def test_pdebench_by_seed(tmp_path):
    states = np.random.default_rng(0).normal(size=(3, 4, 6, 5, 2))
    with h5py.File(tmp_path / "seeds.h5", "w") as file:
        for k, state in enumerate(states):
            file[f"{k:04d}/data"] = state
            for name, length in (("t", 4), ("x", 6), ("y", 5)):
                file[f"{k:04d}/grid/{name}"] = np.linspace(0, 1, length)
    with pytest.raises(ValueError, match="2 components; choose one"):
        import_data(tmp_path / "seeds.h5", problem="p")
    one = import_data(tmp_path / "seeds.h5", problem="p", options=ImportOptions(channel=1, samples=1))
    assert len(one) == 1
    data = import_data(tmp_path / "seeds.h5", problem="p", options=ImportOptions(channel=1))
    np.testing.assert_array_equal(data.solution.reshape(3, 4, 6, 5), states[..., 1].astype(np.float32))
    np.testing.assert_array_equal(data.functions, np.moveaxis(states[:, 0], -1, 1).astype(np.float32))


# --- the published files ---


def test_published_fisher_files_are_tasks_of_one_set(tmp_path):
    generator = np.random.default_rng(0)
    rate, beta = generator.uniform(size=(2, 5, 1))
    start = generator.normal(size=(5, 64))
    answers = generator.normal(size=(2, 5, 20, 64))
    paths = [tmp_path / "Fisher2_nsamples_5.npz", tmp_path / "Fisher4_nsamples_5.npz"]
    np.savez(paths[0], n_samples=5, inputs=np.hstack([rate, start]), outputs=answers[0].reshape(5, -1))
    np.savez(paths[1], n_samples=5, inputs=np.hstack([rate, beta, start]), outputs=answers[1])
    data = import_data(paths, problem="fisher")
    assert data.tasks == ("fisher/nws", "fisher/zfk") and data.grid_shape == (20, 64)
    np.testing.assert_array_equal(data.parameters[:5], np.hstack([rate, np.zeros((5, 1))]))
    np.testing.assert_array_equal(data.parameters[5:], np.hstack([rate, beta]))
    np.testing.assert_array_equal(data.functions[5:, 0], start.astype(np.float32))
    np.testing.assert_array_equal(data.solution.reshape(2, 5, 20, 64), answers.astype(np.float32))
    assert data.task.tolist() == [0] * 5 + [1] * 5


@pytest.fixture
def published_darcy(tmp_path):
    """An L, which is not its own mirror image, with the mask stored transposed to the solution."""
    size = 8
    inside = np.ones((size, size), bool)
    inside[:3, 4:] = False
    generator = np.random.default_rng(0)
    parts = {}
    for part, count in (("train", 10), ("test", 4)):
        parts[f"k_{part}"] = np.exp(generator.normal(size=(count, size, size)))
        parts[f"u_{part}"] = generator.uniform(1, 2, size=(count, size, size)) * inside
        parts[f"shape_{part}"] = np.broadcast_to(inside.T, (count, size, size)).astype(float)
    parts["xx"], parts["yy"] = np.meshgrid(np.linspace(0, 1, size), np.linspace(0, 1, size))
    path = tmp_path / "Dataset_sq_cross_mask.mat"
    scipy.io.savemat(path, parts)
    return path, parts, inside


def test_published_darcy_file(published_darcy):
    path, parts, inside = published_darcy
    data = import_data(path, problem="darcy")
    assert data.tasks == ("darcy/square_with_cross",) and len(data) == 14
    np.testing.assert_array_equal(data.mask, inside.reshape(1, -1))
    np.testing.assert_allclose(data.functions[:10, 0], np.log(parts["k_train"]), rtol=1e-6)
    np.testing.assert_allclose(data.solution[10:].reshape(4, 8, 8), parts["u_test"], rtol=1e-6)
    assert [int((data.split == k).sum()) for k in range(3)] == [9, 1, 4]
    y, x = data.coordinates.reshape(8, 8, 2)[0, 4]
    assert (y, x) == (0, 4 / 7) and not data.mask[0, 4]
    assert data.distance is not None
    distance = data.distance.reshape(8, 8)
    np.testing.assert_array_equal(distance > 0, inside)
    assert distance[0, 4] == pytest.approx(-0.5 / 7) and distance[0, 0] == pytest.approx(3.5 / 7)


def test_a_mask_the_wrong_way_round_is_refused(published_darcy):
    path, _, _ = published_darcy
    with pytest.raises(ValueError, match="lies transposed"):
        import_data(path, problem="darcy", options=ImportOptions(order="C"))


def test_published_darcy_needs_positive_conductivity(published_darcy):
    path, parts, _ = published_darcy
    scipy.io.savemat(path, {**parts, "k_train": -parts["k_train"]})
    with pytest.raises(ValueError, match="k_train must be positive"):
        import_data(path, problem="darcy")


def test_darcy_samples_of_neuraloperator():
    if not (SAMPLES / "darcy_train_16.pt").is_file():
        pytest.skip("the Darcy samples are not here: set POLYHEAD_SHARED_DATA")
    data = import_data([SAMPLES / "darcy_train_16.pt", SAMPLES / "darcy_test_16.pt"], problem="darcy")
    assert data.tasks == ("darcy/darcy_16",) and len(data) == 1050 and data.grid_shape == (16, 16)
    assert set(np.unique(data.functions)) == {0.0, 1.0}
    truth = data.solution[data.rows(split="test")].astype(np.float64)
    known = data.solution[data.split != SPLITS.index("test")].astype(np.float64)
    assert truth.shape == (50, 256) and known.shape == (1000, 256)
    error = np.linalg.norm(truth - known.mean(0), axis=1) / np.linalg.norm(truth, axis=1)
    assert error.mean() == pytest.approx(0.487, abs=5e-4)
    finer = import_data(SAMPLES / "darcy_test_32.pt", problem="darcy")
    assert finer.grid_shape == (32, 32) and (finer.split == SPLITS.index("test")).all()
    # The solution is smooth and 0 at the edge: neighbours are alike in both directions, as no wrong order leaves them.
    field = finer.solution.reshape(50, 32, 32)
    for axis in (1, 2):
        assert np.abs(np.diff(field, axis=axis)).mean() < 0.15 * field.mean()


# --- roles, grids, masks ---


def test_options_name_the_roles(tmp_path):
    generator = np.random.default_rng(0)
    table, fields = generator.normal(size=(N, 2)), generator.normal(size=(N, 5, 3))
    points = generator.uniform(size=(5, 2))
    np.savez(tmp_path / "a.npz", designs=table, temperature=fields, nodes=points)
    options = ImportOptions(
        parameters="designs", outputs="temperature", coordinates=("nodes",), channel=2, channels="last",
        parameter_names=(Quantity("holes"), Quantity("position", "m")), solution_name=Quantity("T", "K"), task="p/a",
        axes=(Quantity("x", "m"), Quantity("y", "m")),
    )  # fmt: skip
    data = import_data(tmp_path / "a.npz", problem="p", options=options)
    np.testing.assert_array_equal(data.parameters, table)
    np.testing.assert_array_equal(data.solution, fields[..., 2].astype(np.float32))
    np.testing.assert_array_equal(data.coordinates, points)
    assert data.grid_shape == (5,) and data.tasks == ("p/a",) and data.solution_name == Quantity("T", "K")
    assert data.axes[1] == Quantity("y", "m") and data.parameter_names[1] == Quantity("position", "m")


def test_leading_parameters_channels_and_axes(tmp_path):
    generator = np.random.default_rng(0)
    inputs, outputs = generator.normal(size=(N, 2 + 6)), generator.normal(size=(N, 4, 6))
    np.savez(tmp_path / "a.npz", inputs=inputs, outputs=outputs, t=np.arange(4.0), x=np.arange(6.0))
    leading = (Quantity("rate", "1/s"), Quantity("beta"))
    data = import_data(tmp_path / "a.npz", problem="p", options=ImportOptions(leading=leading))
    np.testing.assert_array_equal(data.parameters, inputs[:, :2])
    np.testing.assert_array_equal(data.functions[:, 0], inputs[:, 2:].astype(np.float32))
    assert data.parameter_names == leading and data.axes == (Quantity("t"), Quantity("x"))
    assert data.coordinates.reshape(4, 6, 2)[3, 5].tolist() == [3, 5]
    images = generator.normal(size=(N, 4, 6, 2))
    np.savez(tmp_path / "b.npz", x=images, y=outputs)
    data = import_data(tmp_path / "b.npz", problem="p")
    np.testing.assert_array_equal(data.functions, np.moveaxis(images, -1, 1).astype(np.float32))


def test_masks_become_geometries(arrays, tmp_path):
    first = np.ones((NY, NX), bool)
    second = first.copy()
    second[2:, :2] = False
    masks = np.stack([second, first, second, second, first, first, second])
    np.savez(tmp_path / "a.npz", **{**arrays, "outputs": arrays["outputs"] * masks}, mask=masks)
    data = import_data(tmp_path / "a.npz", problem="p")
    np.testing.assert_array_equal(data.mask, [second.ravel(), first.ravel()])
    assert data.geometry.tolist() == [0, 1, 0, 0, 1, 1, 0]
    np.savez(tmp_path / "b.npz", **arrays, mask=second)
    with pytest.raises(ValueError, match="not 0 at 100 % of the points outside the mask"):
        import_data(tmp_path / "b.npz", problem="p")
    cut = import_data(tmp_path / "b.npz", problem="p", options=ImportOptions(trust_mask=True))
    np.testing.assert_array_equal(cut.solution.reshape(-1, NY, NX), arrays["outputs"] * second)
    np.savez(tmp_path / "c.npz", **{**arrays, "outputs": np.where(second, arrays["outputs"], np.nan)})
    with pytest.raises(ValueError, match="solution is nan at row 0"):
        import_data(tmp_path / "c.npz", problem="p")
    nan = import_data(tmp_path / "c.npz", problem="p", options=ImportOptions(nan_is_outside=True))
    np.testing.assert_array_equal(nan.mask, [second.ravel()])
    np.testing.assert_array_equal(nan.solution, cut.solution)


def test_a_full_grid_has_its_edge_where_the_solution_says_so(arrays, tmp_path):
    y, x = np.meshgrid(np.linspace(0, 1, NY), np.linspace(0, 1, NX), indexing="ij")
    zero = arrays["outputs"] * (np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y)) > 1e-9)
    np.savez(tmp_path / "zero.npz", **{**arrays, "outputs": zero})
    data = import_data(tmp_path / "zero.npz", problem="p")
    assert data.distance is not None and data.geometry_names == ("square",) and data.mask.all()
    exact = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    np.testing.assert_allclose(data.distance.reshape(NY, NX), exact, atol=1e-7)
    assert data.attributes["distance"].startswith("to the edge of the grid, through the outermost points")
    wide = import_data(tmp_path / "zero.npz", problem="p", options=ImportOptions(bounds=((0, 1), (0, 5))))
    assert wide.distance is not None and wide.geometry_names == ("box",)
    assert wide.distance.reshape(NY, NX)[1, 3] == pytest.approx(1 / 3)
    np.savez(tmp_path / "free.npz", **arrays)
    free = import_data(tmp_path / "free.npz", problem="p")
    assert free.distance is None and free.geometry_names == ()
    assert free.attributes["distance"] == "none: the solution is not zero at the outermost points"
    darcy = import_data(tmp_path / "free.npz", problem="darcy")
    assert darcy.distance is not None and darcy.geometry_names == ("box of cells",)
    # Cells are 1/3 high and 1/5 wide.
    half = np.minimum(np.minimum(x, 1 - x) + 0.1, np.minimum(y, 1 - y) + 1 / 6)
    np.testing.assert_allclose(darcy.distance.reshape(NY, NX), half, atol=1e-7)
    times = (Quantity("t", "s"), Quantity("x", "m"))
    moving = import_data(tmp_path / "zero.npz", problem="p", options=ImportOptions(axes=times))
    assert moving.distance is None and moving.attributes["distance"] == "none: the points are not a grid in space alone"
    both = join([data, import_data(tmp_path / "zero.npz", problem="p", options=ImportOptions(task="p/b"))])
    assert both.geometry_names == ("square",) and both.geometry.tolist() == [0] * 2 * N


@pytest.mark.parametrize(("edge", "geometry"), [("zero", "square"), ("inside", "box of cells")])
def test_an_imported_square_is_trained_and_answers(tmp_path, edge, geometry):
    """Darcy data without a mask, from the file to the answer of a request that names no geometry."""
    import json

    from operator_toys import darcy_data

    from domains.pde.asking.sources import cases_from
    from domains.pde.learning.training import train
    from domains.pde.predicting.predict import PDEPredictor
    from domains.pde.presets import resolve

    made = darcy_data(samples=20, shapes=("square",))
    heads, fields = made.solution.reshape(-1, 17, 17), made.functions[:, 0]
    if edge == "inside":
        heads, fields = heads[:, 1:-1, 1:-1], fields[:, 1:-1, 1:-1]
    np.savez(tmp_path / "mine.npz", inputs=fields, outputs=heads)
    named = ImportOptions(function_names=(Quantity("log conductivity"),))
    write_data(import_data(tmp_path / "mine.npz", problem="darcy", options=named), tmp_path / "data" / "darcy.h5")
    config = resolve("tiny-darcy", {"epochs": 1, "steps_per_epoch": 2, "image_size": None, "channels": (4, 8)})
    train(tmp_path / "data", tmp_path / "run", config)
    predictor = PDEPredictor(tmp_path / "run", device="cpu")
    cases = cases_from(tmp_path / "data")
    (tmp_path / "q.json").write_text(json.dumps({"field": fields[0].tolist()}))
    questions = [predictor.read(case) for case in [*cases, *cases_from(tmp_path / "q.json")]]
    sample, asked = questions[0], questions[-1]
    assert sample.geometry == asked.geometry == geometry and sample.task == "darcy/mine"
    np.testing.assert_allclose(asked.distance, sample.distance, atol=1e-6)
    np.testing.assert_allclose(asked.sensor_distance, sample.sensor_distance, atol=1e-6)
    answers = predictor.predict(questions)
    assert not any("geometry" in line for answer in answers for line in answer.warnings)
    shape = (17, 17) if edge == "zero" else (15, 15)
    field = answers[-1].field.reshape(shape)
    assert (field[0] == 0).all() == (edge == "zero") and np.abs(field[1:-1, 1:-1]).min() > 0


def test_join_refuses_what_does_not_fit(arrays, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    one = import_data(tmp_path / "a.npz", problem="p")
    other = import_data(tmp_path / "a.npz", problem="p", options=ImportOptions(bounds=((0, 2), (0, 1)), task="p/b"))
    with pytest.raises(ValueError, match="p/a and p/b have different points"):
        join([one, other])
    finer = import_data(tmp_path / "a.npz", problem="p", options=ImportOptions(solution_name=Quantity("T", "K")))
    with pytest.raises(ValueError, match="differ in solution_name"):
        join([one, finer])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": None}, r"no outputs found.*inputs \(7, 4, 6\)"),
        ({"inputs": None}, "no inputs found"),
        ({"inputs": np.zeros((3, NY, NX))}, "different numbers of samples"),
        ({"u": np.zeros((N, 2))}, "outputs, u may all be the outputs: say which"),
        ({"inputs": np.zeros((N, 3, 5))}, "say where their channels lie"),
        ({"coordinates": np.zeros((9, 2))}, "do not fit outputs"),
        ({"t": np.zeros(5), "x": np.zeros(6)}, r"axes t, x of lengths \(5, 6\) do not fit"),
        ({"mask": np.ones((NY, NX + 1))}, "mask 'mask' of shape .* does not fit"),
        ({"mask": np.full((NY, NX), 2.0)}, "must hold 0 and 1 only"),
        ({"mask": np.zeros((NY, NX))}, "not 0 at 100 %"),
        ({"inputs": np.full((N, NY, NX), np.inf)}, "functions is inf at row 0"),
        ({"inputs_train": np.zeros((N, NY, NX))}, "'inputs' is there whole and in parts"),
    ],
)
def test_bad_arrays(arrays, tmp_path, change, message):
    found = {name: values for name, values in {**arrays, **change}.items() if values is not None}
    np.savez(tmp_path / "bad.npz", **found)
    with pytest.raises(ValueError, match=message):
        import_data(tmp_path / "bad.npz", problem="p")


def test_bad_files(arrays, tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "evil"),))

    torch.save({"x": Evil()}, tmp_path / "evil.pt")
    np.savez(tmp_path / "evil.npz", inputs=np.array([Evil()], dtype=object))
    for name in ("evil.pt", "evil.npz"):
        with pytest.raises(ValueError, match="cannot be read as"):
            import_data(tmp_path / name, problem="p")
    assert not (tmp_path / "evil").exists()
    (tmp_path / "empty.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="not a format that is read"):
        import_data(tmp_path / "empty.bin", problem="p")
    np.savez(tmp_path / "whole.npz", **arrays)
    (tmp_path / "short.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:400])
    with pytest.raises(ValueError, match="damaged archive"):
        import_data(tmp_path / "short.npz", problem="p")
    with pytest.raises(ValueError, match="no such file"):
        import_data(tmp_path / "absent.npz", problem="p")
    np.savez(tmp_path / "waves.npz", inputs=np.zeros((2, 3), complex))
    with pytest.raises(ValueError, match="inputs is complex"):
        import_data(tmp_path / "waves.npz", problem="p")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="no npy file in this folder"):
        import_data(tmp_path / "folder", problem="p")
