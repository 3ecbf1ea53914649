"""Reads JSON, YAML and XML of strangers: what is wrong is one line, and nothing in it is run or expanded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree


def read_text(file: Path) -> str:
    """A text file, utf-8 with or without a mark; anything else is a `ValueError`."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is no text in utf-8") from None
    except OSError as error:
        raise ValueError(f"it cannot be opened: {error.strerror or error}") from error


def read_json(file: Path) -> Any:
    """The value of a JSON file; damaged: `ValueError` with line and column."""
    try:
        return json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_yaml(file: Path) -> Any:
    """The value of a YAML file, of plain values only; damaged: `ValueError` with the line."""
    import yaml

    try:
        return yaml.safe_load(read_text(file))
    except yaml.YAMLError as error:
        raise ValueError(f"it is no YAML: {' '.join(str(error).split())}") from error


def read_xml(file: Path) -> ElementTree.Element:
    """The root of an XML file; one that declares entities is refused: `ValueError`."""
    text = read_text(file)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it declares a document type, which annotations do not need")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"it is no XML: {error}") from error
