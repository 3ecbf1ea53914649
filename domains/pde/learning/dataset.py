"""The samples of one task as the training loop takes them: encoded once, indexed a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from domains.pde.data.samples import OperatorData
from domains.pde.data.symmetry import Position, positions, turned
from domains.pde.networks.model import ProblemNetwork


class TaskSamples:
    """Samples of one task.

    Inputs and targets of a batch are those of `networks.model.Inputs` and `losses.Targets`. All rows of a batch share
    their points, drawn from the points that lie in any of the task's geometries.

    Args:
        data: the problem's samples.
        task: name of the task.
        rows: its samples, indices into `data`.
        network: the problem's network, whose statistics are set.
        points: random points of a batch; None takes all points, in or out.
        everywhere: whether they are drawn from all points, not only from those inside a geometry of the task.
        symmetries: turn batches by the square's symmetries that leave the task's geometries in place.

    Attributes:
        positions: the symmetries that batches are turned by, the identity first.
    """

    def __init__(
        self,
        data: OperatorData,
        task: str,
        rows: np.ndarray,
        network: ProblemNetwork,
        points: int | None = None,
        *,
        everywhere: bool = False,
        symmetries: bool = False,
    ):
        self.data, self.task, self.rows, self.network = data, task, np.asarray(rows), network
        self.points = points
        encoding = network.encoding
        encoded = encoding.encode(task, data.parameters[self.rows], data.functions[self.rows])
        self._encoded = {name: values.cpu() for name, values in encoded.items()}
        used = np.unique(data.geometry[self.rows])
        self._place = np.searchsorted(used, data.geometry[self.rows])
        self._mask = data.mask[used]
        self._distance = None if data.distance is None else data.distance[used]
        if network.needs_distance and self._distance is None:
            raise ValueError(f"task {task!r}: the network needs signed distances, and the data have none")
        self._channels = self._geometry_channels()
        self.positions = positions(data, used) if symmetries else (Position(0, np.arange(len(data.coordinates))),)
        inside = np.flatnonzero(self._mask.any(axis=0))
        self._drawn_from = np.arange(self._mask.shape[1]) if everywhere else inside
        if not len(inside):
            raise ValueError(f"task {task!r}: no point lies in its geometry")
        counts = self._mask.sum(axis=1)
        if (counts == 0).any():
            name = int(used[np.argmin(counts)])
            raise ValueError(f"task {task!r}: no point lies in the geometry {name}")
        fields = data.solution[self.rows]
        square = np.einsum("ij,ij,ij->i", fields, fields, self._mask[self._place].astype(np.float32))
        norm = np.sqrt(square / counts[self._place])
        if not (norm > 0).all():
            row = int(self.rows[np.argmin(norm)])
            raise ValueError(f"task {task!r}, sample {row}: the field is zero, so that no error is relative to it")
        self.norm = norm.astype(np.float32)
        self._offset = network.scaling.offset.cpu().numpy()
        self._unit = network.scaling.unit.cpu().numpy()

    def __len__(self) -> int:
        return len(self.rows)

    def _geometry_channels(self) -> Tensor | None:
        encoding = self.network.encoding
        if not encoding.config.geometry:
            return None
        shape = self.network.description.sensor_shape
        if self.data.mask.shape[1] != int(np.prod(shape)):
            raise ValueError(f"task {self.task!r}: geometry channels need input functions on the grid of the points")
        mask = self._mask.reshape(-1, *shape)
        distance = None if self._distance is None else self._distance.reshape(-1, *shape)
        found = encoding.geometry_image(mask, distance)
        return None if found is None else found.cpu()

    def batch(self, rows: Sequence[int], seeds: Sequence[int]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """A training batch: random points where `points` is set, and a position, functions of the first seed."""
        chosen = np.arange(self._mask.shape[1])
        if self.points is not None:
            chosen = self._drawn_from
            if self.points < len(chosen):
                generator = np.random.default_rng(seeds[0])
                chosen = np.sort(generator.choice(chosen, self.points, replace=False, shuffle=False))
        position = self.positions[0]
        if len(self.positions) > 1:
            position = self.positions[np.random.default_rng([seeds[0], 1]).integers(len(self.positions))]
        return self.at(rows, chosen, position)

    def at(
        self, rows: Sequence[int] | np.ndarray, points: np.ndarray, position: Position | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Inputs and targets of some rows at some points, indices of both; all turned where a position is given."""
        index = np.asarray(rows)
        place = self._place[index]
        # Rows of one geometry, the usual case, share the trunk's answer.
        place = place[:1] if (place == place[0]).all() else place
        inputs = {name: values[index] for name, values in self._encoded.items()}
        # Where the points are turned to: what the geometry says of a point is the same there.
        seen = points
        if position is not None and position.symmetry:
            inputs["image"] = turned(inputs["image"], position.symmetry)
            seen = position.place[points]
        if self._channels is not None:
            channels = self._channels[place].expand(len(index), -1, -1, -1)
            inputs["image"] = torch.cat([inputs["image"], channels], dim=1)
        network, data = self.network, self.data
        mask = self._mask[np.ix_(place, points)]
        distance = None if self._distance is None else self._distance[np.ix_(place, points)]
        at = network.point_inputs(data.coordinates[seen], distance, data.parameters[self.rows[index]])
        inputs["points"] = torch.from_numpy(at)
        factor = network.factor(distance, mask)
        if factor is not None:
            inputs["factor"] = torch.from_numpy(factor)
        offset, unit = (values if len(values) == 1 else values[seen] for values in (self._offset, self._unit))
        # One index a axis copies the wanted numbers only; indexing rows first would copy whole fields.
        field = (data.solution[np.ix_(self.rows[index], points)] - offset) / unit
        targets = {
            "field": torch.from_numpy(field.astype(np.float32, copy=False)),
            "weight": torch.from_numpy(mask.astype(np.float32)),
            "unit": torch.from_numpy(unit),
            "norm": torch.from_numpy(self.norm[index]),
        }
        return inputs, targets

    def by_geometry(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each geometry its rows and the points inside, indices of both."""
        return [
            (np.flatnonzero(self._place == place), np.flatnonzero(self._mask[place]))
            for place in range(len(self._mask))
        ]

    def relative_errors(self, answers: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(len(rows),) relative L2 errors in the mask of answers (len(rows), P), as the network gives them."""
        mask = self._mask[self._place[rows]]
        fields = self.data.solution[self.rows[rows]]
        error = np.where(mask, self._offset + self._unit * answers - fields, 0.0)
        mean = np.square(error, dtype=np.float64).sum(axis=1) / mask.sum(axis=1)
        return np.sqrt(mean) / self.norm[rows]
