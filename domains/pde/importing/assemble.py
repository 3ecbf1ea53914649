"""From the arrays that a reader found to a checked data set: masks, distances, splits, names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from domains.pde.data.samples import SPLITS, OperatorData, Quantity
from domains.pde.data.store import check_data
from domains.pde.importing.edges import box_distance
from domains.pde.importing.options import ImportOptions
from domains.pde.problems.plan import draw_split

_OUTSIDE_SHARE = 0.05
_OUTSIDE_LEVEL = 1e-6


@dataclass(frozen=True)
class Raw:
    """What a reader found in one file.

    Attributes:
        solution: (N, *grid).
        coordinates: (*grid, d).
        axes: d quantities.
        functions: (N, c, *sensors).
        parameters: (N, m).
        mask: (N, *grid) or (*grid), in the axes of the solution; None if all points count.
        split: (N,) int8 with the file's own split, or None.
        notes: what the data set's attributes should say.
    """

    solution: np.ndarray
    coordinates: np.ndarray
    axes: tuple[Quantity, ...]
    functions: np.ndarray | None = None
    parameters: np.ndarray | None = None
    mask: np.ndarray | None = None
    split: np.ndarray | None = None
    parameter_names: tuple[Quantity, ...] = ()
    function_names: tuple[Quantity, ...] = ()
    solution_name: Quantity | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def assemble(raw: Raw, *, problem: str, task: str, options: ImportOptions, where: str) -> OperatorData:
    """A data set of one task; whatever is wrong with it is one `ValueError` that begins with `where`."""
    samples, grid = len(raw.solution), raw.solution.shape[1:]
    functions = np.zeros((samples, 0), np.float32) if raw.functions is None else raw.functions.astype(np.float32)
    parameters = np.zeros((samples, 0)) if raw.parameters is None else raw.parameters.astype(np.float64)
    for name, values in (("inputs", functions), ("parameters", parameters)):
        if len(values) != samples:
            raise ValueError(f"{where}: {len(values)} samples of {name}, but {samples} of the outputs")
    if not functions.shape[1] and not parameters.shape[1]:
        raise ValueError(f"{where}: no inputs; name the arrays that hold them (--inputs, --parameters)")
    solution, mask, geometry = _masked(raw, options, where)
    notes = dict(raw.notes)
    axes = _named(options.axes or raw.axes, len(raw.axes), "axis", where)
    names: tuple[str, ...] = ()
    if mask.all():
        known = grid_axes(raw.coordinates)
        distance, names, notes["distance"] = box_distance(solution, known, tuple(axis.name for axis in axes), problem)
    else:
        distance = _distances(mask.reshape(len(mask), *grid), raw.coordinates)
        notes["distance"] = "none: not a regular grid" if distance is None else "from the mask, to half a cell"
    split, said = _split(raw.split, samples, options, where)
    data = OperatorData(
        problem=problem,
        tasks=(options.task or task,),
        coordinates=raw.coordinates.reshape(-1, raw.coordinates.shape[-1]).astype(np.float64),
        axes=axes,
        grid_shape=tuple(grid),
        parameters=parameters,
        parameter_names=_named(options.parameter_names or raw.parameter_names, parameters.shape[1], "parameter", where),
        functions=functions,
        function_names=_named(options.function_names or raw.function_names, functions.shape[1], "input", where),
        solution=solution.reshape(samples, -1).astype(np.float32),
        solution_name=options.solution_name or raw.solution_name or Quantity("solution"),
        task=np.zeros(samples, np.int16),
        split=split,
        geometry=geometry,
        mask=mask,
        distance=distance,
        geometry_names=names,
        attributes={**notes, "imported_from": where.rsplit("/", 1)[-1], "split": said, "seed": options.seed},
    )
    check_data(data, where)
    return data


def _named(names: tuple[Quantity, ...], count: int, kind: str, where: str) -> tuple[Quantity, ...]:
    if not names:
        return tuple(Quantity(f"{kind} {k + 1}" if count > 1 else kind) for k in range(count))
    if len(names) != count:
        raise ValueError(f"{where}: {len(names)} names are given for {count} of kind {kind!r}")
    return names


def _masked(raw: Raw, options: ImportOptions, where: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solution with 0 outside (N, *grid), the different masks (G, P), and the mask of each sample (N,)."""
    samples, grid = len(raw.solution), raw.solution.shape[1:]
    points = int(np.prod(grid))
    if raw.mask is None and not options.nan_is_outside:
        return raw.solution, np.ones((1, points), bool), np.zeros(samples, np.int32)
    inside = ~np.isnan(raw.solution) if raw.mask is None else _ordered(raw.mask, options.order, where)
    inside = np.broadcast_to(inside, raw.solution.shape)
    if raw.mask is not None and not options.trust_mask:
        _check_outside(raw.solution, inside, where)
    solution = np.where(inside, raw.solution, 0)
    flat = inside.reshape(samples, points)
    packed = np.packbits(flat, axis=1)
    _, first, inverse = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    by_appearance = np.argsort(first)
    rank = np.empty_like(by_appearance)
    rank[by_appearance] = np.arange(len(rank))
    return solution, flat[first[by_appearance]], rank[inverse.reshape(-1)].astype(np.int32)


def _ordered(mask: np.ndarray, order: str | None, where: str) -> np.ndarray:
    values = np.unique(mask[np.isfinite(mask)])
    if not np.isin(values, (0, 1)).all() or not np.isfinite(mask).all():
        raise ValueError(f"{where}: a mask must hold 0 and 1 only, got {', '.join(map(str, values[:4]))}...")
    mask = mask.astype(bool)
    if order != "F":
        return mask
    if mask.shape[-1] != mask.shape[-2]:
        raise ValueError(f"{where}: a mask of shape {mask.shape} cannot be transposed; use --order C")
    return np.swapaxes(mask, -1, -2)


def _check_outside(solution: np.ndarray, inside: np.ndarray, where: str) -> None:
    """A mask that cuts off much of the solution is the wrong one, or lies the wrong way."""
    share = _lost(solution, inside)
    if share <= _OUTSIDE_SHARE:
        return
    said = f"{where}: the solution is not 0 at {100 * share:.0f} % of the points outside the mask"
    if inside.shape[-1] == inside.shape[-2] and _lost(solution, np.swapaxes(inside, -1, -2)) <= _OUTSIDE_SHARE:
        raise ValueError(f"{said}; the mask lies transposed to it: import with the other --order (C or F)")
    raise ValueError(f"{said}; check the mask, or import with --set trust_mask=true to cut them off")


def _lost(solution: np.ndarray, inside: np.ndarray) -> float:
    outside = solution[~inside]
    level = _OUTSIDE_LEVEL * np.nanmax(np.abs(solution), initial=0.0)
    return float(np.mean(np.abs(outside[~np.isnan(outside)]) > level)) if np.isfinite(outside).any() else 0.0


def _distances(mask: np.ndarray, coordinates: np.ndarray) -> np.ndarray | None:
    """Signed distances of each mask to its own edge, half a cell from the outermost points; None off regular grids."""
    from scipy.ndimage import distance_transform_edt

    axes = grid_axes(coordinates)
    if axes is None:
        return None
    steps = [np.diff(axis) for axis in axes]
    if any(not len(step) or not np.allclose(step, step.mean(), rtol=1e-3) for step in steps):
        return None
    spacing = [float(abs(step.mean())) for step in steps]
    half = min(spacing) / 2

    def signed(inside: np.ndarray) -> np.ndarray:
        if inside.all():
            return np.full(inside.shape, np.linalg.norm(np.ptp(coordinates.reshape(-1, len(axes)), axis=0)))
        within: Any = distance_transform_edt(inside, sampling=spacing)
        without: Any = distance_transform_edt(~inside, sampling=spacing)
        return np.where(inside, within - half, half - without)

    return np.stack([signed(inside).ravel() for inside in mask]).astype(np.float32)


def grid_axes(coordinates: np.ndarray) -> list[np.ndarray] | None:
    """The d axes of (*grid, d) coordinates, if they are a tensor grid in the order of its axes."""
    dimensions = coordinates.shape[-1]
    if coordinates.ndim != dimensions + 1:
        return None
    axes = [coordinates[(*([0] * k), slice(None), *([0] * (dimensions - 1 - k)), k)] for k in range(dimensions)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    scale = np.abs(coordinates).max(initial=1e-300)
    return axes if np.allclose(grid, coordinates, rtol=0, atol=1e-6 * scale) else None


def _split(given: np.ndarray | None, samples: int, options: ImportOptions, where: str) -> tuple[np.ndarray, str]:
    generator = np.random.default_rng(options.seed)
    if options.split is not None:
        if options.split not in SPLITS:
            raise ValueError(f"{where}: a split is one of {', '.join(SPLITS)}, got {options.split!r}")
        return np.full(samples, SPLITS.index(options.split), np.int8), "given"
    if given is None:
        return draw_split(samples, options.fractions, generator), f"drawn with fractions {options.fractions}"
    split = given.astype(np.int8).copy()
    training = np.flatnonzero(split == SPLITS.index("train"))
    if SPLITS.index("validation") in split or not options.validation:
        return split, "the file's own"
    count = round(options.validation * len(training))
    split[generator.permutation(training)[:count]] = SPLITS.index("validation")
    return split, f"the file's own, with {count} training samples taken for validation"
