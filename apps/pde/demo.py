"""`polyhead demo pde`: solve, train, predict and score three problems; a repeated call does what is left to do.

The folder: ``data/`` the solved sets, and for each of ``fisher``, ``darcy`` and ``plate`` a folder with ``run/``,
``predictions/`` and ``report.html``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from apps.demonstration import Stages, answer_all, is_begun, repeated
from apps.pde import cli
from apps.pde.answer_verbs import PRODUCTS

PROBLEMS = ("fisher", "darcy", "plate")
BANDED = ("darcy",)
"""Problems whose tiny data set has validation samples enough for bands."""


def run_demo(
    out: Path,
    *,
    problems: Sequence[str] = PROBLEMS,
    samples: Mapping[str, int] | None = None,
    settings: Sequence[str] = (),
    save: str = PRODUCTS.default,
) -> list[Path]:
    """Runs the verbs of the command line one after the other and prints where the results are.

    Args:
        out: folder for everything.
        problems: which of the three.
        samples: samples of each task, for a problem that should not have the preset's number.
        settings: changes of the tiny presets, as ``name=value``.
        save: what is written of each answer, as ``--save`` takes it; fields are needed.

    Returns:
        the reports, one HTML page a problem.

    Raises:
        ValueError: the folder holds something else, or a demonstration with other settings.
        RuntimeError: cases failed, which solved samples do not.
    """
    data, reports = out / "data", []
    stage = Stages("pde", 4 * len(problems) + sum(problem in BANDED for problem in problems))
    changes = repeated("--set", settings)
    for problem in problems:
        place, file = out / problem, data / f"{problem}.h5"
        run, predictions = place / "run", place / "predictions"
        preset, resume = f"tiny-{problem}", is_begun(run)
        count = (samples or {}).get(problem)
        with stage("sample", data, "--problem", problem, *(["--samples", count] if count else [])):
            cli.sample(data, problem=[problem], samples=count)
        with stage("train", file, "-o", run, "--preset", preset, *changes, *(["--resume"] if resume else [])):
            cli.train(file, run, preset=preset, settings=list(settings), resume=resume)
        if problem in BANDED:
            with stage("calibrate", run, file):
                cli.calibrate(run, file)
        with stage("predict", run, file, "-o", predictions, *([] if save == PRODUCTS.default else ["--save", save])):
            answer_all(partial(cli.predict, run, str(file), predictions, save=save), predictions)
        with stage("evaluate", predictions, file, "-o", place):
            cli.evaluate(predictions, file, place)
        reports.append(place / "report.html")
    stage.finish(
        *(
            f"{problem}: scores {report}, answers {out / problem / 'predictions' / 'summary.html'}"
            for problem, report in zip(problems, reports, strict=True)
        )
    )
    return reports
