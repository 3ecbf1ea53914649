"""Small data sets of the three problems, with fields from closed forms or a few lines of scipy."""

import numpy as np
from scipy.sparse import diags, kron
from scipy.sparse.linalg import spsolve

from domains.pde.data.samples import OperatorData, Quantity
from domains.pde.geometry.plate import PlateDesign, hole_distance, plate_distance

SPLIT = (0.6, 0.2, 0.2)


def split_of(count):
    """60 % train, 20 % validation, 20 % test, in a fixed order."""
    return np.resize(np.array([0, 0, 0, 1, 2], dtype=np.int8), count)


def fisher_data(samples=60, times=6, places=16, seed=0):
    """Fisher and Newell-Whitehead-Segel without diffusion: the exact flow at every place."""
    generator = np.random.default_rng(seed)
    t, x = np.linspace(0, 0.2, times), np.linspace(0, 1, places)
    rate = generator.uniform(0.5, 4.0, size=2 * samples)
    waves = generator.normal(size=(2 * samples, 3, 1)) * np.array([0.3, 0.15, 0.1])[:, None]
    initial = 2 + (waves * np.cos(np.pi * np.arange(3)[:, None] * x)).sum(axis=1)
    grow = np.exp(rate[:, None, None] * t[None, :, None])
    u = initial[:, None, :]
    fisher = u * grow / (1 - u + u * grow)
    nws = u * grow / np.sqrt(1 - u**2 + u**2 * grow**2)
    task = np.repeat([0, 1], samples)
    return OperatorData(
        problem="fisher",
        tasks=("fisher/fisher", "fisher/nws"),
        coordinates=np.stack(np.meshgrid(t, x, indexing="ij"), axis=-1).reshape(-1, 2),
        axes=(Quantity("t", "s"), Quantity("x", "m")),
        grid_shape=(times, places),
        parameters=np.stack([rate, np.zeros_like(rate)], axis=1),
        parameter_names=(Quantity("rate", "1/s"), Quantity("beta")),
        functions=initial[:, None, :].astype(np.float32),
        function_names=(Quantity("initial value"),),
        solution=np.where(task[:, None, None] == 0, fisher, nws).reshape(2 * samples, -1).astype(np.float32),
        solution_name=Quantity("concentration"),
        task=task.astype(np.int16),
        split=np.tile(split_of(samples), 2),
        geometry=np.zeros(2 * samples, dtype=np.int32),
        mask=np.ones((1, times * places), dtype=bool),
    )


def poisson(conductivity, inside, step):
    """-div(K grad h) = 1 by five points on the nodes inside, zero elsewhere."""
    n = len(conductivity)
    line = diags([np.ones(n - 1), -np.ones(n - 1)], [1, 0], shape=(n - 1, n))
    along_x = kron(diags([np.ones(n)], [0]), line)
    along_y = kron(line, diags([np.ones(n)], [0]))
    k_x = ((conductivity[:, 1:] + conductivity[:, :-1]) / 2).ravel()
    k_y = ((conductivity[1:] + conductivity[:-1]) / 2).ravel()
    matrix = (along_x.T @ diags([k_x], [0]) @ along_x + along_y.T @ diags([k_y], [0]) @ along_y) / step**2
    rows = np.flatnonzero(inside)
    head = np.zeros(n * n)
    head[rows] = spsolve(matrix.tocsr()[rows][:, rows].tocsc(), np.ones(len(rows)))
    return head


def darcy_data(samples=40, nodes=17, seed=0, shapes=("square", "circle"), problem="darcy"):
    """Darcy flow on the nodes of the unit square inside each shape."""
    generator = np.random.default_rng(seed)
    axis = np.linspace(0, 1, nodes)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    distances = {
        "square": np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y)),
        "circle": 0.5 - np.hypot(x - 0.5, y - 0.5),
        "diamond": 0.45 - np.abs(x - 0.5) - np.abs(y - 0.5),
    }
    distance = np.stack([distances[name].ravel() for name in shapes]).astype(np.float32)
    mask = distance > 1e-9
    fields, heads = [], []
    for shape in range(len(shapes)):
        for _ in range(samples):
            a = generator.normal(size=4) * 0.4
            field = a[0] + a[1] * np.cos(np.pi * x) + a[2] * np.cos(np.pi * y) + a[3] * np.sin(2 * np.pi * x * y)
            fields.append(field)
            heads.append(poisson(np.exp(field), mask[shape], axis[1]))
    count = samples * len(shapes)
    return OperatorData(
        problem=problem,
        tasks=tuple(f"darcy/{name}" for name in shapes),
        coordinates=np.stack([y.ravel(), x.ravel()], axis=1),
        axes=(Quantity("y", "m"), Quantity("x", "m")),
        grid_shape=(nodes, nodes),
        parameters=np.zeros((count, 0)),
        parameter_names=(),
        functions=np.stack(fields)[:, None].astype(np.float32),
        function_names=(Quantity("log conductivity"),),
        solution=np.stack(heads).astype(np.float32),
        solution_name=Quantity("hydraulic head", "m"),
        task=np.repeat(np.arange(len(shapes)), samples).astype(np.int16),
        split=np.tile(split_of(samples), len(shapes)),
        geometry=np.repeat(np.arange(len(shapes)), samples).astype(np.int32),
        mask=mask,
        distance=distance,
        geometry_names=shapes,
    )


def plate_data(nodes=(13, 13, 4)):
    """A made-up temperature with the plate's symmetry, on 30 designs, each with its own geometry."""
    axes = [np.linspace(-2, 2, nodes[0]), np.linspace(-2, 2, nodes[1]), np.linspace(0, 0.3, nodes[2])]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    designs = [PlateDesign(holes, position) for holes in range(2, 8) for position in (0.9, 1.1, 1.2, 1.4, 1.6)]
    distance = np.stack([plate_distance(design, points) for design in designs])
    mask = distance > -1e-9
    radius = np.hypot(points[:, 0], points[:, 1])
    wall = np.stack([hole_distance(design, points) for design in designs])
    number = np.array([[design.holes] for design in designs])
    field = np.where(mask, 1 - 0.1 * radius - 0.02 * number + 0.1 * np.exp(-3 * np.maximum(wall, 0)), 0)
    return OperatorData(
        problem="plate",
        tasks=("plate",),
        coordinates=points,
        axes=(Quantity("x", "m"), Quantity("y", "m"), Quantity("z", "m")),
        grid_shape=nodes,
        parameters=np.array([[design.holes, design.position] for design in designs], dtype=float),
        parameter_names=(Quantity("holes"), Quantity("hole position", "m")),
        functions=np.zeros((len(designs), 0), dtype=np.float32),
        function_names=(),
        solution=field.astype(np.float32),
        solution_name=Quantity("temperature", "K"),
        task=np.zeros(len(designs), dtype=np.int16),
        split=split_of(len(designs)),
        geometry=np.arange(len(designs), dtype=np.int32),
        mask=mask,
        distance=distance.astype(np.float32),
    )
