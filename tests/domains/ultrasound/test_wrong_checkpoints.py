"""What is no checkpoint of the baseline: one line, status 2, no advice to run foreign code, and no run folder."""

import pickle
import sys
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from apps import cli


class Code:
    def __reduce__(self):
        return print, ("run",)


def text(path):
    path.write_text("hello, these are no weights\n")


def archive(path):
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("readme.txt", "hello")


def cut(path):
    torch.save({"encoder.x": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:1500])


WRONG = {
    "empty.pth": (lambda path: path.write_bytes(b""), "is empty"),
    "empty.safetensors": (lambda path: path.write_bytes(b""), "is empty"),
    "bad.safetensors": (lambda path: path.write_bytes(b"\xff" * 100), "no whole safetensors file"),
    "text.safetensors": (text, "no whole safetensors file"),
    "code.pth": (lambda path: path.write_bytes(pickle.dumps({"a": Code()}, protocol=2)), "would be run"),
    "torch_code.pth": (lambda path: torch.save({"a": Code()}, path), "would be run"),
    "plain.pth": (lambda path: path.write_bytes(pickle.dumps([1, 2, 3])), "pth: "),
    "zip.pth": (archive, "a zip file, but no whole file of torch.save"),
    "text.pth": (text, "no file of torch.save"),
    "cut.pth": (cut, "a zip file, but no whole file of torch.save"),
    "list.pth": (lambda path: torch.save([torch.zeros(2)], path), "expected a dictionary of tensors by name"),
    "numbers.pth": (lambda path: torch.save({1: torch.zeros(2)}, path), "expected a dictionary of tensors by name"),
    "none.pth": (lambda path: torch.save({}, path), "no head of an FM_UIA"),
    "other.pth": (lambda path: torch.save({"layer1.conv.weight": torch.zeros(2, 2)}, path), "no head of an FM_UIA"),
    "half.pth": (lambda path: torch.save({"heads.a.0.weight": torch.zeros(2, 3, 1, 1)}, path), "does not fit"),
    "scalar.pth": (
        lambda path: torch.save({"heads.a.0.weight": torch.tensor(1.0)}, path),
        "heads.a.0.weight has the shape ()",
    ),
    "half.safetensors": (lambda path: save_file({"heads.a.0.weight": torch.zeros(2, 3, 1, 1)}, path), "does not fit"),
    "folder.pth": (lambda path: path.mkdir(), "is a folder"),
    "gone.pth": (lambda path: None, "no such file"),
    "größe ✓.pth": (text, "no file of torch.save"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_checkpoint_is_one_line(tmp_path, monkeypatch, capsys, name):
    make, words = WRONG[name]
    make(tmp_path / name)
    monkeypatch.setattr(sys, "argv", ["polyhead", "ultrasound", "import", str(tmp_path / name), "-o", f"{tmp_path}/R"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ") and words in err and name in err
    assert "weights_only" not in err and "Error" not in err
    assert not (tmp_path / "R").exists()
