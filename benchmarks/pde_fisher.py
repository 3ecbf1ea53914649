"""Reaction-diffusion with three source terms: relative L2 errors on test samples, three seeds, wall-clock beside them.

    python -m benchmarks.pde_fisher --work DIR [--seeds 3] [--scale 1]

The published configuration is trained for a tenth of its 100,000 steps times the scale, its staircase of learning rates
left as it is. One network a task sees as many rows of its task in each step as the joint network sees of that task.
"""

from __future__ import annotations

from functools import partial

from benchmarks.pde_common import Errors, Work, arguments, baseline, fitted, ranking, results_table, scaled
from benchmarks.results import write_section
from domains.pde.data.samples import OperatorData
from domains.pde.presets import PdeConfig

BASELINE_NAMES = ("mean field", "ridge", "kernel ridge", "pod kernel ridge", "deepxde deeponet", "deepxde pod-deeponet")
PUBLISHED_SHARE = 0.1


def main() -> None:
    work = arguments(__doc__)
    data = work.data("fisher", "paper")
    plus = scaled("mt-deeponet-fisher-plus", work.scale)
    published = scaled("mt-deeponet-fisher", PUBLISHED_SHARE * work.scale)
    systems = {
        f"published configuration, {_steps(published):,} of 100,000 steps": published,
        "plus": plus,
        "plus, mean square instead of relative loss": scaled(
            "mt-deeponet-fisher-plus", work.scale, **{"loss.kind": "mse"}
        ),
        "plus, Taylor label instead of source samples": scaled(
            "mt-deeponet-fisher-plus", work.scale, **{"encoding.source": "taylor"}
        ),
    }
    measured: dict[str, list[tuple[Errors, float]]] = {
        label: work.over_seeds(f"fisher {label}", partial(fitted, data, config)) for label, config in systems.items()
    }
    measured["plus, one network a task (seconds are the sum)"] = _single(work, data, plus)
    for name in BASELINE_NAMES:
        seeds = work.seeds if "deepxde" in name else 1
        measured[name] = work.over_seeds(f"fisher {name}", partial(baseline, name, data), seeds)
    note = (
        "4,000 samples (1000/1000/2000), 72 % to train, 8 % to validate, 20 % to test; mean over test samples of the "
        f"relative L2 error, 95 % intervals over seeds. Networks of the mended preset had {_steps(plus):,} steps; one "
        "network a task sees as many rows of its task in a step as the joint one does."
    )
    write_section("PDE: Fisher", f"{results_table(measured, data.tasks)}\n\n{ranking(measured, 'plus')}\n\n{note}")


def _single(work: Work, data: OperatorData, plus: PdeConfig) -> list[tuple[Errors, float]]:
    """For each seed the errors of the three networks, and the sum of their seconds."""
    # A step of one task would else take the rows of all three.
    alone = plus.model_copy(update={"training": plus.training.model_copy(update={"tasks_per_step": 1})})
    found = [
        work.over_seeds(f"fisher plus single {task}", partial(fitted, data, alone, tasks=[task])) for task in data.tasks
    ]
    return [
        ({task: values for errors, _ in parts for task, values in errors.items()}, sum(s for _, s in parts))
        for parts in zip(*found, strict=False)
    ]


def _steps(config: PdeConfig) -> int:
    return config.training.epochs * (config.training.steps_per_epoch or 0)


if __name__ == "__main__":
    main()
