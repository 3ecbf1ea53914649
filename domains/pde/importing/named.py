"""Which named array is the input, the output, the mask and the grid: guesses, overruled by options, never silent."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from domains.pde.data.samples import SPLITS, Quantity
from domains.pde.importing.assemble import Raw
from domains.pde.importing.containers import Arrays
from domains.pde.importing.options import ImportOptions
from domains.pde.importing.points import Fail, mesh_names, points_of

_INPUTS = ("inputs", "input", "functions", "x", "a", "k", "f", "nu", "branch")
_OUTPUTS = ("outputs", "output", "solution", "solutions", "y", "u", "sol")
_PARAMETERS = ("parameters", "params")
_MASKS = ("mask", "masks", "shape")

_PART = re.compile(r"(?P<name>.+?)[_-](?P<split>train|test|val|valid|validation)", re.IGNORECASE)


def split_of(name: str) -> tuple[str, int | None]:
    """``("k", 0)`` of ``"k_train"``: a name without its split, and the split's index in `SPLITS`."""
    found = _PART.fullmatch(name)
    if found is None:
        return name, None
    word = found["split"].lower()
    return found["name"], SPLITS.index("validation" if word.startswith("val") else word)


@dataclass(frozen=True)
class _Named:
    """One quantity of the file: its parts by split, or one whole."""

    name: str
    parts: dict[int | None, np.ndarray]

    def joined(self) -> np.ndarray:
        return np.concatenate([self.parts[key] for key in _keys(self.parts)])

    @property
    def first(self) -> np.ndarray:
        return next(iter(self.parts.values()))


def _keys(parts: dict[int | None, np.ndarray]) -> list[int | None]:
    return sorted(parts, key=lambda key: -1 if key is None else key)


def listing(arrays: Arrays) -> str:
    """``"x (1000, 16, 16), y (1000, 16, 16)"``: what a file holds."""
    return ", ".join(f"{name} {values.shape}" for name, values in arrays.items())


def raw_of(arrays: Arrays, options: ImportOptions, where: str) -> Raw:
    """Input, output, mask and grid among named arrays.

    Names are the options', else the usual ones: inputs, x, a, k, ...; outputs, y, u, ...; mask, shape; coordinates, or
    a grid or an axis each for t, z, y, x. Names that end in ``_train``, ``_validation``, ``_test`` belong together.

    Raises:
        ValueError: a role that no array or more than one may have; the arrays found are listed.
    """
    groups: dict[str, _Named] = {}
    for name, values in arrays.items():
        base, split = split_of(name)
        groups.setdefault(base, _Named(base, {})).parts[split] = values

    def fail(problem: str) -> ValueError:
        return ValueError(f"{where}: {problem}; the file holds: {listing(arrays)}")

    def find(role: str, wanted: str | None, usual: tuple[str, ...], taken: set[str], least: int) -> _Named | None:
        if wanted is not None:
            if wanted in arrays:
                return _Named(split_of(wanted)[0], {None: arrays[wanted]})
            if wanted in groups:
                return groups[wanted]
            raise fail(f"no array {wanted!r} for the {role}")
        lower = [group for name, group in groups.items() if name.lower() in usual and name not in taken]
        possible = [group for group in lower if group.first.ndim >= least]
        if len(possible) > 1:
            names = ", ".join(group.name for group in possible)
            raise fail(f"{names} may all be the {role}: say which (--{role} NAME)")
        return possible[0] if possible else None

    for group in groups.values():
        if None in group.parts and len(group.parts) > 1:
            raise fail(f"{group.name!r} is there whole and in parts; say which is meant, or remove one")
    # A coordinate grid named y beside a solution named u is no second candidate: it has no axis of samples.
    said = {name for name in (options.inputs, options.outputs, options.parameters, options.mask) if name}
    meshes = set(options.coordinates) or {name for name, group in groups.items() if None in group.parts}.intersection(
        mesh_names({name: group.first for name, group in groups.items()})
    ) - {split_of(name)[0] for name in said}
    outputs = find("outputs", options.outputs, _OUTPUTS, meshes | said, 2)
    if outputs is None:
        raise fail("no outputs found: say which array holds the solution (--outputs NAME)")
    taken = {outputs.name, *meshes}
    parameters = find("parameters", options.parameters, _PARAMETERS, taken, 2)
    taken |= {parameters.name} if parameters else set()
    mask = find("mask", options.mask, _MASKS, taken, 2)
    taken |= {mask.name} if mask else set()
    inputs = find("inputs", options.inputs, _INPUTS, taken, 2)
    if inputs is None and parameters is None:
        raise fail("no inputs found: say which array holds them (--inputs NAME or --parameters NAME)")
    for group, role in ((inputs, "inputs"), (parameters, "parameters")):
        if group is not None and {k: len(v) for k, v in group.parts.items()} != _counts(outputs):
            raise fail(f"{role} {group.name!r} and outputs {outputs.name!r} have different numbers of samples")
    solution = _component(outputs.joined(), options, fail)
    roles = {group.name for group in (inputs, outputs, parameters, mask) if group is not None}
    others = {name: group.first for name, group in groups.items() if name not in roles}
    found = points_of(others, meshes, options, solution.shape[1:], fail)
    grid = found.coordinates.shape[:-1]
    solution = solution.reshape(len(solution), *grid)
    functions, columns = _functions(inputs.joined(), grid, options, fail) if inputs else (None, None)
    numbers = [part for part in (columns, parameters.joined() if parameters else None) if part is not None]
    if any(part.ndim != 2 for part in numbers):
        raise fail("parameters must have shape (samples, parameters)")
    split = None
    if None not in outputs.parts:
        split = np.concatenate(
            [np.full(len(outputs.parts[key]), key, np.int8) for key in _keys(outputs.parts) if key is not None]
        )
    unused = sorted(name for name in groups if name not in roles and name not in found.names)
    return Raw(
        solution=solution,
        coordinates=found.coordinates,
        axes=found.axes,
        functions=functions,
        parameters=np.concatenate(numbers, axis=1) if numbers else None,
        mask=_mask(mask, outputs, grid, fail) if mask else None,
        split=split,
        parameter_names=options.leading if parameters is None else (),
        function_names=(Quantity(inputs.name),) if inputs and functions is not None and functions.shape[1] == 1 else (),
        solution_name=Quantity(outputs.name),
        notes={**found.notes, "not_used": unused},
    )


def _counts(group: _Named) -> dict[int | None, int]:
    return {key: len(values) for key, values in group.parts.items()}


def _component(solution: np.ndarray, options: ImportOptions, fail: Fail) -> np.ndarray:
    if options.channel is not None:
        axis = 1 if options.channels == "first" else solution.ndim - 1
        if not 0 <= options.channel < solution.shape[axis]:
            raise fail(f"outputs have no component {options.channel}: their axis has length {solution.shape[axis]}")
        solution = np.take(solution, options.channel, axis=axis)
    # An axis of length 1 is a component or a time that is there once.
    lengths = [length for length in solution.shape[1:] if length > 1]
    return solution.reshape(len(solution), *lengths)


def _functions(
    inputs: np.ndarray, grid: tuple[int, ...], options: ImportOptions, fail: Fail
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Input functions (N, c, *sensors), or None, and the leading columns (N, m), or None."""
    columns = None
    if options.leading:
        if inputs.ndim != 2 or inputs.shape[1] < len(options.leading):
            raise fail(f"inputs of shape {inputs.shape} have no {len(options.leading)} leading parameters")
        columns, inputs = inputs[:, : len(options.leading)], inputs[:, len(options.leading) :]
        if not inputs.shape[1]:
            return None, columns
    rest = inputs.shape[1:]
    place = options.channels
    if place is None:
        if rest == grid or len(rest) == 1:
            place = "none"
        elif rest[1:] == grid:
            place = "first"
        elif rest[:-1] == grid:
            place = "last"
        else:
            raise fail(
                f"inputs of shape {inputs.shape} on a grid {grid}: say where their channels lie "
                "(--set channels=none, first or last)"
            )
    if place == "none":
        return inputs[:, None], columns
    return (inputs if place == "first" else np.moveaxis(inputs, -1, 1)), columns


def _mask(mask: _Named, outputs: _Named, grid: tuple[int, ...], fail: Fail) -> np.ndarray:
    values = mask.joined() if _counts(mask) == _counts(outputs) else mask.first
    if values.shape == grid or values.shape[1:] == grid:
        pass
    elif values.size % int(np.prod(grid)) == 0:
        values = values.reshape(-1, *grid)
    else:
        raise fail(f"the mask {mask.name!r} of shape {values.shape} does not fit the grid {grid}")
    if values.ndim == len(grid) + 1 and len(values) not in (1, len(outputs.joined())):
        raise fail(f"the mask {mask.name!r} is there for {len(values)} samples, not for 1 or all")
    return values
