"""Speed of reading DNA: label scoring, variants, tokens of a genome, packed training; identical weights, one run.

    python -m benchmarks.genomics_speed [--repeats 5] [--models micro 20M] [--only scoring variants tokens packing]

Every way is warmed up, its answers are compared with those of ours first, and the ways take turns. Weights are random:
what a pass costs does not depend on them, and random weights leave no answer to chance that rounding could not turn.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.genomics_common import shared_data
from benchmarks.results import RESULTS, table, write_section
from domains.genomics.answers.answer import Answer
from domains.genomics.answers.classes import ClassAnswer
from domains.genomics.answers.format import Layout
from domains.genomics.learning.starting import add_tokens, tokens_of
from domains.genomics.models.backbone import DnaBackbone
from domains.genomics.models.family import build_decoder, parameter_count, shape_of
from domains.genomics.models.packing import packed_batch
from domains.genomics.scoring.scorer import Scorer
from domains.genomics.sequences.tokenizer import CLS, DnaTokenizer
from domains.genomics.variants.alleles import AlleleGroup, task_tokens
from domains.genomics.variants.shared_prefix import SharedPrefix

TASKS = ("H3", "H3K14ac", "H3K36me3", "H3K4me1", "H3K4me2", "H3K4me3", "H3K79me3", "H3K9ac", "H4", "H4ac")
WINDOW = 500
CONTEXT = 512
PACKED = 192
"""Tokens of a packed row, as in the preset for two cores."""

CLOSE = 1e-4
"""Largest difference of probabilities, and of log-likelihoods a token, that counts as equal in float32."""

Way = Callable[[], object]


def seconds(ways: Mapping[str, Way], repeats: int) -> dict[str, list[float]]:
    """Seconds of each way in each round; the ways take turns, after a round that does not count."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                found[name].append(time.perf_counter() - started)
    return found


def ratio(slow: Sequence[float], quick: Sequence[float]) -> str:
    """The median of the rounds' ratios, with the least and the largest."""
    each = [first / second for first, second in zip(slow, quick, strict=True)]
    return f"{statistics.median(each):.1f} ({min(each):.1f} to {max(each):.1f})"


class Model:
    """A decoder with random weights, the tokenizer, and ten tasks of two labels."""

    def __init__(self, shape: str, vocabulary: DnaTokenizer):
        self.tokenizer = vocabulary
        self.layout = Layout()
        self.answers: dict[str, Answer] = {task: ClassAnswer(("0", "1")) for task in TASKS}
        add_tokens(vocabulary, tokens_of(self.answers, self.layout))
        torch.manual_seed(0)
        self.decoder: Any = build_decoder(shape, vocabulary.vocabulary_size, context=CONTEXT)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.decoder.to(self.device)
        self.name = f"{shape}, {parameter_count(shape_of(self.decoder), vocabulary.vocabulary_size) / 1e6:.1f} M"

    def prompts(self, encoded: Sequence[Sequence[int]], task: str) -> torch.Tensor:
        """Prompts of a task for sequences of equally many tokens, (n, T)."""
        return torch.tensor([self.layout.prompt(dna, task, self.tokenizer) for dna in encoded], device=self.device)


def windows(count: int, random: np.random.Generator) -> list[str]:
    """Windows of a real genome where the sample data are there, else of even bases; without ambiguous bases.

    Ours leaves tokens of ambiguous bases out of a likelihood, which a plain pass does not.
    """
    genome = _genome(random)
    drawn = (genome[start : start + WINDOW] for start in random.integers(len(genome) - WINDOW, size=2 * count + 20))
    return [window for window in drawn if set(window) <= set("ACGT")][:count]


def _genome(random: np.random.Generator, least: int = 0) -> str:
    file = shared_data("genomics/yeast_chrI.fa")
    if file.is_file() and not least:
        return "".join(line.strip() for line in file.read_text().splitlines() if not line.startswith(">")).upper()
    return np.frombuffer(b"ACGT", dtype=np.uint8)[random.integers(4, size=least or 230_000)].tobytes().decode()


def tokenizer() -> DnaTokenizer:
    """The published vocabulary where the sample data are there, else one learned from the windows' genome."""
    file = shared_data("genomics/bpe4096.tokenizer.json")
    return DnaTokenizer.load(file) if file.is_file() else DnaTokenizer.train([_genome(np.random.default_rng(0))])


def scoring(models: Sequence[str], repeats: int, size: float) -> str:
    """Ten tasks of a sequence: ours against `generate` of transformers for each task."""
    rows = [row for shape in models for row in _scored(Model(shape, tokenizer()), repeats, size)]
    return (
        f"{len(TASKS)} tasks of two labels for sequences of {WINDOW} bases, from text to probabilities; batches of "
        "equal length hold up to 32 sequences, the most frequent lengths are taken. `generate` answers with one new "
        "token, a call a task, its scores read for the two labels. Labels are the same for all, probabilities within "
        f"{CLOSE:g}.\n\n" + table(["model", "way", "sequences", "ms a sequence", "times ours"], rows)
    )


def _scored(model: Model, repeats: int, size: float) -> list[list[str]]:
    scorer = Scorer(model.decoder, model.tokenizer, model.answers, layout=model.layout)
    singles, batches = _equal_lengths(model, round(128 * size), round(16 * size))
    everything = [sequence for batch in batches for sequence in batch]
    for peer in (_generated, _forward):
        _same_labels(model, scorer.score(everything), [peer(model, batch) for batch in batches])
    _same_labels(model, scorer.score(singles), [_generated(model, [sequence]) for sequence in singles])
    few, many = len(singles), len(everything)
    ways: dict[str, tuple[Way, int, str]] = {
        "generate, one at a time": (lambda: [_generated(model, [each]) for each in singles], few, "ours, the same"),
        "ours, the same": (lambda: scorer.score(singles), few, ""),
        "ours, one at a time": (lambda: [scorer.score([each]) for each in singles], few, "ours, the same"),
        "generate, equal lengths": (lambda: [_generated(model, batch) for batch in batches], many, "ours, these"),
        "forward pass a task, equal lengths": (
            lambda: [_forward(model, batch) for batch in batches],
            many,
            "ours, these",
        ),
        "ours, these": (lambda: scorer.score(everything), many, ""),
    }
    taken = seconds({name: way for name, (way, _, _) in ways.items()}, repeats)
    return [
        [
            model.name,
            name,
            str(count),
            f"{1000 * statistics.median(taken[name]) / count:.2f}",
            ratio(taken[name], taken[base]) if base else "",
        ]
        for name, (_, count, base) in ways.items()
    ]


def _equal_lengths(model: Model, many: int, few: int) -> tuple[list[str], list[list[str]]]:
    """Some sequences as they come, and batches of at most 32 with equally many tokens each."""
    found = windows(max(many, 4) * 12, np.random.default_rng(0))
    lengths = [len(ids) for ids in model.tokenizer.encode_many(found)]
    batches: list[list[str]] = []
    for length, _ in Counter(lengths).most_common():
        same = [sequence for sequence, each in zip(found, lengths, strict=True) if each == length]
        left = max(many, 4) - sum(map(len, batches))
        if left <= 0:
            break
        same = same[: min(left, len(same))]
        batches += [same[start : start + 32] for start in range(0, len(same), 32)]
    return found[: max(few, 2)], batches


def _generated(model: Model, sequences: Sequence[str]) -> list[dict[str, np.ndarray]]:
    """Every task by a `generate` of its own on prompts of equal length, as probabilities of its labels."""

    def logits(ids: torch.Tensor) -> torch.Tensor:
        seen = torch.ones_like(ids)
        told = model.decoder.generate(
            ids,
            attention_mask=seen,
            max_new_tokens=1,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
        )
        return told.logits[0]

    return _each_task(model, sequences, logits)


def _forward(model: Model, sequences: Sequence[str]) -> list[dict[str, np.ndarray]]:
    """Every task by a forward pass of its own, without what `generate` does around it."""
    return _each_task(model, sequences, lambda ids: model.decoder(ids, use_cache=False, logits_to_keep=1).logits[:, -1])


def _each_task(
    model: Model, sequences: Sequence[str], logits: Callable[[torch.Tensor], torch.Tensor]
) -> list[dict[str, np.ndarray]]:
    told: list[dict[str, np.ndarray]] = [{} for _ in sequences]
    encoded = model.tokenizer.encode_many(sequences)
    for task in TASKS:
        labels = [model.tokenizer.token_id(token) for token in model.answers[task].tokens]
        with torch.inference_mode():
            chosen = torch.softmax(logits(model.prompts(encoded, task))[:, labels].double(), -1).cpu().numpy()
        for place, line in zip(told, chosen, strict=True):
            place[task] = line
    return told


def _same_labels(
    model: Model, ours: Sequence[Mapping[str, np.ndarray]], batches: Sequence[Sequence[Mapping[str, np.ndarray]]]
) -> None:
    others = [line for batch in batches for line in batch]
    for one, other in zip(ours, others, strict=True):
        for task in TASKS:
            worst = float(np.abs(one[task] - other[task]).max())
            # Equal labels follow, but where two are as likely as rounding can tell.
            tie = abs(float(other[task][0] - other[task][1])) <= CLOSE
            if worst > CLOSE or (one[task].argmax() != other[task].argmax() and not tie):
                raise SystemExit(f"{model.name}: answers to {task} differ by {worst:.2g}")


def variants(models: Sequence[str], repeats: int, size: float) -> str:
    """Substitutions in the middle of windows, one and three at a site: shared prefixes against two full passes."""
    rows = []
    for model in (Model(shape, tokenizer()) for shape in models):
        for alternatives in (1, 3):
            rows += _varied(model, _sites(max(2, round(48 * size)), alternatives), repeats)
    return (
        f"Log-likelihood ratios of substitutions in the middle of {WINDOW} bases of yeast, one strand. Two full passes "
        "read reference and alternative in batches of equal length, the language head at every token. Ratios agree "
        f"within {CLOSE:g} nats a token.\n\n"
        + table(["model", "alternatives a site", "way", "ms an alternative", "times ours"], rows)
    )


def _varied(model: Model, groups: Sequence[AlleleGroup], repeats: int) -> list[list[str]]:
    tasks = task_tokens(model.tokenizer, model.answers, model.layout)
    ours, whole = (SharedPrefix(model.decoder, model.tokenizer, tasks, reuse=reuse) for reuse in (True, False))
    one = np.concatenate([each.log_ratios for each in ours.compare(groups)])
    _close(model, one, _full_passes(model, groups))
    _close(model, one, np.concatenate([each.log_ratios for each in whole.compare(groups)]))
    ways: dict[str, tuple[Way, str]] = {
        "ours": (lambda: ours.compare(groups), ""),
        "two full passes of transformers": (lambda: _full_passes(model, groups), "ours"),
        "ours, every window from its beginning": (lambda: whole.compare(groups), "ours"),
        "ours, with ten tasks": (lambda: ours.compare(groups, TASKS), ""),
        "the same from the beginning": (lambda: whole.compare(groups, TASKS), "ours, with ten tasks"),
    }
    taken = seconds({name: way for name, (way, _) in ways.items()}, repeats)
    alternatives = len(groups[0].alternatives)
    return [
        [
            model.name,
            str(alternatives),
            name,
            f"{1000 * statistics.median(taken[name]) / (len(groups) * alternatives):.2f}",
            ratio(taken[name], taken[base]) if base else "",
        ]
        for name, (_, base) in ways.items()
    ]


def _sites(count: int, alternatives: int) -> list[AlleleGroup]:
    random = np.random.default_rng(1)
    middle = WINDOW // 2
    found = []
    for reference in windows(count, random):
        others = random.permutation([base for base in "ACGT" if base != reference[middle]])[:alternatives]
        whole = tuple(f"{reference[:middle]}{base}{reference[middle + 1 :]}" for base in others)
        found.append(AlleleGroup(reference, whole))
    return found


def _full_passes(model: Model, groups: Sequence[AlleleGroup], most: int = 32) -> np.ndarray:
    """Log ratios by whole windows, as one writes them with transformers: equal lengths together, logits everywhere."""
    texts = [text for group in groups for text in (group.reference, *group.alternatives)]
    rows = [[CLS, *ids] for ids in model.tokenizer.encode_many(texts)]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    likely = np.zeros(len(rows))
    with torch.inference_mode():
        while order:
            length = len(rows[order[0]])
            batch = [index for index in order[:most] if len(rows[index]) == length]
            order = order[len(batch) :]
            ids = torch.tensor([rows[index] for index in batch], device=model.device)
            told = torch.log_softmax(model.decoder(ids, use_cache=False).logits[:, :-1].float(), -1)
            each = told.gather(2, ids[:, 1:, None])[..., 0].double().sum(1)
            likely[batch] = each.cpu().numpy()
    ratios, place = [], 0
    for group in groups:
        ratios.append(likely[place + 1 : place + 1 + len(group.alternatives)] - likely[place])
        place += 1 + len(group.alternatives)
    return np.concatenate(ratios)


def _close(model: Model, one: np.ndarray, other: np.ndarray) -> None:
    worst = float(np.abs(one - other).max())
    if worst > CLOSE * WINDOW / 5:
        raise SystemExit(f"{model.name}: log-likelihood ratios differ by {worst:.2g} nats")


def tokens(models: Sequence[str], repeats: int, size: float) -> str:
    """A genome of 5 Mb: ours against plain calls of the library."""
    del models
    vocabulary = tokenizer()
    plain: Any = vocabulary._tokenizer  # pyright: ignore[reportPrivateUsage]
    genome = _genome(np.random.default_rng(2), round(5_000_000 * size))
    chunk, window, word = 10_000, WINDOW, min(len(genome), 100_000)

    def by(width: int) -> list[int]:
        parts = (genome[start : start + width] for start in range(0, len(genome), width))
        return [number for part in parts for number in plain.encode(part, add_special_tokens=False).ids]

    def together(width: int) -> list[int]:
        parts = [genome[start : start + width] for start in range(0, len(genome), width)]
        return [number for each in plain.encode_batch(parts, add_special_tokens=False) for number in each.ids]

    whole = vocabulary.encode_genome(genome)
    for width, ours in ((chunk, whole), (window, vocabulary.encode_genome(genome, chunk=window))):
        for other in (by(width), together(width)):
            if not np.array_equal(ours, other):
                raise SystemExit(f"tokens of windows of {width} bases differ")
    if len(vocabulary.encode_genome(genome[:word], chunk=word)) != len(vocabulary.encode(genome[:word])):
        raise SystemExit("tokens of one word differ")
    ways: dict[str, Way] = {
        f"ours, parts of {chunk}": lambda: vocabulary.encode_genome(genome),
        f"ours, parts of {window}": lambda: vocabulary.encode_genome(genome, chunk=window),
        f"encode, windows of {window}": lambda: by(window),
        f"encode, windows of {chunk}": lambda: by(chunk),
        f"encode_batch, windows of {window}": lambda: together(window),
        f"encode_batch, windows of {chunk}": lambda: together(chunk),
        f"encode, {word} bases as one word": lambda: plain.encode(genome[:word], add_special_tokens=False).ids,
    }
    taken = seconds(ways, repeats)
    rows = []
    for name, each in taken.items():
        bases = word if name.endswith("one word") else len(genome)
        quick = [one / len(genome) for one in taken[f"ours, parts of {chunk}"]]
        told = "" if name == f"ours, parts of {chunk}" else ratio([one / bases for one in each], quick)
        rows.append([name, f"{bases:,}", f"{bases / statistics.median(each) / 1e6:.2f}", told])
    return (
        f"{len(genome):,} even bases to tokens of the vocabulary of {vocabulary.vocabulary_size}; equal windows have "
        f"equal tokens.\n\n{table(['way', 'bases', 'million bases a second', 'times ours'], rows)}"
    )


LENGTHS = {"500 bases": (500, 500), "41 to 300 bases": (41, 300), "41 to 500 bases": (41, 500)}


def packing(models: Sequence[str], repeats: int, size: float) -> str:
    """Training steps of the same rows: packed into rows of the context against padded to the longest."""
    rows = []
    for shape in models:
        for name, (least, most) in LENGTHS.items():
            model = Model(shape, tokenizer())
            samples = _samples(model, max(4, round(64 * size)), least, most)
            batches = {way: packed_batch(samples, capacity) for way, capacity in (("packed", PACKED), ("padded", None))}
            trainers = {way: _Trainer(model, batch) for way, batch in batches.items()}
            losses = {way: trainer.loss() for way, trainer in trainers.items()}
            if abs(losses["packed"] - losses["padded"]) > CLOSE:
                raise SystemExit(f"{model.name}, {name}: the losses differ: {losses}")
            taken = seconds({way: trainer.step for way, trainer in trainers.items()}, repeats)
            count = sum(len(sample.ids) for sample in samples)
            for way, each in taken.items():
                shown = batches[way]["ids"].numel()
                told = ratio(each, taken["packed"]) if way == "padded" else ""
                speed = f"{count / statistics.median(each):,.0f}"
                rows.append([model.name, name, way, f"{count / shown:.0%}", speed, told])
    return (
        "Steps of AdamW on the answers of labelled rows, lengths drawn evenly; rows are packed into rows of "
        f"{PACKED} tokens, or each is padded to the longest. Losses agree within {CLOSE:g}.\n\n"
        + table(["model", "sequences", "way", "real tokens", "real tokens a second", "times packed"], rows)
    )


def _samples(model: Model, count: int, least: int, most: int) -> list[Any]:
    random = np.random.default_rng(3)
    cut = [text[: int(random.integers(least, most + 1))] for text in windows(count, random)]
    found = []
    for place, dna in enumerate(model.tokenizer.encode_many(cut)):
        task = TASKS[place % len(TASKS)]
        label = str(int(random.integers(2)))
        found.append(model.layout.example(dna, task, model.answers[task], label, model.tokenizer))
    return found


class _Trainer:
    """Steps of one batch, on a copy of the weights of its own."""

    def __init__(self, model: Model, batch: Mapping[str, torch.Tensor]):
        torch.manual_seed(0)
        decoder = build_decoder(shape_of(model.decoder), model.tokenizer.vocabulary_size, context=CONTEXT)
        self.backbone = DnaBackbone(decoder).to(model.device).train()
        self.batch = {name: values.to(model.device) for name, values in batch.items()}
        places, columns = self.batch["answers"].unbind(1)
        self.targets = self.batch["ids"][places, columns + 1]
        self.optimizer = torch.optim.AdamW(self.backbone.parameters(), lr=1e-4)

    def _loss(self) -> torch.Tensor:
        hidden = self.backbone(self.batch, {"answers": None})["answers"]
        return functional.cross_entropy(self.backbone.logits(hidden), self.targets)

    def loss(self) -> float:
        with torch.no_grad():
            return float(self._loss())

    def step(self) -> None:
        self.optimizer.zero_grad()
        self._loss().backward()
        self.optimizer.step()


PARTS = {"scoring": scoring, "variants": variants, "tokens": tokens, "packing": packing}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["micro", "20M"], help="shapes of the family")
    parser.add_argument("--size", type=float, default=1.0, help="factor of the number of sequences, sites and bases")
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file whose sections are written")
    given = parser.parse_args()
    for name in given.only:
        text = PARTS[name](given.models, given.repeats, given.size)
        threads = (
            f"{torch.get_num_threads()} threads, medians of {given.repeats} rounds; `times ours` is the median of "
        )
        write_section(
            f"Genomics speed: {name}", f"{text}\n\n{threads}the rounds' ratios (least to largest).", given.results
        )


if __name__ == "__main__":
    main()
