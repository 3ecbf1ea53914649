import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from domains.genomics.asking.sources import cases_from
from domains.genomics.data.facts import TaskFacts, write_facts
from domains.genomics.data.labelled import LabelledData, facts_of, read_labelled
from domains.genomics.presets import PRESETS, resolve, resolve_pretraining
from domains.genomics.settings import ShapeConfig, read_config


def write_table(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", newline="") if path.suffix == ".gz" else path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def labelled(labels: list[str], task: str = "t") -> LabelledData:
    column = np.array([task] * len(labels), dtype=object)
    empty = np.array([""] * len(labels), dtype=object)
    return LabelledData(["ACGT"] * len(labels), column, np.array(labels, dtype=object), empty, empty)


def test_a_labelled_table_with_all_columns(tmp_path: Path) -> None:
    rows = [
        {"sequence": "acgtACGT", "task": "a", "label": "1", "split": "dev", "group": "g1"},
        {"sequence": "ACGUN", "task": "b", "label": "x y", "split": "train", "group": ""},
    ]
    data = read_labelled(write_table(tmp_path / "all.csv", rows))
    assert data.sequences == ["ACGTACGT", "ACGTN"]
    assert data.tasks == ("a", "b")
    assert data.split.tolist() == ["validation", "train"]
    assert data.group.tolist() == ["g1", ""]
    assert data.rows(task="b", split="train").tolist() == [1]


@pytest.mark.parametrize("layout", ["{task}/{split}.csv", "{task}.{split}.csv.gz", "{task}.{split}.tsv"])
def test_folders_with_a_table_a_split_say_the_same(tmp_path: Path, layout: str) -> None:
    for task in ("H3", "H4"):
        for split in ("train", "dev", "test"):
            rows = [{"sequence": "ACGT" * k, "label": str(k % 2)} for k in range(1, 5)]
            name = layout.format(task=task, split=split)
            write_table(tmp_path / name, rows, "\t" if name.endswith("tsv") else ",")
    (tmp_path / "genome.fa").write_text(">c\nACGT\n")
    write_table(tmp_path / "variants.csv", [{"chrom": "c", "pos": "1", "ref": "A", "alt": "C"}])
    data = read_labelled(tmp_path)
    assert data.tasks == ("H3", "H4")
    assert [len(data.rows(task="H4", split=split)) for split in ("train", "validation", "test")] == [4, 4, 4]
    assert data.facts["H3"] == TaskFacts("classification", ("0", "1"))


def test_parquet_says_what_csv_says(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet as parquet

    rows = [{"sequence": "ACGT" * (k + 1), "label": str(k % 2), "task": "t", "split": "test"} for k in range(8)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    (tmp_path / "other").mkdir()
    written = read_labelled(write_table(tmp_path / "other" / "t.csv", rows))
    assert read_labelled(tmp_path / "t.parquet").fingerprint() == written.fingerprint()


@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_the_header_says_what_separates_the_columns(tmp_path: Path, separator: str) -> None:
    rows = [{"sequence": "ACGT", "task": "a", "label": "1,5"}]
    data = read_labelled(write_table(tmp_path / "t.csv", rows, separator))
    assert (data.sequences, data.tasks, data.label.tolist()) == (["ACGT"], ("a",), ["1,5"])


def test_a_damaged_table_of_a_folder_is_named(tmp_path: Path) -> None:
    write_table(tmp_path / "good.csv", [{"sequence": "ACGT", "label": "1"}])
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(ValueError, match=r"torn\.parquet cannot be read as a table \(.*\); mend it, or take it away"):
        read_labelled(tmp_path)


def test_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfSequence,Label\r\nACGT,1\r\nTTTT,0\r\n")
    data = read_labelled(tmp_path / "t.csv")
    assert data.sequences == ["ACGT", "TTTT"]
    assert data.label.tolist() == ["1", "0"]


def test_bad_rows_are_left_out_with_a_line_each(tmp_path: Path) -> None:
    rows = [
        {"sequence": "ACGTACGTACGT", "label": "1"},
        {"sequence": "MKVLAAGIVGLLQPEFIL", "label": "1"},
        {"sequence": "", "label": "1"},
        {"sequence": "ACGT", "label": ""},
        {"sequence": "AC-GT", "label": "0"},
        {"sequence": "TTTTACGTACGT", "label": "0"},
    ]
    data = read_labelled(write_table(tmp_path / "t.csv", rows))
    assert len(data) == 2
    assert [problem.code for problem in data.problems] == ["protein", "empty-sequence", "empty-label", "gap"]
    assert [problem.where for problem in data.problems] == [f"t.csv, line {line}" for line in (3, 4, 5, 6)]


def test_the_policy_resolve_draws_the_same_bases_each_time(tmp_path: Path) -> None:
    rows = [{"sequence": "ACGT" + "N" * 40, "label": "1"}, {"sequence": "TTTT" + "N" * 40, "label": "0"}]
    table = write_table(tmp_path / "t.csv", rows)
    first, again, other = (read_labelled(table, policy="resolve", seed=seed) for seed in (0, 0, 1))
    assert first.sequences == again.sequences != other.sequences
    assert first.sequences[0][4:] != first.sequences[1][4:]
    assert set("".join(first.sequences)) <= set("ACGT")
    assert len(read_labelled(table, policy="mask").sequences[0]) == 44
    with pytest.raises(ValueError, match=r"no row can be used.*ambiguous"):
        read_labelled(table, policy="error")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sequences,label\nACGT,1\n", "no column sequence; its columns: label, sequences"),
        ("sequence,label,split\nACGT,1,held\n", r"line 2: \[unknown-split\] unknown split 'held'"),
        ("sequence,label\n", "no row can be used"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_labelled(tmp_path / "t.csv")


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        read_labelled(tmp_path / "none")
    with pytest.raises(ValueError, match="no table"):
        read_labelled(tmp_path)
    table = write_table(tmp_path / "t.csv", [{"sequence": "ACGT", "label": "1", "task": "a"}])
    with pytest.raises(ValueError, match="no task b; it has a"):
        read_labelled(table, tasks=["b"])


def test_kinds_are_shown_by_labels() -> None:
    def kind(labels: list[str]) -> TaskFacts:
        return facts_of(labelled(labels))["t"]

    assert kind(["10", "9", "2"] * 10) == TaskFacts("classification", ("2", "9", "10"))
    assert kind(["exon", "intron"] * 5).labels == ("exon", "intron")
    assert kind([f"{k / 7:.3f}" for k in range(20)]) == TaskFacts("number")
    assert kind(["0.5", "1.5"] * 20).kind == "number"
    assert kind([f"a kinase of family {k}" for k in range(20)]).kind == "text"
    assert kind(["0 3 1 2", "3 3 1 0"] * 20) == TaskFacts("image", options={"codes": 4, "grid": [2, 2]})


def test_written_facts_win_over_what_labels_show(tmp_path: Path) -> None:
    rows = [{"sequence": "ACGT" * 3, "label": str(k % 3), "task": "t"} for k in range(12)]
    table = write_table(tmp_path / "t.csv", rows)
    write_facts(tmp_path, {"t": TaskFacts("classification", ("0", "1"), reverse_complement=False)})
    data = read_labelled(table)
    assert data.facts["t"].reverse_complement is False
    assert len(data) == 8
    assert {problem.code for problem in data.problems} == {"invalid-label"}
    (tmp_path / "tasks.json").write_text(json.dumps({"t": {"kind": "colour"}}))
    with pytest.raises(ValueError, match="kind 'colour' is none of"):
        read_labelled(table)


def test_the_fingerprint_knows_rows_and_sides_but_no_order() -> None:
    data = labelled(["0", "1", "1"])
    assert data.fingerprint() == data.take([2, 0, 1]).fingerprint()
    assert data.fingerprint() != data.take([0, 1]).fingerprint()
    assert data.fingerprint() != data.with_split(np.array(["train", "test", "test"])).fingerprint()


def test_the_real_histone_tables(shared_genomics: Path) -> None:
    data = read_labelled(shared_genomics / "histone", tasks=["H3", "H4"])
    sizes = {(task, split): len(data.rows(task=task, split=split)) for task in data.tasks for split in set(data.split)}
    assert sizes[("H3", "test")] == 1497
    assert sizes[("H4", "test")] == 1461
    assert {len(sequence) for sequence in data.sequences} == {500}
    assert not data.problems


def test_presets_name_their_shapes_and_bare_names_are_of_the_verb() -> None:
    assert {"tiny", "omni-dna-micro", "omni-dna-20m", "omni-dna-1b"} <= set(PRESETS)
    assert all(PRESETS[name].preset == name for name in PRESETS)
    tuned = resolve("tiny", {"epochs": 3, "training.device": "cpu", "context": 99, "lora": {"rank": 4}})
    assert (tuned.training.epochs, tuned.context, tuned.pretrain.context) == (3, 99, 128)
    assert tuned.training.device == "cpu"
    assert tuned.lora is not None
    assert tuned.lora.rank == 4
    before = resolve_pretraining("tiny", {"epochs": 3, "training.device": "cpu", "context": 99, "neftune": 1.0})
    assert (before.pretrain.training.epochs, before.pretrain.context, before.context) == (3, 99, 256)
    assert before.pretrain.training.device == "cpu"
    assert before.neftune == 1.0
    shape = resolve("tiny", {"model": {"layers": 1, "width": 16, "heads": 2, "ffn": 32}}).model
    assert isinstance(shape, ShapeConfig)
    assert read_config(tuned.model_dump(mode="json")) == tuned


def test_settings_that_do_not_fit_are_one_line() -> None:
    with pytest.raises(ValueError, match="whole vocabulary"):
        resolve("tiny", {"layout": "released"})
    with pytest.raises(ValueError, match="unknown setting 'neftun'; near: neftune"):
        resolve("tiny", {"neftun": 1})


def test_sequences_beside_labelled_tables_are_not_passed_over_in_silence(tmp_path, caplog):
    (tmp_path / "promoters.csv").write_text("sequence,label\nACGTACGT,1\n")
    cases_from(tmp_path)
    assert not caplog.messages
    (tmp_path / "more.fa").write_text(">a\nACGT\n")
    assert [case.options["kind"] for case in cases_from(tmp_path)] == ["rows"]
    (tmp_path / "yet.fq").write_text("@a\nACGT\n+\nIIII\n")
    cases_from(tmp_path)
    first, second = caplog.messages
    assert first.endswith("not read beside them: more.fa; name a file itself to have it read")
    assert "more.fa and 1 more;" in second


def test_a_task_of_which_no_row_is_left_is_lost_by_name(tmp_path: Path) -> None:
    rows = [
        "ACGT,1,good,train",
        "ACGA,0,good,train",
        "ACGG,1,bad,",
        "ACGC,1,bad,soon",
        "TTTT,,bad,train",
        "ACGTT,1,good,held",
    ]
    (tmp_path / "t.csv").write_text("\n".join(["sequence,label,task,split", *rows[:2], *rows[3:]]) + "\n")
    data = read_labelled(tmp_path)
    assert data.tasks == ("good",) and set(data.facts) == {"good"}
    assert {task: problem.code for task, problem in data.lost.items()} == {"bad": "unknown-split"}
    assert [problem.code for problem in data.problems] == ["unknown-split", "empty-label", "unknown-split"]
    assert not read_labelled(tmp_path, tasks=["good"]).lost
    (tmp_path / "t.csv").write_text("\n".join(["sequence,label,task,split", *rows]) + "\n")
    assert not read_labelled(tmp_path).lost
