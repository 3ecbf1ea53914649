"""Heat in a plate with holes: errors on unseen designs, three seeds, wall-clock beside them.

    python -m benchmarks.pde_plate --work DIR [--seeds 3] [--scale 1]

Two splits: the published one, whose test designs only interpolate the holes' position, and one whose test designs have
numbers of holes that no training design has.
"""

from __future__ import annotations

from functools import partial

from benchmarks.pde_common import Errors, arguments, baseline, fitted, ranking, results_table, scaled
from benchmarks.results import write_section

BASELINE_NAMES = ("mean field", "pod ridge", "pod kernel ridge")
PUBLISHED_STEPS = 10
"""Of 20,000: a step takes all points of all training designs."""


def main() -> None:
    work = arguments(__doc__)
    parts = []
    for preset, words in (("paper", "Published split"), ("holes-held-out", "Unseen numbers of holes (4 and 7)")):
        data = work.data("plate", preset)
        published = scaled("mt-deeponet-plate", 1 / 200, **{"training.steps_per_epoch": PUBLISHED_STEPS})
        systems = {
            f"published configuration, {PUBLISHED_STEPS} of 20,000 steps": published,
            "plus": scaled("mt-deeponet-plate-plus", work.scale),
            "plus without hole features": scaled("mt-deeponet-plate-plus", work.scale, **{"trunk.features": "none"}),
            "plus, mean square inside and outside": scaled(
                "mt-deeponet-plate-plus", work.scale, **{"loss.kind": "mse"}
            ),
        }
        if preset != "paper":
            systems = {"plus": systems["plus"], "plus without hole features": systems["plus without hole features"]}
        measured: dict[str, list[tuple[Errors, float]]] = {}
        for label, config in systems.items():
            seeds = 1 if "published" in label or "inside and outside" in label else work.seeds
            measured[label] = work.over_seeds(f"plate {preset} {label}", partial(fitted, data, config), seeds)
        for name in BASELINE_NAMES:
            measured[name] = work.over_seeds(f"plate {preset} {name}", partial(baseline, name, data), 1)
        for metric, meaning in (("relative_l2", "relative L2 of T"), ("range_error", "RMSE over the range of T")):
            parts.append(f"**{words}: {meaning}**\n\n{results_table(measured, data.tasks, metric)}")
        parts.append(ranking(measured, "plus"))
    note = (
        "Means over the test designs, on the grid of 81 x 81 x 21 points; 95 % intervals over seeds. The steps of the "
        "published configuration say only what it costs: it is far from its end."
    )
    write_section("PDE: plate", "\n\n".join([*parts, note]))


if __name__ == "__main__":
    main()
