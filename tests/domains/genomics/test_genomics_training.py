import copy
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from domains.genomics.answers.format import Layout
from domains.genomics.data.facts import TaskFacts
from domains.genomics.data.labelled import LabelledData, facts_of
from domains.genomics.learning.answering import build_answers, task_specs
from domains.genomics.learning.dataset import RowMaker, TaskRows, TokenCache, task_rows
from domains.genomics.learning.starting import start, tokens_of
from domains.genomics.learning.training import sides, train
from domains.genomics.learning.validation import validator
from domains.genomics.models.backbone import has_lora
from domains.genomics.models.network import backbone_of, build_model, weighted_cross_entropy
from domains.genomics.presets import resolve
from domains.genomics.saved import load_run
from domains.genomics.scoring.scorer import Scorer
from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.settings import GenomicsConfig
from polyhead.runs.run import Run
from polyhead.training.session import Session

SHAPE = {"layers": 1, "width": 32, "heads": 2, "ffn": 64}
QUICK: dict[str, Any] = {
    "model": SHAPE,
    "head": "answer",
    "vocabulary": 64,
    "context": 64,
    "epochs": 1,
    "training.steps_per_epoch": 4,
    "training.batch_size": 4,
    "training.validate_every": 1,
    "training.warmup_steps": 0,
    "text_vocabulary": 128,
    "validation_rows": 4,
}


def toy_data(rows: int = 40, seed: int = 0) -> LabelledData:
    """Four kinds of task whose answer is the base that fills the middle of a sequence."""
    generator = np.random.default_rng(seed)
    texts = {"A": "an alpha helix", "C": "a coiled coil", "G": "a gap", "T": "a turn"}
    codes = {"A": "0 1 2 3", "C": "1 1 0 0", "G": "3 3 3 3", "T": "2 0 2 0"}
    sequences, tasks, labels, split = [], [], [], []
    for row in range(rows):
        base = "ACGT"[row % 4]
        sequence = "".join(generator.choice(list("ACGT"), 30)) + base * 30 + "".join(generator.choice(list("ACGT"), 30))
        told = {
            "at": str(int(base in "AT")),
            "amount": str("ACGT".index(base) - 1.5),
            "words": texts[base],
            "picture": codes[base],
        }
        for task, label in told.items():
            sequences.append(sequence)
            tasks.append(task)
            labels.append(label)
            split.append("validation" if row % 5 == 4 else "train")
    told, answers, side, groups = (np.array(each, dtype=object) for each in (tasks, labels, split, [""] * len(tasks)))
    data = LabelledData(sequences, told, answers, side, groups)
    return replace(data, facts=facts_of(data, {"words": TaskFacts("text")}))


def config_of(**changes: Any) -> GenomicsConfig:
    return resolve("tiny", QUICK | changes)


def parts(data: LabelledData, config: GenomicsConfig) -> tuple[Any, RowMaker, dict[str, TaskRows], Any]:
    layout = Layout(config.layout, config.replication)
    answers = build_answers(data, config)
    torch.manual_seed(0)
    added = tokens_of(answers, layout)
    decoder, tokenizer, config = start(config, None, data.sequences, context=config.context, added=added)
    specs = task_specs(data.facts, answers, config)
    model = build_model(specs, config, decoder, tokenizer, answers)
    cache = TokenCache(tokenizer, data.sequences, both_strands=True)
    maker = RowMaker(tokenizer, layout, config, cache)
    rows, problems = task_rows(data, specs, answers, maker, training=True)
    assert not problems
    return model, maker, rows, answers


def test_kinds_and_answers_are_learned_from_the_rows() -> None:
    data = toy_data()
    assert {task: facts.kind for task, facts in data.facts.items()} == {
        "at": "classification",
        "amount": "number",
        "words": "text",
        "picture": "image",
    }
    answers = build_answers(data, config_of())
    for task, answer in answers.items():
        for label in set(data.label[data.rows(task=task)]):
            value = answer.decode(answer.encode(label))
            if task == "amount":
                assert value == pytest.approx(float(label))
            elif task == "picture":
                assert value.ravel().tolist() == [int(code) for code in label.split()]
            else:
                assert value == label


@pytest.mark.parametrize("softmax", ["answer", "vocabulary"])
def test_the_loss_is_that_of_a_plain_decoder_on_each_row(softmax: str) -> None:
    model, maker, rows, _ = parts(toy_data(), config_of(softmax=softmax, context=256))
    model.eval()
    for task, each in rows.items():
        inputs, targets = each.at(range(6))
        assert inputs["ids"].shape[0] < 6
        loss = weighted_cross_entropy(model(inputs, task), targets)
        expected = []
        for row in range(6):
            dna = maker.cache.tokens(each.sequences[row]).tolist()
            example = maker.layout.example(dna, task, each.answer, each.labels[row], maker.tokenizer)
            logits = backbone_of(model).decoder(input_ids=torch.tensor([example.ids])).logits[0, list(example.asked)]
            if softmax == "answer":
                allowed = [maker.tokenizer.token_id(token) for token in (*each.answer.tokens, "[EOS]")]
                shut = torch.full_like(logits, -torch.inf)
                shut[:, allowed] = logits[:, allowed]
                logits = shut
            expected.append(torch.nn.functional.cross_entropy(logits, torch.tensor(example.targets)))
        torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_pictures_are_validated_by_the_probability_of_the_right_codes() -> None:
    model, _, rows, _ = parts(toy_data(), config_of())
    pictures = rows["picture"]
    found = validator({"picture": pictures}, most_written=5)(model.train())
    assert model.training
    inputs, targets = pictures.at(range(5))
    with torch.no_grad():
        loss = float(weighted_cross_entropy(model.eval()(inputs, "picture"), targets))
    assert found.scores["picture"] == found.metrics["picture"]["code_probability"] == pytest.approx(math.exp(-loss))
    assert set(found.metrics["picture"]) == {"exact_match", "code_accuracy", "code_probability"}


def test_a_row_is_read_from_the_other_strand_by_its_seed() -> None:
    config = config_of(packing=False)
    _, maker, rows, _ = parts(toy_data(), config)
    each = rows["at"]
    turned = [np.random.default_rng(seed).random() < 0.5 for seed in range(8)]
    assert 0 < sum(turned) < 8
    inputs, _ = each.batch([3] * 8, range(8))
    for row, other in enumerate(turned):
        last = int(inputs["last"][row, 1])
        read = maker.tokenizer.decode(inputs["ids"][row, 1 : last + 1].tolist())
        assert read == (reverse_complement(each.sequences[3]) if other else each.sequences[3])
    once, again = each.batch([3, 5], [7, 8]), each.batch([3, 5], [7, 8])
    assert all(torch.equal(once[0][name], again[0][name]) for name in once[0])


def test_tasks_that_a_strand_decides_are_never_turned() -> None:
    data = toy_data()
    facts = {
        task: known if task != "at" else replace(known, reverse_complement=False) for task, known in data.facts.items()
    }
    _, _, rows, _ = parts(replace(data, facts=facts), config_of())
    assert rows["at"].strands == 0
    assert rows["words"].strands == 0.5


def test_rows_beyond_the_context_are_left_out_with_a_line() -> None:
    data = toy_data(8)
    data.sequences[0] = "".join(np.random.default_rng(1).choice(list("ACGT"), 400))
    config = config_of(context=64)
    answers = build_answers(data, config)
    _, tokenizer, config = start(config, None, data.sequences, context=64, added=tokens_of(answers, Layout()))
    maker = RowMaker(tokenizer, Layout(), config, TokenCache(tokenizer, data.sequences, both_strands=True))
    rows, problems = task_rows(data, task_specs(data.facts, answers, config), answers, maker, training=True)
    assert len(rows["at"]) == 7
    assert [problem.code for problem in problems] == ["too-long"]
    assert "leaves room for" in problems[0].reason


def test_without_a_validation_split_equal_sequences_are_on_one_side() -> None:
    data = toy_data(60)
    data = data.with_split(np.array([""] * len(data), dtype=object))
    training, held_out = sides(data, config_of(validation_share=0.3))
    assert len(training) + len(held_out) == len(data)
    assert 0.1 < len(held_out) / len(data) < 0.5
    assert not set(training.sequences) & set(held_out.sequences)
    assert set(training.tasks) == set(held_out.tasks)


def test_other_sides_are_not_looked_at() -> None:
    data = toy_data(20)
    data = data.with_split(np.where(np.arange(len(data)) < 8, "test", data.split))
    training, held_out = sides(data, config_of())
    assert len(training) + len(held_out) == len(data) - 8
    with pytest.raises(ValueError, match="no rows of the split 'train'"):
        sides(data.with_split(np.array(["test"] * len(data), dtype=object)), config_of())


def test_a_run_learns_all_kinds_and_is_loaded_as_it_was(tmp_path: Path) -> None:
    changes = {
        "training.steps_per_epoch": 100,
        "training.batch_size": 16,
        "training.tasks_per_step": 4,
        "training.learning_rate": 5e-3,
        "training.ema_decay": None,
        "reverse_complement": 0.0,
        "validation_rows": 48,
    }
    data = toy_data(240)
    result = train(data, tmp_path / "run", config_of(**changes))
    assert result.stopped == "finished"
    scores = result.metrics["scores"]
    # Numbers are two questions at once, sign and digit: what they score over the labels' deviation comes later.
    assert min(scores["at"], scores["words"], scores["picture"]) > 0.85
    assert scores["amount"] > 0.2
    model, tokenizer, answers, config = load_run(tmp_path / "run")
    scorer = Scorer(model, tokenizer, answers, layout=Layout(config.layout, config.replication))
    held_out = data.take(data.rows(split="validation"))
    texts = held_out.take(held_out.rows(task="words"))
    written = [each.value for each in scorer.generate(texts.sequences, "words")]
    assert np.mean([one == other for one, other in zip(written, texts.label, strict=True)]) > 0.8
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data"]["vocabulary"] == tokenizer.vocabulary_size


@pytest.mark.parametrize("head", ["last", "mean"])
def test_linear_heads_answer_classes_and_tokens_the_rest(tmp_path: Path, head: str) -> None:
    train(toy_data(), tmp_path / "run", config_of(head=head))
    model, tokenizer, answers, config = load_run(tmp_path / "run")
    assert model.tasks["at"].reads == head
    assert model.tasks["words"].reads == "answers"
    assert [tuple(p.shape) for p in model.head_parameters("at")] == [(2, 32)]
    assert not model.head_parameters("words")
    data = toy_data(4)
    sequences = [data.sequences[row] for row in data.rows(task="at")]
    maker = RowMaker(tokenizer, Layout(), config, TokenCache(tokenizer, sequences, both_strands=False))
    rows = TaskRows(model.tasks["at"], answers["at"], sequences, ["1"] * 4, maker)
    with torch.no_grad():
        expected = model(rows.at(range(4))[0], "at").double().softmax(-1).numpy()
    told = np.stack([line["at"] for line in Scorer(model, tokenizer, answers).score(sequences, ["at"])])
    np.testing.assert_allclose(told, expected, rtol=1e-5)


def test_a_copy_of_the_model_answers_with_its_own_language_head() -> None:
    model, _, rows, _ = parts(toy_data(), config_of())
    model.eval()
    copied = copy.deepcopy(model)
    inputs, _ = rows["words"].at(range(2))
    with torch.no_grad():
        before = model(inputs, "words")
        backbone_of(copied).decoder.lm_head.weight.zero_()
        assert torch.equal(model(inputs, "words"), before)
        assert not copied(inputs, "words").any()


def test_the_released_layout_is_trained_over_the_vocabulary_and_says_its_traps(tmp_path: Path) -> None:
    said: list[str] = []
    config = config_of(layout="released", softmax="vocabulary", replication=10, neftune=5.0, context=128)
    train(toy_data(), tmp_path / "run", config, tasks=["at", "amount"], session=Session(say=said.append))
    assert any("no task token" in line for line in said)
    _, tokenizer, _, _ = load_run(tmp_path / "run")
    assert "<task:at>" not in tokenizer
    assert "<label:1>" in tokenizer


def test_low_rank_adapters_are_merged_when_the_training_has_ended(tmp_path: Path) -> None:
    data = toy_data()
    train(data, tmp_path / "base", config_of())
    before = Run.open(tmp_path / "base").load_weights()
    options = {
        "lora": {"rank": 2, "train_vocabulary": False},
        "training.learning_rate": 1e-2,
        "training.ema_decay": None,
    }
    train(data, tmp_path / "run", config_of(**options), init_from=tmp_path / "base")
    after = Run.open(tmp_path / "run").load_weights()
    assert set(after) == set(before)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("_proj" in name for name in changed)
    model, _, _, config = load_run(tmp_path / "run")
    assert not has_lora(backbone_of(model))
    assert config.lora is not None


@pytest.mark.parametrize(
    "options",
    [
        {"training.balancer": "uncertainty", "training.sampler": "uniform"},
        {"training.balancer": "UPGrad", "training.sampler": "round_robin"},
        {"training.sampler": "temperature", "training.precision": "bf16"},
    ],
)
def test_balancers_and_samplers_of_the_core_apply(tmp_path: Path, options: dict[str, Any]) -> None:
    changes = {"training.tasks_per_step": 2, "training.steps_per_epoch": 2}
    result = train(toy_data(), tmp_path / "run", config_of(**options, **changes))
    assert result.step == 2
    assert set(result.metrics["scores"]) == {"at", "amount", "words", "picture"}


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    config = config_of(**{"training.steps_per_epoch": 6, "training.snapshot_every": 2, "neftune": 5.0})
    train(toy_data(), tmp_path / "whole", config)

    def stop(step: int) -> None:
        if step == 4:
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        train(toy_data(), tmp_path / "run", config, session=Session(on_step=stop))
    train(toy_data(), tmp_path / "run", config, session=Session(resume=True))
    whole, resumed = (Run.open(tmp_path / name).load_weights() for name in ("whole", "run"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    with pytest.raises(ValueError, match=r"cannot be resumed.*data\.fingerprint"):
        train(toy_data(seed=1), tmp_path / "run", config, session=Session(resume=True))


def test_more_tasks_a_step_than_there_are_keep_the_rows_of_a_step(tmp_path: Path) -> None:
    config = config_of(**{"training.tasks_per_step": 4, "training.batch_size": 4, "training.steps_per_epoch": 1})
    train(toy_data(), tmp_path / "run", config, tasks=["at", "words"])
    training = load_run(tmp_path / "run")[3].training
    assert (training.tasks_per_step, training.batch_size) == (2, 8)


def test_unusable_data_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no task helix; they have at, amount"):
        train(toy_data(), tmp_path / "run", config_of(), tasks=["helix"])
    with pytest.raises(ValueError, match="unknown model '2B'; known: "):
        train(toy_data(), tmp_path / "run", config_of(model="2B"))
    with pytest.raises(ValueError, match=r"no training row of at can be used.*too-long"):
        train(toy_data(), tmp_path / "run", config_of(context=16), tasks=["at"])
    assert not (tmp_path / "run").exists()
