"""`--help` of every verb: the same plain style, and the default of what has one."""

import pytest
import typer

from apps import cli

TREE = typer.main.get_command(cli.app)
SAID = {"preset", "batch_size", "seed", "epochs", "workers", "task", "device", "problem"}
WITH_TRAINING = {("ultrasound", "train"), ("pde", "train"), ("genomics", "train"), ("genomics", "pretrain")}


def verbs(group=TREE, path=()):
    context = group.make_context("polyhead", [], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from verbs(command, (*path, name))
        else:
            yield (*path, name), command


VERBS = dict(verbs())


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_defaults_stand_in_the_help(path, polyhead):
    status, said, err = polyhead(*path, "--help")
    assert (status, err) == (0, "") and "╭" not in said and said.startswith("Usage: ")
    described = dict(options(said))
    for option in VERBS[path].params:
        if option.name in SAID and option.opts[0].startswith("--") and (option.name != "task" or option.multiple):
            assert "[default: " in described[option.opts[0]] or "required" in described[option.opts[0]], option.opts[0]


@pytest.mark.parametrize("path", sorted(WITH_TRAINING), ids=" ".join)
def test_every_training_has_the_same_flags(path, polyhead):
    described = dict(options(polyhead(*path, "--help")[1]))
    assert {"--epochs", "--batch-size", "--seed", "--resume", "--device", "--dry-run"} <= set(described)
    for name in ("--epochs", "--batch-size", "--seed"):
        assert "[default: (from the preset)" in described[name]


def options(said):
    """Each option of a help text and all that is said of it, as one line."""
    name, words = "", []
    for line in said.splitlines():
        if line.startswith("  -"):
            if name:
                yield name, " ".join(words)
            words = line.split()
            name = next((word.strip(",") for word in words if word.startswith("--")), "")
        else:
            words += line.split()
    yield name, " ".join(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--device", "quantum"], "'quantum' is none of auto, cpu, cuda, cuda:N and mps"),
        (["--device", "cuda:"], "'cuda:' is none of"),
        (["--epochs", "0"], "greater than or equal to 1"),
        (["--batch-size", "-3"], "greater than or equal to 1"),
        (["--seed", "x"], "valid integer"),
        (["--seed", "-1"], "seed: Input should be greater than or equal to 0"),
        (["--preset", "größe"], "unknown preset 'größe'"),
        (["--config", "broken.yaml"], "line 3, column 1"),
        (["--config", "broken.json"], "line 2 column 7"),
        (["--config", "list.yaml"], "expected settings as `name: value`"),
        (["--config", "bytes.yaml"], "--config bytes.yaml: "),
        (["--config", "."], "--config .: "),
    ],
)
@pytest.mark.parametrize("application", ["ultrasound", "pde", "genomics"])
def test_a_setting_that_cannot_be_is_named(polyhead, tmp_path, monkeypatch, application, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.yaml").write_text("training:\n  epochs: [1\n")
    (tmp_path / "broken.json").write_text('{"a": 1,\n "b": }')
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    tiny = [] if "--preset" in words else ["--preset", "tiny-darcy" if application == "pde" else "tiny"]
    status, out, err = polyhead(application, "train", "D", "-o", "R", *tiny, *words)
    assert (status, out) == (2, "") and said in " ".join(err.split()), err
    assert "internal" not in err and not (tmp_path / "R").exists()
