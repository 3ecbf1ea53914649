"""What a task may answer with: classes, numbers, text and images, as tokens beside the DNA vocabulary."""

from domains.genomics.answers.answer import EOS, Answer, Grammar, Slots, Trie
from domains.genomics.answers.classes import ClassAnswer
from domains.genomics.answers.image import ImageAnswer
from domains.genomics.answers.numbers import NumberAnswer
from domains.genomics.answers.store import answer_from_json, answer_tokens, load_answers, save_answers
from domains.genomics.answers.text import TextAnswer

__all__ = [
    "EOS",
    "Answer",
    "ClassAnswer",
    "Grammar",
    "ImageAnswer",
    "NumberAnswer",
    "Slots",
    "TextAnswer",
    "Trie",
    "answer_from_json",
    "answer_tokens",
    "load_answers",
    "save_answers",
]
