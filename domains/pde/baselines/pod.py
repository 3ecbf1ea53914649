"""Proper orthogonal decomposition of the fields, and regression of its coefficients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domains.pde.baselines.baseline import BASELINES, Inputs, require_rows
from domains.pde.baselines.kernel import Choice, Kernel, fit_kernel_ridge, predict_by_task, select
from domains.pde.data.samples import OperatorData


@dataclass(frozen=True)
class PodBasis:
    """Orthonormal modes of centred fields, most energetic first.

    Attributes:
        mean: (P,).
        modes: (P, k), orthonormal columns.
        energies: (k,) mean squares of the coefficients of the fields that it was made from.
    """

    mean: NDArray[np.float64]
    modes: NDArray[np.float64]
    energies: NDArray[np.float64]

    @classmethod
    def of(cls, fields: NDArray, modes: int) -> PodBasis:
        """The basis of fields (n, P); fewer modes than asked for where the fields span fewer."""
        if fields.ndim != 2 or len(fields) < 2 or modes < 1:
            raise ValueError(f"POD needs at least two fields (n, P) and one mode, got {fields.shape} and {modes}")
        data = fields.astype(np.float64)
        mean = data.mean(axis=0)
        data -= mean
        # The smaller of the two Gram matrices: fields are usually far fewer than points.
        few = data.shape[0] <= data.shape[1]
        values, vectors = np.linalg.eigh(data @ data.T if few else data.T @ data)
        values, vectors = values[::-1], vectors[:, ::-1]
        kept = min(modes, int((values > 1e-12 * max(values[0], 0)).sum())) if values[0] > 0 else 0
        if not kept:
            raise ValueError("the fields are all the same: there is no mode to find")
        columns = (data.T @ vectors[:, :kept]) / np.sqrt(values[:kept]) if few else vectors[:, :kept]
        # Modes from the Gram matrix lose orthogonality as their energy nears rounding; QR restores it.
        orthonormal, upper = np.linalg.qr(columns)
        return cls(mean, orthonormal * np.sign(upper.diagonal()), values[:kept] / len(data))

    def coefficients(self, fields: NDArray) -> NDArray[np.float64]:
        """(n, k) of fields (n, P)."""
        return (fields - self.mean) @ self.modes

    def fields(self, coefficients: NDArray) -> NDArray[np.float64]:
        """(n, P) from coefficients (n, k')  of the first k' modes."""
        return self.mean + coefficients @ self.modes[:, : coefficients.shape[1]].T

    def floor(self, fields: NDArray) -> NDArray[np.float64]:
        """(n,) relative L2 error of fields (n, P) projected on the basis: no model with this basis can be nearer."""
        error = np.linalg.norm(self.fields(self.coefficients(fields)) - fields, axis=1)
        return error / np.linalg.norm(fields, axis=1)


class PodRegression:
    """A POD basis a task, its coefficients by (kernel) ridge with a penalty for each mode.

    A task with one geometry has the basis of that geometry. Where geometries differ within a task, the fields with 0
    outside share one basis, and answers are cut to each geometry. Settings are chosen by leave-one-out on the training
    rows, as in `KernelRidgeField`; the basis itself is made from all of them.

    Args:
        modes: most modes kept.
        kernel: of the regression; ``"linear"`` is ridge.
        seed: of the choice of rows for the selection, where there are too many.

    Attributes:
        bases, choices: by task index.
    """

    def __init__(self, modes: int = 64, kernel: Kernel = "laplacian", *, seed: int = 0):
        if modes < 1:
            raise ValueError(f"POD needs at least one mode, got {modes}")
        self.modes = modes
        self.kernel: Kernel = kernel
        self.seed = seed
        self.bases: dict[int, PodBasis] = {}
        self.choices: dict[int, Choice] = {}

    def fit(self, data: OperatorData, rows: NDArray) -> None:
        """See `Baseline.fit`."""
        rows = require_rows(data, rows)
        self._mask = data.mask
        self.bases, self.choices = {}, {}
        self._models: dict[int, tuple[Inputs, Callable[[NDArray], NDArray]]] = {}
        for task in np.unique(data.task[rows]):
            chosen = rows[data.task[rows] == task]
            inputs = Inputs(data, chosen)
            x = inputs(data.parameters[chosen], data.functions[chosen], data.task[chosen], data.geometry[chosen])
            basis = PodBasis.of(data.solution[chosen], self.modes)
            targets = basis.coefficients(data.solution[chosen])
            choice = select(x, targets, self.kernel, seed=self.seed)
            model = fit_kernel_ridge(x, targets, self.kernel, choice)
            self.bases[int(task)], self.choices[int(task)] = basis, choice
            self._models[int(task)] = inputs, lambda x, b=basis, f=model: b.fields(f(x))

    def predict(self, parameters: NDArray, functions: NDArray, task: NDArray, geometry: NDArray) -> NDArray[np.float64]:
        """See `Baseline.predict`."""
        if not self.bases:
            raise ValueError("the POD regression is not fitted yet: call fit first")
        return predict_by_task(self._models, self._mask, (parameters, functions, task, geometry))


@BASELINES.add("pod ridge")
def pod_ridge(seed: int = 0) -> PodRegression:
    """POD with ridge regression of 64 coefficients."""
    return PodRegression(kernel="linear", seed=seed)


@BASELINES.add("pod kernel ridge")
def pod_kernel_ridge(seed: int = 0) -> PodRegression:
    """POD with Laplacian-kernel ridge regression of 64 coefficients."""
    return PodRegression(kernel="laplacian", seed=seed)
