"""Real images: breast lesions in three classes by 5-fold cross-validation, with ovarian lesions in the same model.

One network learns, from random weights, to classify breast ultrasound images (BUSI, Al-Dhabyani et al. 2020) and to
segment and detect ovarian lesions (MMOTU, the sample of UltraSam). Each fold trains one model on four fifths of all
three tasks and predicts the fifth. The baseline is a logistic regression on 32 x 32 pixels whose penalty is chosen on
the training part of each fold. BUSI has no patient ids: folds are by image, byte-equal images kept together, and both
methods may profit from images of one patient on both sides.

    python -m benchmarks.ultrasound_real --data SHARED/ultrasound
"""

from __future__ import annotations

import argparse
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.bootstrap import bootstrap_interval
from benchmarks.results import table, write_section
from domains.medical.ultrasound.data.checks import content_hashes
from domains.medical.ultrasound.data.fm_uia import read_tables, write_tables
from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.data.splits import Split, fold_rows
from domains.medical.ultrasound.presets import resolve

CLASSES = ("benign", "malignant", "normal")
SETTINGS: dict[str, Any] = {
    "preset": "real-images",
    "image_size": 96,
    "classification_dropout": 0.2,
    "data.flip": True,
    "epochs": 100,
    "batch_size": 16,
    "learning_rate": 2e-3,
    "weight_decay": 0.05,
    "ema_decay": 0.99,
    "validate_every": 100,
    "sampler": "proportional",
    "device": "cpu",
}
"""Changes of the preset `tiny`; chosen on two folds of the seed 100, which is not among those reported."""


def decode_rle(text: str, height: int, width: int) -> np.ndarray:
    """COCO's compressed run lengths to a mask (height, width) uint8: runs down the columns, zeros first."""
    runs: list[int] = []
    position = 0
    while position < len(text):
        value, shift, more, digit = 0, 0, True, 0
        while more:
            digit = ord(text[position]) - 48
            value |= (digit & 31) << shift
            more, shift, position = bool(digit & 32), shift + 5, position + 1
        if digit & 16:
            value |= -1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    flat = np.repeat(np.arange(len(runs)) % 2, runs)
    return flat.reshape(width, height).T.astype(np.uint8)


def build(source: Path, root: Path) -> None:
    """Writes both sets as one FM_UIA data root of three tasks."""
    rows: list[Row] = []
    for label, name in enumerate(CLASSES):
        for image in sorted((source / "busi" / name).glob("*.png")):
            rows.append(_row("breast_3cls", "classification", 3, root, image, label=label))
    coco = json.loads((source / "ultrasam" / "sample_coco_MMOTU2D.json").read_text(encoding="utf-8"))
    images = {entry["id"]: entry for entry in coco["images"]}
    for annotation in coco["annotations"]:
        entry = images[annotation["image_id"]]
        image = source / "ultrasam" / entry["file_name"]
        height, width = annotation["segmentation"]["size"]
        mask = decode_rle(annotation["segmentation"]["counts"], height, width)
        if int(mask.sum()) != annotation["area"]:
            raise ValueError(
                f"{image.name}: the mask has {mask.sum()} pixels, its annotation says {annotation['area']}"
            )
        path = root / "Segmentation" / "masks" / image.name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
        x, y, box_width, box_height = annotation["bbox"]
        rows.append(_row("ovary_tumor", "segmentation", 2, root, image, mask=path))
        box = (x, y, x + box_width, y + box_height)
        rows.append(_row("ovary_tumor_det", "detection", 1, root, image, box=box))
    write_tables(root, rows, labels={"breast_3cls": CLASSES, "ovary_tumor": ("background", "lesion")})


def _row(task: str, kind: Any, outputs: int, root: Path, image: Path, **label: Any) -> Row:
    copy = root / "images" / image.parent.name / image.name
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(image.read_bytes())
    if "mask" in label:
        label["mask_path"] = f"../{label['mask'].relative_to(root).as_posix()}"
    return Row(task, kind, outputs, copy, f"../{copy.relative_to(root).as_posix()}", **label)


def run_fold(root: Path, seed: int, fold: int, folds: int, settings: dict[str, Any], threads: int) -> dict[str, Any]:
    """Trains on the other folds and predicts this one; returns what the network and the regression say of it."""
    import torch

    torch.set_num_threads(threads)
    split = _folds(root, seed, folds)[fold]
    labels, probabilities, dense = _network(split, seed * 100 + fold, settings)
    return {
        "seed": seed,
        "fold": fold,
        "images": [row.image_path for row in split.validation if row.task == "breast_3cls"],
        "labels": labels,
        "network": probabilities,
        "regression": _regression(split, seed),
        **dense,
    }


def _folds(root: Path, seed: int, folds: int) -> list[Split]:
    rows = read_tables(root).rows
    return fold_rows(rows, folds, seed=seed, contents=content_hashes({row.image for row in rows}))


def _network(split: Split, seed: int, settings: dict[str, Any]) -> tuple[list[int], list[list[float]], dict[str, Any]]:
    import torch

    from domains.medical.ultrasound.data.fm_uia import tasks_of
    from domains.medical.ultrasound.evaluation.metrics import box_iou, mask_scores
    from domains.medical.ultrasound.learning.dataset import task_data
    from domains.medical.ultrasound.learning.training import task_loss
    from domains.medical.ultrasound.networks.network import build_model, task_specs
    from domains.medical.ultrasound.predicting.predict import UltrasoundPredictor
    from domains.medical.ultrasound.saved import describe
    from polyhead.batch.case import Case
    from polyhead.runs.run import Run
    from polyhead.train import fit

    config = resolve("tiny", settings | {"training.seed": seed})
    tasks = task_specs(tasks_of(split.train), config)
    torch.manual_seed(seed)
    model = build_model(tasks, config.network)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.begin(Path(folder) / "run", describe(config, tasks))
        losses = {name: task_loss(task, config) for name, task in tasks.items()}
        # No validation: the weights of the last epoch are taken, so the fold's fifth is seen once, at the end.
        fit(model, losses, task_data(split.train, config), config.training, run, progress="quiet")
        predictor = UltrasoundPredictor(run.path, device=config.training.device, cache=False)
        labels, probabilities, dice, iou = [], [], [], []
        for row in split.validation:
            item = predictor.read(Case(id="x", path=row.image, tasks=(row.task,)))
            answer = predictor.predict([item])[0].tasks[row.task]
            if row.label is not None and answer.probabilities is not None:
                labels.append(row.label)
                probabilities.append(answer.probabilities)
            elif row.mask is not None and answer.mask is not None:
                dice.append(float(mask_scores(answer.mask, np.asarray(Image.open(row.mask)), 2).dsc[0]))
            elif row.box is not None:
                iou.append(float(box_iou(np.array([answer.box]), np.array([row.box]))[0]))
    return labels, probabilities, {"dice": dice, "iou": iou}


def _regression(split: Split, seed: int) -> list[list[float]]:
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def features(rows: list[Row]) -> np.ndarray:
        pictures = [Image.open(row.image).convert("L").resize((32, 32), Image.Resampling.BOX) for row in rows]
        return np.stack([np.asarray(picture, dtype=np.float64).ravel() / 255 for picture in pictures])

    train = [row for row in split.train if row.task == "breast_3cls"]
    test = [row for row in split.validation if row.task == "breast_3cls"]
    # Typed as text by the library's stubs, documented as numbers.
    options: dict[str, Any] = {"Cs": np.logspace(-5, 1, 7), "l1_ratios": (0.0,), "use_legacy_attributes": False}
    classifier = LogisticRegressionCV(cv=4, scoring="f1_macro", max_iter=2000, random_state=seed, **options)
    model = make_pipeline(StandardScaler(), classifier)
    model.fit(features(train), [row.label for row in train])
    return model.predict_proba(features(test)).tolist()


def summarise(found: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """The section's text and the numbers in it."""
    from sklearn.metrics import f1_score

    seeds = sorted({entry["seed"] for entry in found})
    pooled: dict[int, dict[str, np.ndarray]] = {}
    for seed in seeds:
        parts = sorted((entry for entry in found if entry["seed"] == seed), key=lambda entry: entry["fold"])
        order = np.argsort([image for entry in parts for image in entry["images"]])
        stacked = {
            key: np.concatenate([np.asarray(entry[key]) for entry in parts])[order]
            for key in ("labels", "network", "regression")
        }
        pooled[seed] = stacked
    count = len(pooled[seeds[0]]["labels"])

    def macro_f1(method: str, seed: int, rows: np.ndarray) -> float:
        labels, scores = pooled[seed]["labels"][rows], pooled[seed][method][rows]
        return float(f1_score(labels, scores.argmax(axis=1), average="macro", labels=[0, 1, 2]))

    def mean(method: str, rows: np.ndarray) -> float:
        return float(np.mean([macro_f1(method, seed, rows) for seed in seeds]))

    every = np.arange(count)
    generator = np.random.default_rng(0)
    resamples = [generator.integers(0, count, count) for _ in range(2000)]
    lines = []
    for method, title in (("network", "one network for all three tasks"), ("regression", "logistic regression, 32x32")):
        values = [mean(method, rows) for rows in resamples]
        per_seed = ", ".join(f"{macro_f1(method, seed, every):.3f}" for seed in seeds)
        low, high = np.quantile(values, [0.025, 0.975])
        lines.append([title, f"{mean(method, every):.3f}", f"{low:.3f} to {high:.3f}", per_seed])
    gaps = [mean("network", rows) - mean("regression", rows) for rows in resamples]
    low, high = np.quantile(gaps, [0.025, 0.975])
    gap = mean("network", every) - mean("regression", every)
    lines.append(["difference, paired", f"{gap:+.3f}", f"{low:+.3f} to {high:+.3f}", ""])
    dice = bootstrap_interval(np.array([value for entry in found for value in entry["dice"]]), seed=0)
    iou = bootstrap_interval(np.array([value for entry in found for value in entry["iou"]]), seed=0)
    text = "\n\n".join(
        [
            f"Breast lesions in three classes, {count} images of BUSI (CC BY 4.0), 5-fold cross-validation, "
            f"macro-F1 of the pooled folds, mean of {len(seeds)} seeds; the interval is a bootstrap over images.",
            table(["method", "macro-F1", "95 % interval", "by seed"], lines),
            f"In the same model, ten ovarian images (MMOTU by UltraSam, CC BY-NC-SA 4.0), held out two at a time: "
            f"Dice {dice.value:.3f} ({dice.low:.3f} to {dice.high:.3f}), box IoU {iou.value:.3f} "
            f"({iou.low:.3f} to {iou.high:.3f}); ten images say little.",
            "BUSI names no patients: folds are by image with byte-equal files kept together, so both methods may see "
            "other images of a test patient. All weights start at random.",
        ]
    )
    return text, {"network": mean("network", every), "regression": mean("regression", every), "gap_low": float(low)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/ultrasound"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="folds at a time")
    parser.add_argument("--threads", type=int, default=2, help="threads a fold")
    parser.add_argument("--set", nargs="*", default=[], help="settings, name=JSON")
    parser.add_argument("--json", type=Path, help="also keep what each fold said here")
    parser.add_argument("--no-section", action="store_true", help="print only, leave RESULTS.md")
    given = parser.parse_args()
    settings = SETTINGS | {name: json.loads(value) for name, _, value in (entry.partition("=") for entry in given.set)}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        build(given.data, root)
        jobs = [(seed, fold) for seed in given.seeds for fold in range(given.folds)]
        work = partial(run_fold, root, folds=given.folds, settings=settings, threads=given.threads)
        with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
            found = list(pool.map(work, *zip(*jobs, strict=True)))
    text, numbers = summarise(found)
    if given.json:
        given.json.write_text(json.dumps(found), encoding="utf-8")
    if given.no_section:
        print(text)
    else:
        write_section("Real ultrasound images", text)
    print(json.dumps(numbers))


if __name__ == "__main__":
    main()
