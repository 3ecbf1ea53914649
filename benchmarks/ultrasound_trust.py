"""Whether probabilities are honest, and whether pictures unlike the training are told, on breast ultrasound (BUSI).

Cross-validation by image, byte-equal images kept together: of each fold's other images a quarter chooses the epoch,
fits the temperature and sets the threshold, the rest trains. What is measured is measured on the fold, which no part of
the run has seen: reliability before and after the temperature, and how well pictures of other kinds are told from those
of the fold by the run's unlikeness and by what could do as well.

    python -m benchmarks.ultrasound_trust --busi BUSI --ct FOLDER_OF_DICOM --organs FOLDER_OF_OTHER_ULTRASOUND
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bootstrap import bootstrap_interval
from benchmarks.results import table, write_section
from domains.medical.intake.images import read_image
from domains.medical.intake.picture import Image
from domains.medical.ultrasound.data.checks import content_hashes
from domains.medical.ultrasound.data.fm_uia import write_tables
from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.data.splits import fold_rows, split_rows
from polyhead.batch.case import InvalidInput
from polyhead.uncertainty.reliability import brier, mass_error

TASK, CLASSES = "breast_3cls", ("benign", "malignant", "normal")
SETTINGS: dict[str, Any] = {
    "preset": "trust",
    "classification_dropout": 0.2,
    "data.flip": True,
    "batch_size": 16,
    "learning_rate": 2e-3,
    "weight_decay": 0.05,
    "ema_decay": 0.99,
    "validate_every": 5,
}
"""Changes of the preset `tiny`, as in `benchmarks.ultrasound_real`."""

DRAWN = 40
"""Pictures of each kind of noise and of simulated organs."""

NEIGHBOURS = 5
METHODS = {
    "unlikeness": "**unlikeness (encoder and picture)**",
    "encoder": "encoder alone",
    "picture": "grey levels and sharpness alone",
    "neighbours": f"cosine distance to the {NEIGHBOURS}th neighbour, last map",
    "softmax": "maximum softmax probability",
    "energy": "energy",
}
KINDS = ("noise", "speckle noise", "black", "white", "CT", "ovary", "simulated organs", "simulated breast")


def breast_rows(folder: Path) -> list[Row]:
    """A row an image of ``FOLDER/{benign,malignant,normal}``."""
    rows = [
        Row(TASK, "classification", 3, image, image.as_posix(), label=label)
        for label, name in enumerate(CLASSES)
        for image in sorted((folder / name).glob("*.png"))
    ]
    if not rows:
        raise SystemExit(f"{folder} holds no {'/, '.join(CLASSES)}/ with PNG images")
    return rows


def strange_pictures(ct: Path | None, organs: Path | None) -> dict[str, list[NDArray[np.uint8]]]:
    """Pictures (H, W, 3) that are no breast ultrasound, by kind; kinds whose folder is not given are left out."""
    from domains.medical.ultrasound.simulator.render import phantom
    from domains.medical.ultrasound.simulator.tasks import SHEETS

    generator = np.random.default_rng(0)

    def grey(values: NDArray) -> NDArray[np.uint8]:
        return np.repeat(np.clip(values, 0, 255).astype(np.uint8)[..., None], 3, axis=2)

    size = (256, 256)
    flat = np.linspace(0, 12, 5)
    found = {
        "noise": [grey(generator.integers(0, 256, size)) for _ in range(DRAWN)],
        # Rayleigh, as unfocused echoes are: the histogram of ultrasound without its structure.
        "speckle noise": [
            grey(generator.rayleigh(generator.uniform(15, 60), (128, 128)).repeat(2, 0).repeat(2, 1))
            for _ in range(DRAWN)
        ],
        "black": [grey(np.full(size, level)) for level in flat],
        "white": [grey(np.full(size, 255 - level)) for level in flat],
        "CT": _read(ct),
        "ovary": _read(organs),
    }
    sheets = [name for name in SHEETS if not name.startswith("breast")]
    found["simulated organs"] = [
        grey(phantom(name, seed).image) for seed in range(1 + DRAWN // len(sheets)) for name in sheets
    ][:DRAWN]
    found["simulated breast"] = [
        grey(phantom("breast_3cls", seed, variant=seed % 3).image) for seed in range(DRAWN // 2)
    ]
    return {kind: pictures for kind, pictures in found.items() if pictures}


def _read(folder: Path | None) -> list[NDArray[np.uint8]]:
    found = []
    for path in sorted(folder.rglob("*")) if folder else ():
        try:
            found += [read_image(path).pixels] if path.is_file() else []
        except InvalidInput:
            continue
    return found


def run_fold(
    busi: Path,
    strange: dict[str, list[NDArray[np.uint8]]],
    seed: int,
    fold: int,
    *,
    folds: int,
    settings: dict[str, Any],
    preset: str,
    threads: int,
) -> dict[str, Any]:
    """One training and all that is measured of it."""
    import torch

    from domains.medical.ultrasound.learning.training import train
    from domains.medical.ultrasound.predicting.predict import UltrasoundPredictor
    from domains.medical.ultrasound.presets import resolve
    from domains.medical.ultrasound.uncertainty.trust import Trust

    torch.set_num_threads(threads)
    rows = breast_rows(busi)
    contents = content_hashes({row.image for row in rows})
    outer = fold_rows(rows, folds, seed=seed, contents=contents)[fold]
    inner = split_rows(outer.train, fraction=0.25, seed=seed, contents=contents)
    config = resolve(preset, settings | {"training.seed": 100 * seed + fold})
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        for name, side in (("train", inner.train), ("held", inner.validation)):
            _write_root(place / name, side)
        started = time.perf_counter()
        train(place / "train", place / "run", config, validation_data=place / "held")
        seconds = time.perf_counter() - started
        predictor = UltrasoundPredictor(place / "run", device=config.training.device, cache=False)
        trust = predictor.trust
        test = [read_image(row.image).pixels for row in outer.validation]
        held = [read_image(row.image).pixels for row in inner.validation]
        known = [read_image(row.image).pixels for row in inner.train]

        def told(pictures: list[NDArray[np.uint8]], companions: Trust) -> tuple[NDArray, list[bool]]:
            predictor.trust = companions
            answers = predictor.predict([predictor.prepare(Image(each, None, {}), (TASK,)) for each in pictures])
            return (
                np.array([each.tasks[TASK].probabilities for each in answers]),
                ["unlike-training" in each.warnings for each in answers],
            )

        scores = _scores(predictor, trust, known)
        found: dict[str, Any] = {"seed": seed, "fold": fold, "seconds": seconds, "kinds": {}}
        found |= {"images": [row.image.name for row in outer.validation], "labels": [r.label for r in outer.validation]}
        found["before"] = told(test, replace(trust, likeness=None, temperatures={}))[0].tolist()
        found["calibrated"] = told(test, replace(trust, likeness=None))[0].tolist()
        after, flagged = told(test, trust)
        found |= {"after": after.tolist(), "flagged": flagged}
        found["said_alarms"] = trust.likeness.false_alarms if trust.likeness else 0.0
        found["temperature"] = trust.temperatures.get(TASK, 1.0)
        at_rest, on_fold = scores(held), scores(test)
        rank = min(len(held), math.ceil((len(held) + 1) * 0.99)) - 1
        thresholds = {name: float(np.sort(values)[rank]) for name, values in at_rest.items()}
        thresholds["unlikeness"] = 1.0
        found["false_alarms"] = {name: float((on_fold[name] > level).mean()) for name, level in thresholds.items()}
        for kind, pictures in strange.items():
            off = scores(pictures)
            sure = [
                told(pictures, each)[0].max(axis=1) for each in (replace(trust, likeness=None, temperatures={}), trust)
            ]
            found["kinds"][kind] = {
                "auroc": {name: _auroc(on_fold[name], off[name]) for name in METHODS},
                "flagged": {name: float((off[name] > thresholds[name]).mean()) for name in METHODS},
                "before": [float(sure[0].mean()), float(sure[0].max())],
                "after": [float(sure[1].mean()), float(sure[1].max())],
            }
    return found


def _write_root(root: Path, rows: Any) -> None:
    copies = []
    for row in rows:
        copy = root / "images" / row.image.parent.name / row.image.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(row.image.read_bytes())
        copies.append(replace(row, image=copy, image_path=f"../{copy.relative_to(root).as_posix()}"))
    write_tables(root, copies, labels={TASK: CLASSES})


def _scores(predictor: Any, trust: Any, known: list[NDArray[np.uint8]]) -> Any:
    """A function of pictures: for each method how strange it finds each of them (n,)."""
    import torch

    from domains.medical.ultrasound.networks.input import normalise
    from domains.medical.ultrasound.networks.network import LEVELS
    from domains.medical.ultrasound.uncertainty.picture import PICTURE
    from domains.medical.ultrasound.uncertainty.trust import ENCODER

    def seen(pictures: list[NDArray[np.uint8]]) -> dict[str, NDArray]:
        items = [predictor.prepare(Image(each, None, {}), (TASK,)) for each in pictures]
        found: dict[str, list[NDArray]] = {"levels": [], "last": [], "logits": []}
        for start in range(0, len(items), 16):
            pixels = np.stack([item.input for item in items[start : start + 16]])
            with torch.inference_mode():
                inputs = normalise(torch.from_numpy(pixels).to(predictor.device))
                features = predictor.model.encode(inputs, {LEVELS: None, "c5": None})
                logits = predictor.model.answer(features, [TASK])[TASK]
            for name, value in (
                ("levels", features[LEVELS]),
                ("last", features["c5"].mean((2, 3))),
                ("logits", logits),
            ):
                found[name].append(value.cpu().double().numpy())
        numbers = np.stack([item.looks for item in items])
        return {name: np.concatenate(values) for name, values in found.items()} | {"picture": numbers}

    def unit(values: NDArray) -> NDArray:
        return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)

    memory = unit(seen(known)["last"])

    def scores(pictures: list[NDArray[np.uint8]]) -> dict[str, NDArray]:
        found = seen(pictures)
        shares = torch.from_numpy(found["logits"]).softmax(1).numpy()
        parts = {ENCODER: found["levels"], PICTURE: found["picture"]}
        return {
            "unlikeness": trust.likeness.unlikeness(parts),
            **{name: trust.likeness.parts[name].distance(values) for name, values in parts.items()},
            "neighbours": np.sort(1 - unit(found["last"]) @ memory.T, axis=1)[:, NEIGHBOURS - 1],
            "softmax": 1 - shares.max(axis=1),
            "energy": -np.logaddexp.reduce(found["logits"], axis=1),
        }

    return scores


def _auroc(near: NDArray, far: NDArray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(np.repeat([0, 1], [len(near), len(far)]), np.concatenate([near, far])))


def summarise(found: list[dict[str, Any]], settings: dict[str, Any]) -> str:
    """The section's text."""
    images = np.array(
        [f"{label} {name}" for each in found for name, label in zip(each["images"], each["labels"], strict=True)]
    )
    labels = np.concatenate([each["labels"] for each in found])
    shares = {
        name: np.concatenate([np.array(each[name]) for each in found]) for name in ("before", "calibrated", "after")
    }
    options: dict[str, Any] = {"groups": list(images), "seed": 0}

    def interval(values: NDArray, statistic: Any = None) -> str:
        made = bootstrap_interval(values, statistic, **options)
        return f"{made.value:.3f} ({made.low:.3f} to {made.high:.3f})"

    def measures(p: NDArray) -> dict[str, NDArray]:
        loss = -np.log(np.maximum(p[np.arange(len(p)), labels], 1e-12))
        return {"loss": loss, "brier": brier(p, labels), "sure": p.max(axis=1), "right": p.argmax(axis=1) == labels}

    lines, measured = [], {name: measures(p) for name, p in shares.items()}
    titles = {
        "before": "before",
        "calibrated": "after the temperature",
        "after": "as told: after temperature and unlikeness",
    }
    for name, title in titles.items():
        m = measured[name]
        pair = np.stack([m["sure"], m["right"]], axis=1)
        error = interval(pair, lambda rows: mass_error(rows[:, 0], rows[:, 1]))
        lines.append([title, error, interval(m["loss"]), interval(m["brier"])])
    b, a = measured["before"], measured["calibrated"]

    def gap(rows: NDArray) -> float:
        return mass_error(rows[:, 1], rows[:, 2]) - mass_error(rows[:, 0], rows[:, 2])

    pair = np.stack([b["sure"], a["sure"], b["right"]], axis=1)
    lines.append(
        ["after less before", interval(pair, gap), interval(a["loss"] - b["loss"]), interval(a["brier"] - b["brier"])]
    )
    temperatures = [each["temperature"] for each in found]
    accuracy = interval(measured["before"]["right"].astype(float))

    kinds = [kind for kind in KINDS if kind in found[0]["kinds"]]
    detection = []
    for method, title in METHODS.items():
        row = [title]
        for kind in kinds:
            area = [each["kinds"][kind]["auroc"][method] for each in found]
            share = np.mean([each["kinds"][kind]["flagged"][method] for each in found])
            row.append(f"{np.mean(area):.3f} ({min(area):.2f} to {max(area):.2f}), {share:.0%}")
        alarms = [each["false_alarms"][method] for each in found]
        detection.append([*row, f"{np.mean(alarms):.1%}"])
    alarm = interval(np.concatenate([np.array(each["flagged"], dtype=float) for each in found]))

    def told(kind: str, when: str) -> str:
        means, most = zip(*(each["kinds"][kind][when] for each in found), strict=True)
        return f"{np.mean(means):.2f}, {max(most):.2f}"

    sure = [[kind, told(kind, "before"), told(kind, "after")] for kind in kinds]
    inside = [
        f"{np.mean(measured[name]['sure']):.2f}, {measured[name]['sure'].max():.2f}" for name in ("before", "after")
    ]
    seeds = len({each["seed"] for each in found})
    seconds = np.mean([each["seconds"] for each in found])
    size = settings.get("image_size")
    return "\n\n".join(
        [
            f"Three classes of breast lesions, {len(set(images))} images of BUSI (CC BY 4.0), {len(found)} trainings "
            f"of {seeds} seeds at {size} pixels, {seconds:.0f} s each. Images of a fold are measured with a run that "
            "saw none of them: its weights, epoch, temperature and threshold come from the other folds. Accuracy "
            f"{accuracy}. Intervals are bootstraps over images (95 %); ECE is biased upwards, and in "
            "resamples more.",
            table(["probabilities", "ECE, bins of equal rows", "NLL", "Brier"], lines),
            f"Temperatures: {np.mean(temperatures):.2f} on the mean, {min(temperatures):.2f} to "
            f"{max(temperatures):.2f}.",
            "Telling other pictures from held-out breast images: AUROC, mean over trainings with least and greatest, "
            "and the share that is flagged at the threshold of the held-out rows (for 99 %, or the largest of few). "
            "CT: slices of TotalSegmentator's test data; ovary: MMOTU by UltraSam; simulated: by our simulator.",
            table(["by", *kinds, "false alarms"], detection),
            f"False alarms of the run's own flag among held-out breast images: {alarm}; said beforehand: at most "
            f"{max(each['said_alarms'] for each in found):.1%}.",
            "Probability of the answer that is told, mean and greatest over pictures and trainings:",
            table(["pictures", "before", "after"], [["held-out breast", *inside], *sure]),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busi", type=Path, required=True, help="folder of benign/, malignant/ and normal/")
    parser.add_argument("--ct", type=Path, help="folder of CT slices as DICOM")
    parser.add_argument("--organs", type=Path, help="folder of ultrasound images of another organ")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--size", type=int, default=96, help="side of the network's input, a multiple of 32")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--threads", type=int, default=1, help="threads a training")
    parser.add_argument("--set", nargs="*", default=[], help="settings, name=JSON")
    parser.add_argument("--json", type=Path, help="also keep what was measured of each training here")
    parser.add_argument("--no-section", action="store_true", help="print only, leave RESULTS.md")
    given = parser.parse_args()
    settings = SETTINGS | {"image_size": given.size, "epochs": given.epochs, "training.device": given.device}
    settings |= {name: json.loads(value) for name, _, value in (entry.partition("=") for entry in given.set)}
    jobs = [(seed, fold) for seed in given.seeds for fold in range(given.folds)]
    options = {"folds": given.folds, "settings": settings, "preset": given.preset, "threads": given.threads}
    work = partial(run_fold, given.busi, strange_pictures(given.ct, given.organs), **options)
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(work, *zip(*jobs, strict=True)))
    if given.json:
        given.json.write_text(json.dumps(found), encoding="utf-8")
    text = summarise(found, settings)
    if given.no_section:
        print(text)
    else:
        write_section("Ultrasound: honest probabilities and pictures unlike the training", text)


if __name__ == "__main__":
    main()
