"""How a sequence, a question and an answer become one row of tokens, and where the loss lies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from domains.genomics.answers.answer import EOS, Answer
from domains.genomics.answers.store import answer_tokens

CLS, SEP, MASK, UNK = "[CLS]", "[SEP]", "[MASK]", "[UNK]"

LAYOUTS = ("polyhead", "released")


class Vocabulary(Protocol):
    """What is needed of a tokenizer here."""

    def token_id(self, token: str, /) -> int:
        """Id of a token; a `ValueError` where the vocabulary lacks it."""
        ...


def task_token(task: str) -> str:
    """The token that asks for a task."""
    return f"<task:{task}>"


@dataclass(frozen=True)
class Example:
    """One row of a training.

    Attributes:
        ids: T token ids.
        asked: places, ascending, whose next token carries loss: from the last token of the question to the one
            before the end.
        targets: the tokens that follow them, ``ids[place + 1]``.
        last: place of the last DNA token.
    """

    ids: tuple[int, ...]
    asked: tuple[int, ...]
    targets: tuple[int, ...]
    last: int


@dataclass(frozen=True)
class Layout:
    """The order of tokens in a row, with loss on the answer and the token that ends it only.

    ``polyhead``: ``[CLS] DNA [MASK] <task:T> answer [EOS]``.

    ``released``: ``[CLS] DNA [MASK] answer [SEP]``, as the published training scripts build their rows. It is here to
    repeat them, and has three traps:

    1. It has no task token: the prompts of two tasks on one sequence are equal, so that their answers can only differ
       where the tasks' sequences do.
    2. The token that generation waits for is never learned: rows end with [SEP], while the published configuration
       names the padding token, whose places carry no loss, as the end. Generation by it runs to its limit. Here the
       task's grammar ends an answer, whatever the layout.
    3. The digits of its labels are not in the DNA vocabulary: "0" and "1" both become [UNK], one token for all
       classes. Rows built here take the labels' own tokens.

    Attributes:
        name: ``"polyhead"`` or ``"released"``.
        repeat: how often an answer is written (label replication; the published scripts write labels 10 times).
            Answers whose end only [EOS] tells (text) or that are long (images) are written once.
    """

    name: Literal["polyhead", "released"] = "polyhead"
    repeat: int = 1

    def __post_init__(self) -> None:
        if self.name not in LAYOUTS:
            raise ValueError(f"unknown layout {self.name!r}; known: {', '.join(LAYOUTS)}")
        if self.repeat < 1:
            raise ValueError(f"repeat must be at least 1, got {self.repeat}")

    @property
    def end(self) -> str:
        """The token that ends a row."""
        return EOS if self.name == "polyhead" else SEP

    def vocabulary(self, answers: Mapping[str, Answer]) -> tuple[str, ...]:
        """All tokens that the tasks need beside DNA and the special ones: tasks first, then [EOS] and answers."""
        tasks = [task_token(task) for task in answers] if self.name == "polyhead" else []
        return (*tasks, *answer_tokens(answers.values()))

    def prefix(self, dna: Sequence[int], vocabulary: Vocabulary) -> list[int]:
        """``[CLS] DNA [MASK]``: what all questions about one sequence share."""
        return [vocabulary.token_id(CLS), *dna, vocabulary.token_id(MASK)]

    def question(self, task: str, vocabulary: Vocabulary) -> list[int]:
        """What follows the prefix before the answer: the task's token, or nothing."""
        return [vocabulary.token_id(task_token(task))] if self.name == "polyhead" else []

    def prompt(self, dna: Sequence[int], task: str, vocabulary: Vocabulary) -> list[int]:
        """Prefix and question."""
        return self.prefix(dna, vocabulary) + self.question(task, vocabulary)

    def example(self, dna: Sequence[int], task: str, answer: Answer, label: str, vocabulary: Vocabulary) -> Example:
        """One row with its answer.

        Args:
            dna: ids of the DNA tokens, at least one.
            task: name of the task.
            answer: how the task answers.
            label: the answer, as a table holds it.
            vocabulary: gives the ids.
        """
        if not dna:
            raise ValueError(f"task {task!r}: a row needs at least one DNA token")
        prompt = self.prompt(dna, task, vocabulary)
        written = [vocabulary.token_id(token) for token in answer.encode(label)]
        ids = [*prompt, *written * self._times(answer), vocabulary.token_id(self.end)]
        asked = range(len(prompt) - 1, len(ids) - 1)
        return Example(tuple(ids), tuple(asked), tuple(ids[len(prompt) :]), last=len(dna))

    def overhead(self, answer: Answer) -> int:
        """Tokens of a row beside its DNA, for the longest answer: the context less this is what DNA may take."""
        question = 1 if self.name == "polyhead" else 0
        return 2 + question + (answer.grammar().longest - 1) * self._times(answer) + 1

    def _times(self, answer: Answer) -> int:
        grammar = answer.grammar()
        return self.repeat if answer.repeats and grammar.shortest == grammar.longest else 1

    def warnings(self, tasks: Iterable[str]) -> list[str]:
        """One line a trap of this layout that concerns a training on `tasks`."""
        tasks = list(tasks)
        if self.name == "polyhead":
            return []
        lines = [
            "layout released: rows end with [SEP], and the published end token is never learned; "
            "answers end by the task's grammar here",
            "layout released: the published label digits are [UNK] in the DNA vocabulary; "
            "the labels' own tokens are used",
        ]
        if len(tasks) > 1:
            lines.insert(
                0,
                f"layout released: no task token, so the {len(tasks)} tasks share one prompt a sequence; "
                "use the layout polyhead to tell them apart",
            )
        return lines
