"""What a file does not say about itself, said by the person who imports it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from domains.pde.data.samples import Quantity, Split


@dataclass(frozen=True)
class ImportOptions:
    """Names and meanings of the arrays of a foreign file. Everything has a guess; what is given here is obeyed.

    `read_options` makes them of words and numbers, as the command line has them, and holds them to their types.

    Attributes:
        inputs, outputs, parameters, mask: names of the arrays (npz, MATLAB, ...) that hold the input functions
            (N, *sensors) with or without a channel axis, the solution (N, *grid), the parameters (N, m), and the mask
            (N, *grid) or (*grid). A name may leave out ``_train`` and ``_test``.
        coordinates: names of the coordinate arrays, one (P, d) array or d of them (grids or axes), in the order of the
            solution's axes.
        leading: the first columns of two-dimensional inputs that are parameters.
        channels: where the channel axis of inputs lies: ``none``, ``first`` or ``last``.
        channel: which component of a solution with several is wanted; they lie as `channels` says.
        order: ``F`` for masks that are stored transposed to the solution, as in the published Darcy files.
        trust_mask: takes a mask that cuts off parts of the solution that are not 0.
        nan_is_outside: without a mask, points where the solution is NaN lie outside the geometry.
        grid_shape: the grid of a flattened solution.
        bounds: of each axis, for files without coordinates; (0, 1) each unless given.
        axes, parameter_names, function_names, solution_name: names and units.
        task: the task's name; ``PROBLEM/FILE`` unless given.
        split: puts all samples into one part.
        fractions: of training, validation and test samples where the file has no split.
        validation: the share of the file's training samples that becomes validation where the file has a split.
        seed: of the random splits.
        samples: how many, the first ones of the file, where not all are wanted.
    """

    inputs: str | None = None
    outputs: str | None = None
    parameters: str | None = None
    mask: str | None = None
    coordinates: tuple[str, ...] = ()
    leading: tuple[Quantity, ...] = ()
    channels: Literal["none", "first", "last"] | None = None
    channel: Annotated[int, Field(ge=0)] | None = None
    order: Literal["C", "F"] | None = None
    trust_mask: bool = False
    nan_is_outside: bool = False
    grid_shape: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    bounds: tuple[tuple[float, float], ...] | None = None
    axes: tuple[Quantity, ...] = ()
    parameter_names: tuple[Quantity, ...] = ()
    function_names: tuple[Quantity, ...] = ()
    solution_name: Quantity | None = None
    task: str | None = None
    split: Split | None = None
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: int = 0
    samples: Annotated[int, Field(ge=1)] | None = None


_QUANTITIES = ("leading", "axes", "parameter_names", "function_names")
_LISTS = (*_QUANTITIES, "coordinates", "grid_shape")


def read_options(values: Mapping[str, Any]) -> ImportOptions:
    """Options of plain values: a quantity is ``"name:unit"``, without a unit it has no dimension; one may be a list.

    Raises:
        ValueError: an option that there is not, with the names of those that there are, or a value that does not fit.
    """
    known = [field.name for field in fields(ImportOptions)]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise ValueError(f"unknown option {unknown[0]!r}; the options are: {', '.join(known)}")
    found = {name: _listed(name, value) for name, value in values.items()}
    try:
        return TypeAdapter(ImportOptions).validate_python(found)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}, got {each['input']!r}" for each in error.errors()]
        raise ValueError(f"options that do not fit: {'; '.join(wrong)}") from None


def _listed(name: str, value: Any) -> Any:
    if name in _LISTS and value is not None and not isinstance(value, list | tuple):
        value = [value]
    if name in _QUANTITIES and value is not None:
        return [_quantity(each) for each in value]
    return _quantity(value) if name == "solution_name" else value


def _quantity(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    name, _, unit = value.partition(":")
    return Quantity(name.strip(), unit.strip() or "1")
