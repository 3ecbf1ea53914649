"""Licences of what is required: found through all that is asked for, and judged by their words."""

import tomllib
from email.message import Message
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

from apps.doctor import licences, required
from apps.licences import Licence, licence_of, required_licences


def metadata(*pairs: tuple[str, str]) -> Message:
    message = Message()
    for name, value in pairs:
        message[name] = value
    return message


@pytest.mark.parametrize(
    ("expression", "terms"),
    [
        ("MIT", "permissive"),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", "permissive"),
        ("Apache-2.0 WITH LLVM-exception", "permissive"),
        ("MPL-2.0 AND MIT", "file-level copyleft"),
        ("GPL-3.0-or-later", "copyleft"),
        ("LGPL-2.1-only", "copyleft"),
        ("AGPL-3.0-only AND MIT", "copyleft"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "copyleft"),
        ("GPL-2.0-or-later OR MIT", "permissive"),
        ("Apache-2.0 AND (GPL-3.0-only OR MPL-2.0)", "file-level copyleft"),
        ("(MIT OR Apache-2.0) AND LGPL-3.0-only", "copyleft"),
        ("LicenseRef-NVIDIA-Proprietary", "unknown"),
    ],
)
def test_expressions(expression, terms):
    assert licence_of("some", metadata(("License-Expression", expression))) == Licence("some", expression, terms)


@pytest.mark.parametrize(
    ("pairs", "words", "terms"),
    [
        ([("Classifier", "License :: OSI Approved :: BSD License")], "BSD License", "permissive"),
        (
            [
                ("License", "MIT"),
                ("Classifier", "License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)"),
            ],
            "GNU Lesser General Public License v3 (LGPLv3)",
            "copyleft",
        ),
        (
            [
                ("Classifier", "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)"),
                ("Classifier", "License :: OSI Approved :: MIT License"),
            ],
            "Mozilla Public License 2.0 (MPL 2.0), MIT License",
            "file-level copyleft",
        ),
        ([("License", "GPLv2+")], "GPLv2+", "copyleft"),
        ([("License", "BSD 3-Clause\n\nlibgfortran, bundled, is under the GPL-3.0")], "BSD 3-Clause", "permissive"),
        ([("License", "Proprietary")], "Proprietary", "unknown"),
        ([("Classifier", "Programming Language :: Python")], "none stated", "unknown"),
    ],
)
def test_classifiers_and_free_text(pairs, words, terms):
    assert licence_of("some", metadata(*pairs)) == Licence("some", words, terms)


PACKAGES = {
    "first": ("MIT", ["Second[fast]>=1", 'tests; extra == "test"', 'windows; sys_platform == "win32"', "absent"]),
    "second": ("MIT", ["third; extra == 'fast'", "fourth; extra == 'slow'"]),
    "third": ("LGPL-3.0-only", ["first"]),
    "fourth": ("GPL-3.0-only", []),
    "tests": ("GPL-3.0-only", []),
    "windows": ("GPL-3.0-only", []),
}


def find(name):
    if name not in PACKAGES:
        raise PackageNotFoundError(name)
    licence, requires = PACKAGES[name]
    return SimpleNamespace(metadata=metadata(("License-Expression", licence)), requires=requires)


def test_what_is_required_is_followed_through_extras_and_circles():
    assert [each.package for each in required_licences(["second"], find)] == ["second"]
    found = required_licences(["second", "first"], find)
    assert {each.package: each.terms for each in found} == {
        "first": "permissive",
        "second": "permissive",
        "third": "copyleft",
    }


def test_the_doctor_names_copyleft_and_tells_what_is_weaker():
    found = required_licences(["first"], find)
    wrong = licences(found)
    assert (wrong.state, wrong.found) == ("wrong", "copyleft is required: third (LGPL-3.0-only)")
    weak = [Licence("tqdm", "MPL-2.0 AND MIT", "file-level copyleft"), Licence("cuda", "Own", "unknown")]
    good = licences([*found[:2], *weak])
    assert good.state == "ok" and good.found == (
        "4 required packages, none copyleft; of single files only (MPL): tqdm; terms not recognised: cuda"
    )


def test_nothing_that_polyhead_requires_is_copyleft():
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    found = required_licences(project["dependencies"])
    assert {each.package for each in found} > {"torch", "transformers", "streamlit", "certifi"}
    assert licences(found).state == "ok", licences(found).found
    assert required("no-such-distribution") == []


def test_the_decoders_of_the_extra_dicom_are_permissive_and_none_is_the_one_under_the_gpl():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["optional-dependencies"]["dicom"]
    names = {line.split(">")[0] for line in wanted}
    assert names == {"python-gdcm", "pyjpegls", "pylibjpeg", "pylibjpeg-openjpeg"}
    found = {each.package: each for each in required_licences(wanted)}
    assert "pylibjpeg-libjpeg" not in found
    assert all(found[name].terms == "permissive" for name in names if name in found)
