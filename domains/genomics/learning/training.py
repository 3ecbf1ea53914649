"""Tuning on labelled rows: sides, answers, tokens, model, loss of each task, validation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from domains.genomics.answers.answer import Answer
from domains.genomics.answers.codecs import CODECS, codec_hashes, copy_codecs, drop_codecs, load_codecs
from domains.genomics.answers.format import Layout
from domains.genomics.answers.image import ImageAnswer
from domains.genomics.answers.store import ANSWERS_FILE, load_answers
from domains.genomics.data.labelled import LabelledData, read_labelled
from domains.genomics.learning.answering import build_answers, task_specs
from domains.genomics.learning.dataset import RowMaker, TaskRows, TokenCache, task_rows
from domains.genomics.learning.starting import start, tokens_of
from domains.genomics.learning.validation import validator
from domains.genomics.models.backbone import has_lora, merge_lora
from domains.genomics.models.network import backbone_of, build_model, weighted_cross_entropy
from domains.genomics.saved import describe, save_parts
from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.sequences.tokenizer import TOKENIZER_FILE
from domains.genomics.settings import GenomicsConfig
from polyhead.evaluation.report import Problem
from polyhead.model import MultiHeadModel
from polyhead.runs.identity import PROBLEMS_FILE
from polyhead.runs.run import Run
from polyhead.system.files import hash_file, replacing
from polyhead.system.ranks import Ranks
from polyhead.system.spreadsheet import TableWriter
from polyhead.train import FitResult, fit
from polyhead.training.session import Session

Say = Callable[[str], None]


def train(
    data: str | Path | LabelledData,
    out: str | Path,
    config: GenomicsConfig,
    *,
    init_from: str | Path | None = None,
    tasks: Sequence[str] | None = None,
    allow_lost_tasks: bool = False,
    session: Session = Session(),
) -> FitResult:
    """Trains one model for all tasks of a data set into a run folder.

    Rows of the split ``train``, and those without one, are trained on; those of ``validation`` choose the weights, and
    where there are none, `validation_share` of the distinct sequences (a sequence and its reverse complement are one)
    is held out. All other rows, ``test`` among them, are not looked at. How tasks answer is learned from training rows.
    Rows that cannot be used are left out, each a line of ``RUN/problems.csv``. The codecs of pictures that the data
    name are taken along into the run.

    Where fewer tasks than `training.tasks_per_step` are trained, a step takes all of them with as many rows in total.

    Args:
        data: a folder or table (see `data.read_labelled`), or the rows.
        out: the run folder.
        config: the system.
        init_from: a run of `pretraining.pretrain` or of a training, a checkpoint's folder, or a hub id; its tokenizer
            and shape win over those of `config`.
        tasks: train these tasks only.
        allow_lost_tasks: go on without tasks of which no row can be used, which is an error else.
        session: how the training is carried out.

    Raises:
        ValueError: the data cannot be used, or a setting does not fit them.
    """
    out = Path(out)
    ranks = Ranks(config.training.device)
    session = session.among(ranks)
    say = session.say
    found = _read(data, config, tasks)
    for task, problem in found.lost.items():
        reason = f"the task {task} would be lost: none of its rows can be used, first {problem}"
        if not allow_lost_tasks:
            raise ValueError(f"{reason}; mend its rows, or give --allow-lost-tasks to train without it")
        say(f"{reason}; it is trained without it, as --allow-lost-tasks says")
    training, held_out = sides(found, config, say)
    untrained = [task for task in found.tasks if task not in training.tasks]
    if untrained:
        say(f"no training rows of {', '.join(untrained)}: not trained")
    config = config.model_copy(update={"training": config.training.for_tasks(len(training.tasks))})
    layout = Layout(config.layout, config.replication)
    for line in layout.warnings(training.tasks):
        say(line)

    kept = out if session.resume and (out / TOKENIZER_FILE).is_file() else None
    answers = load_answers(out) if kept and (out / ANSWERS_FILE).is_file() else build_answers(training, config)
    codecs = _codecs(found.folder, answers, say)
    torch.manual_seed(config.training.seed)
    decoder, tokenizer, config = start(
        config, init_from, training.sequences, context=config.context, added=tokens_of(answers, layout), kept=kept
    )
    specs = task_specs(training.facts, answers, config)
    model = build_model(specs, config, decoder, tokenizer, answers)

    sequences = [*training.sequences, *held_out.sequences]
    cache = TokenCache(tokenizer, sequences, both_strands=config.reverse_complement > 0)
    maker = RowMaker(tokenizer, layout, config, cache)
    rows, problems = task_rows(training, specs, answers, maker, training=True)
    scored, more = task_rows(held_out, specs, answers, maker, training=False)
    problems = [*found.problems, *problems, *more]
    _all_have_rows(rows, problems)
    lacking = [task for task, each in scored.items() if not len(each)]
    if len(lacking) == len(scored):
        say("no validation rows: the weights of the last epoch are kept")
    elif lacking:
        say(f"no validation rows of {', '.join(lacking)}: scored on training rows")
        scored |= {task: rows[task] for task in lacking}
    total, count = (sum(map(len, side.values())) for side in (rows, scored))
    say(f"{len(specs)} tasks; {total} rows to train, {count} to validate")
    if problems:
        say(f"{len(problems)} rows are left out, listed in {out / PROBLEMS_FILE}; first: {problems[0]}")

    info = describe(
        config,
        specs,
        {
            "fingerprint": {"train": training.fingerprint(), "validation": held_out.fingerprint()},
            "rows": {task: len(each) for task, each in rows.items()},
            "validation_rows": {task: len(held_out.rows(task=task)) for task in specs},
            "facts": {task: training.facts[task].to_json() for task in specs},
            "vocabulary": decoder.lm_head.weight.shape[0],
            "init_from": None if init_from is None else _origin(init_from),
            # Runs without pictures say nothing of codecs.
            **({"codecs": codecs} if codecs else {}),
        },
    )
    with session.begin(out, info, GenomicsConfig) as run:
        if ranks.first:
            save_parts(run, tokenizer, answers)
            run.drop_calibration(say)
            drop_codecs(run.path, keep=codecs)
            if found.folder is not None:
                copy_codecs(found.folder, run.path, codecs)
            _write_problems(run.path / PROBLEMS_FILE, problems)
        result = fit(
            model,
            dict.fromkeys(specs, weighted_cross_entropy),
            rows,
            config.training,
            run,
            validate=None if len(lacking) == len(specs) else validator(scored, most_written=config.validation_rows),
            resume=run.resumed,
            on_step=session.on_step,
            progress=session.progress,
        )
        if ranks.first and result.stopped != "time":
            _merge_adapters(model, run)
        return result


def _read(data: str | Path | LabelledData, config: GenomicsConfig, tasks: Sequence[str] | None) -> LabelledData:
    if not isinstance(data, LabelledData):
        return read_labelled(data, tasks=tasks, policy=config.ambiguous, seed=config.training.seed)
    if tasks is None:
        return data
    unknown = sorted(set(tasks) - set(data.tasks))
    if unknown:
        raise ValueError(f"the data have no task {', '.join(unknown)}; they have {', '.join(data.tasks)}")
    return data.take(np.flatnonzero(np.isin(data.task.astype(str), list(tasks))))


def sides(
    data: LabelledData, config: GenomicsConfig, say: Say = lambda text: None
) -> tuple[LabelledData, LabelledData]:
    """The rows to train on and those to validate on; see `train`."""
    trained = np.isin(data.split.astype(str), ("train", ""))
    checked = data.split.astype(str) == "validation"
    if not checked.any() and config.validation_share > 0:
        drawn = np.array([_drawn(data, row, config) for row in range(len(data))])
        checked, trained = trained & drawn, trained & ~drawn
        say(f"no row says validation: {int(checked.sum())} rows of the training are held out")
    if not trained.any():
        raise ValueError("no rows of the split 'train'")
    training, held_out = data.take(np.flatnonzero(trained)), data.take(np.flatnonzero(checked))
    strange = sorted(set(held_out.tasks) - set(training.tasks))
    if strange:
        raise ValueError(f"validation rows of {', '.join(strange)}, which has no training rows")
    return training, held_out


def _codecs(folder: Path | None, answers: Mapping[str, Answer], say: Say) -> dict[str, str]:
    """The codecs that the data name for image answers, with their hashes; one that is not there is a `ValueError`."""
    pictures = {task: answer.codec for task, answer in answers.items() if isinstance(answer, ImageAnswer)}
    unnamed = [task for task, codec in pictures.items() if not codec]
    if unnamed:
        say(f"the data name no codec of {', '.join(unnamed)}: the run will give the codes of pictures, not draw them")
    named = {task: codec for task, codec in pictures.items() if codec}
    there = load_codecs(folder, answers) if folder is not None else {}
    for task, codec in named.items():
        if task not in there:
            raise ValueError(
                f"task {task!r} names the codec {codec}, and there is no {CODECS}/{codec}.safetensors in the data; "
                "put it there, or take the option codec out of tasks.json"
            )
    return codec_hashes(folder, named.values()) if folder is not None else {}


def _drawn(data: LabelledData, row: int, config: GenomicsConfig) -> bool:
    sequence = data.sequences[row]
    # A group, and a sequence with its reverse complement, is on one side for all tasks.
    name = data.group[row] or min(sequence, reverse_complement(sequence))
    digest = hashlib.blake2b(f"{config.training.seed}\0{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < config.validation_share * 2**64


def _all_have_rows(rows: Mapping[str, TaskRows], problems: Sequence[Problem]) -> None:
    empty = [task for task, each in rows.items() if not len(each)]
    if empty:
        first = next((each for each in problems if empty[0] in each.where), None)
        raise ValueError(
            f"no training row of {', '.join(empty)} can be used" + (f"; first problem: {first}" if first else "")
        )


def _origin(source: str | Path) -> str:
    """A hash of the weights that a training started from, or the id of a hub model."""
    path = Path(source)
    for name in ("model.safetensors", "model.safetensors.index.json"):
        if (path / name).is_file():
            return hash_file(path / name)
    return str(source)


def _merge_adapters(model: MultiHeadModel, run: Run) -> None:
    """Leaves the run's weights as those of any other model; the saved ones may be of an earlier step than the last."""
    backbone = backbone_of(model)
    if not has_lora(backbone):
        return
    state = run.load_weights()
    if any("lora_" in name for name in state):
        model.cpu().load_state_dict(state)
        merge_lora(backbone)
        run.save_weights(model.state_dict())
    run.drop_frozen()


def _write_problems(path: Path, problems: Sequence[Problem]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        writer = TableWriter(out)
        writer.writerow(["code", "where", "reason", "remedy"])
        writer.writerows([each.code, each.where, each.reason, each.remedy] for each in problems)
