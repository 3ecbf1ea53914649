"""Predictions against labels: scores by hand, missing answers, baselines, leakage, reports and temperatures."""

import csv
import gzip
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from domains.genomics.data.labelled import read_labelled
from domains.genomics.data.splits import purged_split, random_split
from domains.genomics.evaluation.evaluate import evaluate, leakage_of
from domains.genomics.evaluation.report import write_report
from domains.genomics.predicting.asked_run import AskedRun
from domains.genomics.predicting.predictions import PREDICTIONS, Prediction, prediction_table, read_predictions
from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.uncertainty.calibrate import calibrate_run, calibrated_strands
from polyhead.application import RESEARCH_USE
from polyhead.evaluation.reliability_figure import reliability_figure
from polyhead.runs.identity import CALIBRATION_FILE
from polyhead.uncertainty.temperature import (
    apply_temperature,
    fit_temperature,
    read_calibrations,
    write_calibrations,
)


def dna(length, seed):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Two tasks of classes on the same sequences, numbers, texts and images; a third of the rows each side."""
    folder = tmp_path_factory.mktemp("labelled")
    rows = []
    for index in range(90):
        sequence, side = dna(60, index), ("train", "validation", "test")[index % 3]
        share = (sequence.count("G") + sequence.count("C")) / 60
        label = str(int(share > 0.5))
        rows += [
            (sequence, "rich", label, side),
            (reverse_complement(sequence), "also", label, ("test", "train", "validation")[index % 3]),
            (sequence, "share", f"{share:.3f}", side),
            (sequence, "words", f"a sequence {'rich' if label == '1' else 'poor'} in G and C number {index}", side),
            (sequence, "picture", f"{index % 4} 1 {label} 3", side),
        ]
    with (folder / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("sequence", "task", "label", "split"), *rows])
    return folder


def answers(data, tasks, *, sure=0.8, wrong=()):
    """Right answers to all rows but those of `wrong`, which index into the test rows of each task."""
    rows = []
    for task in tasks:
        for place, row in enumerate(data.rows(task=task, split="test").tolist()):
            label, kind = str(data.label[row]), data.facts[task].kind
            shares = {}
            if kind == "classification":
                label = str(1 - int(label)) if place in wrong else label
                shares = {label: sure, str(1 - int(label)): 1 - sure}
            rows.append(Prediction(data.sequences[row], task, label, shares))
    return rows


def test_a_table_of_predictions_comes_back(tmp_path):
    rows = [Prediction("ACGT", "t", "1", {"0": 0.25, "1": 0.75}), Prediction("AC", "w", 'a, b\n"c"', {})]
    (tmp_path / "case").mkdir()
    with gzip.open(tmp_path / "case" / f"{PREDICTIONS}.gz", "wt", newline="") as file:
        file.write(prediction_table(rows))
    found = read_predictions(tmp_path)
    assert list(found.values()) == rows and found["ACGT", "t"].probabilities["1"] == 0.75
    (tmp_path / PREDICTIONS).write_text(prediction_table([Prediction("ACGT", "t", "0", {})]))
    with pytest.raises(ValueError, match="two answers to one sequence"):
        read_predictions(tmp_path)
    even = [
        Prediction("ACGT", "t", "0", {"0": 0.5001, "1": 0.4999}),
        Prediction("ACGT", "t", "1", {"0": 0.4999, "1": 0.5001}),
    ]
    long = [Prediction("", "t", "0", {}), Prediction("", "t", "1", {})]
    (tmp_path / "even.csv").write_text(prediction_table([*even, *long]))
    assert list(read_predictions(tmp_path / "even.csv").values()) == even[:1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sequence,task\nA,t\n", "no column answer"),
        ("sequence,task,answer,probabilities\nA,t,1,[1]\n", "line 2: probabilities are a JSON object"),
        ('sequence,task,answer,probabilities\nA,t,1,"{""0"": -1}"\n', "not negative"),
    ],
)
def test_broken_predictions_are_named(tmp_path, text, reason):
    (tmp_path / PREDICTIONS).write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_predictions(tmp_path)
    with pytest.raises(ValueError, match=r"holds no predictions\.csv"):
        read_predictions(tmp_path / "nothing")


def test_a_broken_row_of_predictions_is_no_answer_and_the_others_are_scored(labelled, tmp_path):
    data = read_labelled(labelled)
    task = next(task for task in data.tasks if data.facts[task].kind == "classification")
    rows = answers(data, [task])
    lines = prediction_table(rows).splitlines()
    first, second = rows[0], rows[1]
    lines[1] = f'{first.sequence},{task},1,"{{""0"": -1}}"'
    lines += [f"{second.sequence},{task},{1 - int(second.answer or 0)},", "ACGT"]
    (tmp_path / PREDICTIONS).write_text("\n".join(lines) + "\n")
    report = evaluate(tmp_path, data, resamples=20, leakage=False)
    assert [problem.code for problem in report.problems].count("prediction-invalid") == 3
    (scored,) = [each for each in report.tasks if each.task == task]
    assert scored.rows == len(rows) and scored.missing == 2
    assert scored.score("accuracy").interval.value == pytest.approx(1 - 2 / len(rows))


def test_right_answers_score_best_in_every_kind(labelled, tmp_path):
    data = read_labelled(labelled)
    (tmp_path / PREDICTIONS).write_text(prediction_table(answers(data, data.tasks)))
    report = evaluate(tmp_path, labelled, resamples=50)
    assert [task.kind for task in report.tasks] == ["classification"] * 2 + ["number", "text", "image"]
    best = {"MCC": 1, "AUROC": 1, "ECE": 0.2, "RMSE": 0, "Spearman": 1, "exact_match": 1, "token_F1": 1, "invalid": 0}
    for task in report.tasks:
        assert task.rows == 30 and task.missing == 0 and task.sequences == 30
        for score in task.scores:
            assert score.interval.value == pytest.approx(best.get(score.metric.name, score.interval.value), abs=1e-9)
    rich = report.tasks[0]
    assert rich.score("MCC").baseline == 0 and rich.score("MCC").above_baseline
    assert [(each.rows, each.accuracy) for each in rich.bins] == [(30, 1.0)]
    assert rich.bins[0].confidence == pytest.approx(0.8)
    numbers = report.tasks[2]
    test, train = (data.label[data.rows(task="share", split=side)].astype(float) for side in ("test", "train"))
    assert numbers.score("RMSE").baseline == pytest.approx(np.sqrt(((test - train.mean()) ** 2).mean()))
    assert report.mean is not None and report.mean.interval.value == 1
    assert not report.problems


def test_wrong_and_missing_answers_count(labelled):
    data = read_labelled(labelled)
    rows = answers(data, ["rich"], wrong={0, 1, 2})
    told = {(row.sequence, row.task): row for row in rows[:-5]}
    told["A", "rich"] = Prediction("A", "rich", "0", {})
    report = evaluate(told, data, resamples=50)
    (task,) = report.tasks
    assert (task.rows, task.missing) == (30, 5)
    assert task.score("accuracy").interval.value == pytest.approx(22 / 30)
    assert sum(each.rows for each in task.bins) == 25
    codes = [problem.code for problem in report.problems]
    assert codes.count("missing") == 5 and codes.count("not-predicted") == 4
    interval = task.score("MCC").interval
    assert interval.low < interval.value < interval.high
    assert evaluate(told, data, resamples=50).tasks[0].scores == task.scores


def test_answers_without_probabilities_and_broken_numbers(labelled):
    data = read_labelled(labelled)
    rows = [Prediction(row.sequence, row.task, row.answer, {}) for row in answers(data, ["rich", "share"])]
    rows[30] = Prediction(rows[30].sequence, "share", "many", {})
    report = evaluate({(row.sequence, row.task): row for row in rows}, data, resamples=20)
    assert "no probabilities" in report.tasks[0].notes[0]
    labels = data.label[data.rows(task="share", split="test")].astype(float)
    worst = max(labels[0] - labels.min(), labels.max() - labels[0])
    assert report.tasks[1].missing == 1
    assert report.tasks[1].score("MAE").interval.value == pytest.approx(worst / 30)


def test_what_cannot_be_scored(labelled):
    data = read_labelled(labelled)
    with pytest.raises(ValueError, match="unknown split"):
        evaluate({}, data, split="dev")
    with pytest.raises(ValueError, match="none of the tasks"):
        evaluate({}, data)
    with pytest.raises(ValueError, match="no row of the split 'test'; it has: train"):
        evaluate({}, data.take(data.rows(split="train")))
    with pytest.raises(ValueError, match="unknown baseline"):
        evaluate({}, data, baseline="guess")
    held = data.take(data.rows(task="rich", split="test"))
    told = {(row.sequence, row.task): row for row in answers(held, ["rich"])}
    report = evaluate(told, held, resamples=20)
    assert report.leakage is None and "no baseline" in report.tasks[0].notes[0]
    assert np.isnan(report.tasks[0].scores[0].baseline)


def test_leakage_stands_in_the_report_and_goes_with_purging(labelled, tmp_path):
    data = read_labelled(labelled, tasks=["rich", "also"])
    told = {(row.sequence, row.task): row for row in answers(data, ["rich", "also"])}
    leaky = evaluate(told, data, resamples=20, name="random")
    assert leaky.leakage is not None and not leaky.leakage.clean
    # The test rows of one task are training rows of the other, strand turned; its own training rows are not.
    assert {task.task: task.any_task for task in leaky.leakage.tasks} == {"rich": 0.0, "also": 1.0}
    also = next(task for task in leaky.leakage.tasks if task.task == "also")
    assert np.isnan(also.label_only) and also.label_only_rows == 30
    clean = data.with_split(purged_split(data.sequences, test=0.3, validation=0).side)
    assert leakage_of(clean).clean
    told = {(row.sequence, row.task): row for row in answers(clean, ["rich", "also"], wrong={0, 4})}
    purged = evaluate(told, clean, resamples=20, name="purged", baseline="canonical k-mers")
    files = write_report(purged, tmp_path / "out" / "report.html", beside=[leaky])
    page, found = files[0].read_text(), json.loads(files[1].read_text())
    assert [file.suffix for file in files] == [".html", ".json", ".csv"]
    assert RESEARCH_USE in page and "Splits side by side" in page and "http" not in page
    assert "Leakage: none" in page and "What the split gives away: random" in page
    assert found["leakage"]["clean"] and not found["beside"][0]["leakage"]["clean"]
    assert found["tasks"][0]["scores"][0]["metric"] == "MCC" and found["baseline"] == "canonical k-mers"
    lines = list(csv.DictReader(files[2].read_text().splitlines()))
    assert {line["evaluation"] for line in lines} == {"purged", "random"} and len(lines) == 2 * (2 * 6 + 1)
    with pytest.raises(ValueError, match="need a name each"):
        write_report(purged, tmp_path / "x.html", beside=[purged])
    console = Console(record=True, width=140)
    purged.print(console, full=True)
    leaky.print(console)
    text = console.export_text()
    assert "Leakage: none" in text and "100.0% of 30 test sequences" in text and RESEARCH_USE in text


def test_random_split_of_shared_sequences_leaks(labelled):
    data = read_labelled(labelled, tasks=["rich", "also"])
    mixed = data.with_split(random_split(data.sequences, data.task.tolist(), test=0.4, validation=0, seed=1).side)
    report = leakage_of(mixed)
    assert all(task.label_only == 1 and task.same_task == 0 and task.any_task > 0.4 for task in report.tasks)


def test_a_temperature_undoes_what_made_the_answers_too_sure():
    rng = np.random.default_rng(0)
    honest = rng.dirichlet([1.0, 1.0, 1.0], size=6000)
    label = (rng.random(6000)[:, None] > honest.cumsum(axis=1)).sum(axis=1)
    for power in (2.5, 0.5):
        found = fit_temperature("t", apply_temperature(honest, 1 / power), label)
        assert found.temperature == pytest.approx(power, rel=0.06)
        assert found.loss_after < found.loss_before and found.error_after < 0.03 < found.error_before
    same = fit_temperature("t", honest, label)
    assert same.temperature == pytest.approx(1, abs=0.06) and same.loss_after <= same.loss_before
    cooled = apply_temperature(honest, 3.0)
    assert (cooled.argmax(axis=1) == honest.argmax(axis=1)).all() and np.allclose(cooled.sum(axis=1), 1)
    assert apply_temperature(np.array([0.2, 0.8]), 0.5) == pytest.approx([0.04 / 0.68, 0.64 / 0.68])
    with pytest.raises(ValueError, match="at least 20"):
        fit_temperature("t", honest[:5], label[:5])
    with pytest.raises(ValueError, match="above 0"):
        apply_temperature(honest, 0.0)


def test_temperatures_are_saved_read_and_shown(labelled, tmp_path):
    rng = np.random.default_rng(1)
    found = fit_temperature("rich", rng.dirichlet([1.0, 1.0], size=50), rng.integers(0, 2, 50))
    write_calibrations(tmp_path, {"rich": found}, split="validation")
    assert read_calibrations(tmp_path) == {"rich": found} == read_calibrations(tmp_path / CALIBRATION_FILE)
    data = read_labelled(labelled)
    (tmp_path / PREDICTIONS).write_text(prediction_table(answers(data, ["rich"])))
    report = evaluate(tmp_path, data, resamples=20)
    page = write_report(report, tmp_path / "report.html")[0].read_text()
    assert f"rich: temperature {found.temperature:.2f} from 50 validation rows" in page
    (tmp_path / CALIBRATION_FILE).write_text("{}")
    with pytest.raises(ValueError, match="damaged"):
        read_calibrations(tmp_path)
    assert read_calibrations(tmp_path / "elsewhere") == {}
    with pytest.raises(ValueError, match="not trained on"):
        calibrate_run(asked(tmp_path, Sure(), ()), labelled, split="train")


class Sure:
    """Answers 0.95 for class 1 where the first 40 of 60 bases are rich in G and C, and 0.05 otherwise."""

    labels = {"rich": ("0", "1"), "also": ("1",), "other": ("0", "1")}  # noqa: RUF012

    @staticmethod
    def rich(sequence):
        return sum(base in "GC" for base in sequence[:40]) > 20

    def score(self, sequences, tasks, *, reverse_complement=False):
        shares = [0.95 if self.rich(sequence) else 0.05 for sequence in sequences]
        return [{tasks[0]: np.array([1 - share, share])} for share in shares]


class TwoMinds(Sure):
    """Less sure of the mean of both strands."""

    def score(self, sequences, tasks, *, reverse_complement=False):
        told = super().score(sequences, tasks)
        shrink = 0.5 if reverse_complement else 1.0
        return [{task: 0.5 + shrink * (shares - 0.5) for task, shares in line.items()} for line in told]


def asked(run: Path, scorer: Any, both: Collection[str], **more: Any) -> AskedRun:
    nothing: Any = None
    return AskedRun(run, scorer, nothing, dict.fromkeys(scorer.labels, nothing), nothing, frozenset(both), **more)


@pytest.mark.parametrize(("both", "strands"), [((), "forward"), (("rich",), "both")])
def test_a_temperature_is_fitted_and_used_on_the_strands_that_predict_asks(labelled, tmp_path, both, strands):
    """What the run says of strands counts, whatever the table that calibrates says or leaves open."""
    calibrate_run(asked(tmp_path, TwoMinds(), both), labelled, tasks=["rich"], reverse_complement=True)
    found = read_calibrations(tmp_path)
    assert calibrated_strands(tmp_path, both) == {"rich": strands}
    sequence = "G" * 40 + "A" * 20
    sure = {"forward": 0.95, "both": 0.725}
    data = read_labelled(labelled, tasks=["rich"])
    rows = data.rows(split="validation")
    right = np.mean([Sure.rich(data.sequences[row]) == (data.label[row] == "1") for row in rows])
    told = {"temperatures": {"rich": found["rich"].temperature}, "calibrated_on": calibrated_strands(tmp_path, both)}
    ready = asked(tmp_path, TwoMinds(), both, **told)
    assert ready.probabilities([sequence], ["rich"])[0]["rich"][1] == pytest.approx(right, abs=1e-3)
    assert ready.probabilities([sequence], ["rich"], calibrated=False)[0]["rich"][1] == pytest.approx(sure[strands])
    # One strand asked: the temperature of a task that has no other way of being asked still holds.
    alone = ready.probabilities([sequence], ["rich"], both=False)[0]["rich"][1]
    assert alone == pytest.approx(right if strands == "forward" else 0.95, abs=1e-3)
    # A file that does not say it by task is read by what the run says.
    write_calibrations(tmp_path, found, reverse_complement=True)
    assert calibrated_strands(tmp_path, both) == {"rich": strands}


def test_a_run_is_calibrated_on_its_validation_rows(labelled, tmp_path):
    said = []
    ready = asked(tmp_path, Sure(), Sure.labels)
    contents = calibrate_run(ready, labelled, reverse_complement=True, say=said.append)
    assert said == ["also: not calibrated: the run has no class 0"]
    assert contents["reverse_complement"] and contents["split"] == "validation" and set(contents["tasks"]) == {"rich"}
    found = read_calibrations(tmp_path)["rich"]
    data = read_labelled(labelled, tasks=["rich"])
    rows = data.rows(split="validation")
    right = np.mean([Sure.rich(data.sequences[row]) == (data.label[row] == "1") for row in rows])
    # Two answers only: the best temperature makes them as sure as they are right.
    assert found.rows == 30 and 0.5 < right < 0.95
    assert apply_temperature(np.array([0.05, 0.95]), found.temperature)[1] == pytest.approx(right, abs=1e-3)
    with pytest.raises(ValueError, match="nothing was calibrated"):
        calibrate_run(ready, labelled, tasks=["also"])


def test_the_mean_is_as_unsure_as_tasks_that_err_together(tmp_path):
    """One task under four names: the mean's interval is that of the one, not half of it."""
    rows = [(dna(40, index), f"t{task}", str(index % 2), "test") for index in range(60) for task in range(4)]
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("sequence", "task", "label", "split"), *rows])
    data = read_labelled(tmp_path)
    told = {(row.sequence, row.task): row for row in answers(data, data.tasks, wrong=set(range(0, 60, 5)))}
    report = evaluate(told, data, resamples=400)
    assert report.mean is not None
    one, mean = report.tasks[0].main.interval, report.mean.interval
    assert mean.value == pytest.approx(one.value)
    assert mean.high - mean.low == pytest.approx(one.high - one.low, rel=0.15)


def test_reliability_figure_draws_every_bin(labelled):
    data = read_labelled(labelled)
    told = {(row.sequence, row.task): row for row in answers(data, ["rich"])}
    bins = evaluate(told, data, resamples=20).tasks[0].bins
    assert reliability_figure("a < b", bins).count("<circle") == len(bins)
    assert "a &lt; b" in reliability_figure("a < b", bins) and reliability_figure("x", ()) == ""
