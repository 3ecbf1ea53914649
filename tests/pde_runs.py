"""Small runs of the three problems for the tests of the page, trained for a few steps on a few solved samples."""

from pathlib import Path

SAMPLES = {"fisher": 10, "darcy": 10, "plate": 10}


def make_run(problem: str, data: Path, run: Path) -> None:
    """Solves DATA/<problem>.h5 and trains on it: the answers are rough, their shapes and units are right."""
    from domains.pde.learning.training import train
    from domains.pde.presets import resolve
    from domains.pde.simulator.sampling import sample

    sample(data, problems=[problem], samples=SAMPLES[problem])
    changes = {"epochs": 1, "steps_per_epoch": 5, "validate_every": 1, "points": 32}
    if problem == "fisher":
        changes["pod_steps"] = 20
    train(data, run, resolve(f"tiny-{problem}", changes))
