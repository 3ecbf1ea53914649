"""Mean field, ridge and Laplacian-kernel ridge; their settings are chosen by leave-one-out on the training rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from domains.pde.baselines.baseline import BASELINES, Inputs, check_inputs, require_rows
from domains.pde.data.samples import OperatorData

Kernel = Literal["linear", "laplacian"]

# In units of 1 / (median distance between training inputs), where a kernel changes from near to far.
_WIDTHS = (0.03, 0.1, 0.3, 0.6, 1.0, 1.4, 2.0, 3.0)
# In units of the mean of the kernel's diagonal.
_PENALTIES = (1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_MAX_SELECTION_ROWS = 600  # leave-one-out costs the cube of the rows


class MeanField:
    """The mean of the training fields of each task, and of each geometry that training rows of the task had."""

    def __init__(self) -> None:
        self._fields: dict[tuple[int, int], NDArray] = {}

    def fit(self, data: OperatorData, rows: NDArray) -> None:
        """See `Baseline.fit`; points outside a geometry do not enter the mean of a task."""
        rows = require_rows(data, rows)
        self._mask = data.mask
        self._shapes = data.parameters.shape[1:], data.functions.shape[1:]
        self._fields = {}
        self._tasks = np.unique(data.task[rows])
        for task in self._tasks:
            chosen = rows[data.task[rows] == task]
            counts = data.sample_mask(chosen).sum(axis=0)
            total = data.solution[chosen].sum(axis=0, dtype=np.float64)
            self._fields[int(task), -1] = np.divide(total, counts, out=np.zeros(len(total)), where=counts > 0)
            for geometry in np.unique(data.geometry[chosen]):
                same = chosen[data.geometry[chosen] == geometry]
                self._fields[int(task), int(geometry)] = data.solution[same].mean(axis=0, dtype=np.float64)

    def predict(self, parameters: NDArray, functions: NDArray, task: NDArray, geometry: NDArray) -> NDArray[np.float64]:
        """See `Baseline.predict`."""
        if not self._fields:
            raise ValueError("the mean field is not fitted yet: call fit first")
        check_inputs(self._shapes, self._tasks, parameters, functions, task, geometry)
        fields = [
            self._fields.get((int(t), int(g)), self._fields[int(t), -1]) for t, g in zip(task, geometry, strict=True)
        ]
        return np.array(fields).reshape(len(task), -1) * self._mask[geometry]


@dataclass(frozen=True)
class Choice:
    """Settings of a kernel ridge and what they cost in leave-one-out.

    Attributes:
        gamma: factor of the distance in the Laplacian kernel exp(−γ ‖x − y‖₁), None for the linear kernel.
        alpha: penalty; one value, or one a column of the targets.
        error: leave-one-out error of the choice.
    """

    gamma: float | None
    alpha: float | NDArray
    error: float


class KernelRidgeField:
    """Kernel ridge regression from inputs to whole fields (scikit-learn), one model a task.

    γ and the penalty are those with the smallest relative L2 error in leave-one-out on the training rows, whose
    residuals have a closed form: e = A y / diag(A), A = (K + αI)⁻¹ (on 600 of them where there are more). Test rows
    are never looked at. The mean field of the task is taken off before and put back after.

    Args:
        kernel: ``"linear"`` is ridge regression.
        seed: of the choice of rows for the selection, where there are too many.

    Attributes:
        choices: what was chosen, by task index.
    """

    def __init__(self, kernel: Kernel = "laplacian", *, seed: int = 0):
        self.kernel: Kernel = kernel
        self.seed = seed
        self.choices: dict[int, Choice] = {}

    def fit(self, data: OperatorData, rows: NDArray) -> None:
        """See `Baseline.fit`."""
        rows = require_rows(data, rows)
        self._mask = data.mask
        self.choices = {}
        self._models: dict[int, tuple[Inputs, NDArray, Callable[[NDArray], NDArray]]] = {}
        for task in np.unique(data.task[rows]):
            chosen = rows[data.task[rows] == task]
            inputs = Inputs(data, chosen)
            x = inputs(data.parameters[chosen], data.functions[chosen], data.task[chosen], data.geometry[chosen])
            fields = data.solution[chosen].astype(np.float64)
            mean = fields.mean(axis=0)
            size = np.linalg.norm(fields, axis=1)
            choice = select(x, fields - mean, self.kernel, size=size, seed=self.seed)
            self.choices[int(task)] = choice
            self._models[int(task)] = inputs, mean, fit_kernel_ridge(x, fields - mean, self.kernel, choice)

    def predict(self, parameters: NDArray, functions: NDArray, task: NDArray, geometry: NDArray) -> NDArray[np.float64]:
        """See `Baseline.predict`."""
        if not self.choices:
            raise ValueError("the kernel ridge is not fitted yet: call fit first")
        return predict_by_task(
            {
                name: (inputs, lambda x, m=mean, f=model: m + f(x))
                for name, (inputs, mean, model) in self._models.items()
            },
            self._mask,
            (parameters, functions, task, geometry),
        )


def predict_by_task(
    models: dict[int, tuple[Inputs, Callable[[NDArray], NDArray]]],
    mask: NDArray,
    samples: tuple[NDArray, NDArray, NDArray, NDArray],
) -> NDArray[np.float64]:
    """Each sample's field by the model of its task, times its mask; `samples` is what `Baseline.predict` takes."""
    task, geometry = samples[2], samples[3]
    unknown = np.setdiff1d(task, list(models))
    if len(unknown):
        raise ValueError(f"no training row had task number {unknown[0]}; fitted on {', '.join(map(str, models))}")
    fields = np.zeros((len(task), mask.shape[1]))
    for name, (inputs, model) in models.items():
        if (own := task == name).any():
            parameters, functions, tasks, geometries = (array[own] for array in samples)
            fields[own] = model(inputs(parameters, functions, tasks, geometries))
    return fields * mask[geometry]


def select(x: NDArray, targets: NDArray, kernel: Kernel, *, size: NDArray | None = None, seed: int = 0) -> Choice:
    """The settings of a kernel ridge with the smallest leave-one-out error.

    Args:
        x: (n, f) standardised inputs.
        targets: (n, q), centred.
        kernel: which.
        size: (n,) norms that residuals are divided by; one penalty is chosen for all columns, by the mean of the
            relative errors. None: a penalty for each column, and γ, by squared errors.
        seed: of the choice of rows where there are more than 600.
    """
    rows = np.random.default_rng(seed).permutation(len(x))[:_MAX_SELECTION_ROWS]
    x, targets = x[rows], _compressed(targets[rows], whole=size is not None)
    similarity = _Similarity(x, kernel)
    alphas = np.array(_PENALTIES) * similarity.level
    choices: list[Choice] = []
    for gamma in similarity.gammas:
        values, vectors = np.linalg.eigh(similarity(gamma))
        rotated = vectors.T @ targets
        errors = []
        for alpha in alphas:
            filtered = vectors / (np.maximum(values, 0) + alpha)
            # The diagonal of A = V (Λ + αI)⁻¹ Vᵀ, and the residuals A y / diag(A).
            squared = ((filtered @ rotated) / np.einsum("ij,ij->i", filtered, vectors)[:, None]) ** 2
            errors.append(squared.mean(axis=0) if size is None else _relative(squared.sum(axis=1), size[rows]))
        if size is None:
            best = np.argmin(errors, axis=0)
            choices.append(Choice(gamma, alphas[best], float(np.sqrt(np.min(errors, axis=0).sum()))))
        else:
            best = int(np.argmin(errors))
            choices.append(Choice(gamma, float(alphas[best]), float(errors[best])))
    return min(choices, key=lambda choice: choice.error)


def _compressed(targets: NDArray, *, whole: bool) -> NDArray:
    """Targets (n, q) with the same products between rows, in at most n columns where only whole rows are compared."""
    if not whole or targets.shape[1] <= len(targets):
        return targets
    values, vectors = np.linalg.eigh(targets @ targets.T)
    return vectors * np.sqrt(np.maximum(values, 0))


def _relative(squared: NDArray, size: NDArray) -> float:
    counted = size > 0
    return float(np.mean(np.sqrt(squared[counted]) / size[counted])) if counted.any() else 0.0


def fit_kernel_ridge(x: NDArray, targets: NDArray, kernel: Kernel, choice: Choice) -> Callable[[NDArray], NDArray]:
    """A function from inputs (k, f) to targets (k, q), fitted with the chosen settings."""
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.metrics.pairwise import pairwise_kernels

    def similarity(inputs: NDArray) -> NDArray:
        # The kernel of images is what costs: it is computed once for all penalties.
        return pairwise_kernels(inputs, x, metric=kernel, filter_params=True, gamma=choice.gamma)

    own = similarity(x)
    alphas = np.broadcast_to(choice.alpha, targets.shape[1:])
    parts = []
    # Columns that share a penalty share a factorisation.
    for alpha in np.unique(alphas):
        columns = np.flatnonzero(alphas == alpha)
        model = KernelRidge(kernel="precomputed").set_params(alpha=float(alpha))
        parts.append((columns, model.fit(own, targets[:, columns])))

    def answer(inputs: NDArray) -> NDArray:
        out = np.empty((len(inputs), targets.shape[1]))
        near = similarity(inputs)
        for columns, model in parts:
            out[:, columns] = model.predict(near).reshape(len(inputs), -1)
        return out

    return answer


class _Similarity:
    """The kernel matrix of the inputs with themselves for each γ that is tried."""

    def __init__(self, x: NDArray, kernel: Kernel):
        if kernel == "linear":
            self._matrix = x @ x.T
            self.gammas: tuple[float | None, ...] = (None,)
            self.level = float(self._matrix.diagonal().mean()) or 1.0
            return
        from sklearn.metrics.pairwise import manhattan_distances

        self._matrix = manhattan_distances(x)
        between = self._matrix[np.triu_indices(len(x), 1)]
        median = float(np.median(between)) or 1.0
        self.gammas = tuple(width / median for width in _WIDTHS)
        self.level = 1.0

    def __call__(self, gamma: float | None) -> NDArray:
        return self._matrix if gamma is None else np.exp(-gamma * self._matrix)


@BASELINES.add("mean field")
def mean_field(seed: int = 0) -> MeanField:
    """The mean of the training fields; no chance in it."""
    return MeanField()


@BASELINES.add("ridge")
def ridge(seed: int = 0) -> KernelRidgeField:
    """Ridge regression."""
    return KernelRidgeField("linear", seed=seed)


@BASELINES.add("kernel ridge")
def kernel_ridge(seed: int = 0) -> KernelRidgeField:
    """Laplacian-kernel ridge regression."""
    return KernelRidgeField("laplacian", seed=seed)
