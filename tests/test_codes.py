"""Codes of problems are kebab-case wherever they are made; a result's status is one of a few fixed words."""

import ast
import re
from pathlib import Path

from polyhead.batch.outcome import STATUSES

ROOT = Path(__file__).parents[1]
KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*-?")
FOLDERS = ("polyhead", "domains", "apps", "ui", "docs/example")


def trees():
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield file.relative_to(ROOT), ast.parse(file.read_text(encoding="utf-8"))


def positions(tree):
    """Functions and classes that take a `code`, and at which place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = [each.arg for each in node.args.args if each.arg != "self"]
        elif isinstance(node, ast.ClassDef):
            names = [
                each.target.id for each in node.body if isinstance(each, ast.AnnAssign) and hasattr(each.target, "id")
            ]
            made = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
            names = [each.arg for each in made[0].args.args[1:]] if made else names
        else:
            continue
        if "code" in names and node.name != "__init__":
            yield node.name, names.index("code")


def texts(node):
    """The constant texts that an expression may be, with what stands in braces left out."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)


def codes():
    found = list(trees())
    takers = {}
    for _, tree in found:
        for name, place in positions(tree):
            takers.setdefault(name, set()).add(place)
    for file, tree in found:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                given = [node.args[place] for place in takers.get(name, ()) if place < len(node.args)]
                given += [each.value for each in node.keywords if each.arg == "code" and name in takers]
            elif isinstance(node, ast.Assign) and len(node.targets) == 1:
                target, value = node.targets[0], node.value
                pairs = [(target, value)]
                if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                    pairs = list(zip(target.elts, value.elts, strict=True))
                given = [value for target, value in pairs if getattr(target, "id", "") == "code"]
            else:
                continue
            for each in given:
                for text in texts(each):
                    yield f"{file}:{node.lineno}", text


def test_every_code_is_kebab_case():
    found = list(codes())
    known = {text for _, text in found}
    # The walk finds codes of every domain, made in each of its ways.
    assert {"missing-file", "error-in-x", "malformed-row", "mask-not-index", "unsafe-id", "not-run"} <= known
    assert [(where, text) for where, text in found if not KEBAB.fullmatch(text)] == []


def test_the_words_of_a_status_are_few_and_fixed():
    assert set(STATUSES) >= {"ok", "skipped", "invalid_input", "failed", "crashed", "timeout", "oom", "not_run"}
