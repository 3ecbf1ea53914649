"""`polyhead genomics` as its users meet it: clear when a call is wrong, and the whole way of the data."""

import csv
import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from genomics_runs import make_run

from apps.genomics.application import GENOMICS
from domains.genomics.asking.blocks import read_blocks
from domains.genomics.asking.sources import cases_from
from domains.genomics.presets import PRESETS
from domains.genomics.sequences.records import RejectedRecord
from polyhead.application import RESEARCH_USE

BASES = "ACGTTAGCCGATCGATTACGGATTACAGGCTTAACCGATAGGCTA"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data and a run that has seen four steps."""
    folder = tmp_path_factory.mktemp("genomics")
    make_run(folder / "data", folder / "run")
    return folder


def contigs(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in (folder / "genome.fa").read_text().split("\n"):
        if line.startswith(">"):
            name = line[1:].split()[0]
            found[name] = ""
        else:
            found[name] += line.upper()
    return found


def answers(out: Path) -> list[dict[str, str]]:
    with (out / "answers.tsv").open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_the_application_names_the_presets_that_there_are():
    assert set(GENOMICS.systems["omni-dna"].presets) == set(PRESETS)
    counts = {name: GENOMICS.model_facts(name)["parameters"] for name in ("omni-dna-20m", "omni-dna-1b")}
    assert counts == {"omni-dna-20m": 10_490_112, "omni-dna-1b": 1_082_130_432}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sample", "D", "--preset", "huge"], "unknown preset 'huge'; known: tiny"),
        (["pretrain", "gone.fa", "-o", "R", "--preset", "tiny"], "gone.fa does not exist"),
        (["train", "gone", "-o", "R", "--preset", "tiny"], "gone does not exist"),
        (["train", "D", "-o", "R", "--preset", "tyni"], "--preset: unknown preset 'tyni'"),
        (["train", "D", "-o", "R", "--set", "epoch=3"], "near: epochs"),
        (["train", "D", "-o", "R", "--system", "evo"], "unknown system 'evo'; known: omni-dna"),
        (["predict", "R", "x", "-o", "O"], "R is not a run: it has no run.json"),
        (["predict", "R", "x", "-o", "O", "--shard", "2/2"], "--shard 2/2: write i/n with 0 <= i < n"),
        (["evaluate", "O", "D"], "O holds no predictions.csv"),
        (["evaluate", "O", "D", "--beside", "random"], "--beside random: write NAME=PREDICTIONS,DATA"),
        (["split", "gone", "-o", "S"], "gone does not exist"),
        (["calibrate", "R", "D"], "R is not a run"),
        (["variants", "R", "v.vcf", "--reference", "g.fa", "-o", "V"], "R is not a run"),
        (["scan", "R", "g.fa", "-o", "T"], "R is not a run"),
        (["embed", "R", "x.fa", "-o", "e.npz"], "R is not a run"),
        (["mutate", "R", "x.fa", "-o", "M"], "R is not a run"),
    ],
)
def test_a_wrong_call_ends_with_one_clear_line(polyhead, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    found, out, err = polyhead("genomics", *arguments)
    assert (found, out) == (2, "")
    assert words in " ".join(err.split()) and "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_the_released_format_is_chosen_with_its_softmax(polyhead):
    status, said, _ = polyhead(
        "genomics", "train", "D", "-o", "R", "--format", "released", "--epochs", "2", "--dry-run"
    )
    found = json.loads(said)["configuration"]
    assert status == 0 and (found["layout"], found["softmax"]) == ("released", "vocabulary")
    assert found["training"]["epochs"] == 2
    status, said, _ = polyhead("genomics", "pretrain", "D", "-o", "R", "--epochs", "2", "--dry-run")
    found = json.loads(said)["configuration"]
    assert found["pretrain"]["training"]["epochs"] == 2 and found["training"]["epochs"] != 2


def test_labelled_rows_are_answered_and_scored(polyhead, place, tmp_path):
    run, data, out = place / "run", place / "data", tmp_path / "out"
    status, said, _ = polyhead("genomics", "predict", run, data, "-o", out, "-q")
    assert (status, said) == (0, f"{out / 'summary.html'}\n")
    rows = answers(out)
    with (data / "labelled.csv").open(newline="") as stream:
        asked = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    assert len(rows) == len(asked) and {row["task"] for row in rows} == {row["task"] for row in asked}
    for row in rows:
        shares = [float(value) for name, value in row.items() if name.startswith("p:") and value]
        assert (sum(shares) == pytest.approx(1, abs=1e-5)) if row["kind"] == "classes" else not shares
    assert len(list(out.glob("test/00000/images/*.png"))) == sum(row["kind"] == "image" for row in rows)
    status, _, err = polyhead("genomics", "predict", run, data, "-o", out, "--table", "parquet")
    assert status == 0 and "1 skipped" in err and not (out / "answers.tsv").exists()
    from pyarrow import parquet

    table = parquet.read_table(out / "answers.parquet").to_pylist()
    assert [row["answer"] for row in table] == [row["answer"] for row in rows]
    assert [row["start"] for row in table] == [int(row["start"]) for row in rows]
    status, said, _ = polyhead("genomics", "evaluate", out, data, "--json", "--resamples", "20")
    report = json.loads(said)
    assert status == 0 and sum(task["rows"] for task in report["tasks"]) == len(asked)
    assert all(task["missing"] == 0 for task in report["tasks"]) and RESEARCH_USE in (out / "report.html").read_text()


def test_bad_records_get_a_line_each_and_the_rest_goes_on(polyhead, place, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    records = f">good\n{BASES}\n>empty\n>good\n{BASES[::-1].lower()}\n>protein\nMKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ\n"
    (folder / "a.fa").write_bytes(records.replace("\n", "\r\n").encode())
    (folder / "two.fa").write_bytes(bytes.fromhex("1a412743") + bytes(12))
    (folder / "short.fa.gz").write_bytes(gzip.compress(f">x\n{BASES * 5000}\n".encode())[:-30])
    (folder / "regions.bed").write_text("chr1\t10\t60\tinside\t0\t-\nchr1\t100\t99999999\tfar\nchr9\t1\t5\tgone\n")
    (folder / "columns.csv").write_text("name,letters\na,ACGT\n")
    genome = ["--reference", place / "data" / "genome.fa"]
    status, _, err = polyhead("genomics", "predict", place / "run", folder, "-o", out, *genome, "--task", "promoter")
    assert status == 3 and "Traceback" not in err
    failed = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    lines = {row["id"]: f"{row['reason']}; {row['remedy']}" for row in failed if row["status"] == "invalid_input"}
    told = "\n".join(lines.values())
    for words in (
        "line 3: empty: the record holds no sequence",
        "protein: looks like protein",
        "a 2bit file; turn it into FASTA with `twoBitToFa",
        "the archive breaks off",
        "far: chr1 has",
        "no contig 'chr9'",
        "no column of sequences; the columns are 'name', 'letters'",
    ):
        assert words in told
    assert len(lines) == 7 and (out / "failed.txt").read_text().count("invalid_input") == 7
    rows = {row["record"]: row for row in answers(out) if row["contig"] != "x"}
    assert set(rows) == {"good", "good#2", "inside"}
    inside = rows["inside"]
    assert (inside["contig"], inside["start"], inside["end"], inside["strand"]) == ("chr1", "10", "60", "-")
    said = json.loads((out / "a" / "00000" / "result.json").read_text())
    assert said["warnings"] == ["line 4: good: the name is taken; read as good#2"]
    status, _, err = polyhead(
        "genomics", "predict", place / "run", out / "failed.txt", "-o", tmp_path / "again", *genome
    )
    assert status == 4 and "7 invalid input" in err


def test_long_sequences_are_cut_into_windows(polyhead, place, tmp_path, monkeypatch):
    text = contigs(place / "data")["chr5"][:900]
    command = ["genomics", "predict", place / "run"]
    choice = ["--task", "enhancer", "--window", "300", "--stride", "200"]

    def piped(out, *more):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f">long\n{text}\n".encode())))
        return polyhead(*command, "-", "-o", out, *choice, *more)

    assert piped(tmp_path / "mean", "--dry-run")[0] == 0 and not (tmp_path / "mean").exists()
    assert piped(place / "run")[0] == 2 and not (place / "run" / ".polyhead").exists()
    assert piped(tmp_path / "mean")[0] == 0
    status, _, err = piped(tmp_path / "mean", "--policy", "split")
    assert status == 2 and 'another command (policy (was "mask", now "split"))' in err
    (tmp_path / "long.fa").write_text(f">long\n{text}\n")
    assert polyhead(*command, tmp_path / "long.fa", "-o", tmp_path / "each", *choice, "--per-window")[0] == 0
    (mean,), each = answers(tmp_path / "mean"), answers(tmp_path / "each")
    spans = [(int(row["start"]), int(row["end"])) for row in each]
    assert spans == [(0, 300), (200, 500), (400, 700), (600, 900)] and mean["windows"] == "4"
    shares = [float(row["p:active"]) for row in each]
    assert float(mean["p:active"]) == pytest.approx(np.mean(shares), abs=1e-5)
    assert (mean["start"], mean["end"]) == ("0", "900")


def test_a_file_gives_the_same_blocks_in_every_reading(tmp_path):
    file = tmp_path / "many.fa"
    file.write_text("".join(f">r{index}\n{BASES}\n" for index in range(25)) + ">n\n" + "N" * 50 + "A\n")
    first, second = (list(read_blocks(file, records=10)) for _ in range(2))
    assert first == second
    blocks = [block for block in first if not isinstance(block, RejectedRecord)]
    assert [len(block) for block in blocks] == [10, 10, 5] and len(first) == 4
    cases = cases_from(file, block=10)
    assert [case.id for case in cases] == ["many/00000", "many/00001", "many/rejected-0001", "many/00002"]


def test_a_link_that_leads_nowhere_is_told(tmp_path):
    (tmp_path / "a.fa").write_text(f">a\n{BASES}\n")
    (tmp_path / "b.fa").symlink_to("gone.fa")
    for source in (tmp_path, tmp_path / "*.fa"):
        good, broken = cases_from(source)
        assert (good.id, broken.id, broken.options["code"]) == ("a/00000", "b/rejected-0001", "missing")
        assert broken.options["reason"] == "a link to gone.fa, which is not there"
    with pytest.raises(ValueError, match=r"is a link to gone\.fa, which is not there; mend it"):
        cases_from(tmp_path / "b.fa")


def test_variants_scans_embeddings_and_mutagenesis(polyhead, place, tmp_path):
    run, genome = place / "run", place / "data" / "genome.fa"
    text = contigs(place / "data")["chr1"]
    other = dict(zip("ACGT", "CGTA", strict=True))
    rows = [("1", 101, text[100], other[text[100]]), ("chr1", 102, other[text[101]], text[101])]
    rows.append(("chr1", 10**6, "A", "C"))
    vcf = tmp_path / "v.vcf"
    head = "##fileformat=VCFv4.2\r\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\r\n"
    vcf.write_text(head + "".join(f"{c}\t{p}\t.\t{r}\t{a}\t.\t.\t.\r\n" for c, p, r, a in rows), newline="")
    out = tmp_path / "variants"
    command = ["genomics", "variants", run, vcf, "--reference", genome, "-o", out, "--window", "60"]
    status, said, err = polyhead(*command, "--task", "promoter")
    assert (status, said) == (3, f"{out / 'variants.tsv'}\n") and "1 variants scored, 2 rejected" in err
    assert (
        f"REF is {rows[1][2]}, but the reference has {text[101]} at chr1:102" in err and "past the end of chr1" in err
    )
    with (out / "variants.tsv").open(newline="") as stream:
        scored, mismatch, _ = csv.DictReader(stream, delimiter="\t")
    assert np.isfinite(float(scored["log_ratio"])) and mismatch["rejected"] == "ref-mismatch"
    assert "POLYHEAD_LLR=" in (out / "variants.vcf").read_text()
    status, _, err = polyhead(*command)
    assert status == 2 and "--overwrite replaces it" in err

    tracks = ["genomics", "scan", run, genome, "-o", tmp_path / "tracks", "--task", "enhancer", "--window", "100"]
    assert polyhead(*tracks, "--region", "1:1-400", "--format", "bedgraph", "-q")[:2] == (0, f"{tmp_path / 'tracks'}\n")
    track = (tmp_path / "tracks" / "enhancer.bedgraph").read_text().splitlines()
    # The contig begins with 30 unknown bases: windows with more than a tenth of such leave a gap.
    assert text[:30] == "N" * 30 and track[1].startswith("chr1\t20\t40\t") and track[-1].split("\t")[2] == "400"
    assert polyhead(*tracks, "--region", "chr1:1-9999999", "--overwrite")[0] == 2

    fasta = tmp_path / "s.fa"
    fasta.write_text(f">a\n{BASES}\n>b\n{BASES[5:]}\n>c\n")
    assert polyhead("genomics", "embed", run, fasta, "-o", tmp_path / "e.npz", "-q")[0] == 3
    with np.load(tmp_path / "e.npz") as found:
        assert found["names"].tolist() == ["a", "b"] and found["embeddings"].shape == (2, 32)
    (tmp_path / "link.fa").symlink_to("gone.fa")
    (tmp_path / "n.fa").write_text(f">n\n{'N' * 60}\n")
    for given, said in (
        (tmp_path, f"error: {tmp_path} is a folder; name one file of sequences in it\n"),
        (
            tmp_path / "*.fa",
            f"error: there is no file {tmp_path / '*.fa'}; name one file of sequences, not a pattern or a",
        ),
        (tmp_path / "link.fa", "is a link to gone.fa, which is not there; mend it, or name the file itself\n"),
        (tmp_path / "n.fa", "n: 60 of its 60 letters name no single base; give a sequence of A, C, G and T\n"),
    ):
        status, _, err = polyhead("genomics", "embed", run, given, "-o", tmp_path / "none.npz", "-q")
        assert status == 4 and said in err
    absent = ["genomics", "variants", run, tmp_path / "gone.vcf", "--reference", genome, "-o", tmp_path / "absent"]
    status, _, err = polyhead(*absent)
    assert status == 4 and "there is no file" in err and not (tmp_path / "absent").exists()
    mutated = ["genomics", "mutate", run, fasta, "-o", tmp_path / "m", "--span", "3-5", "--task", "enhancer", "-q"]
    assert polyhead(*mutated)[0] == 3
    with (tmp_path / "m" / "a.tsv").open(newline="") as stream:
        changes = list(csv.DictReader(stream, delimiter="\t"))
    assert len(changes) == 9 and [int(row["position"]) for row in changes[::3]] == [3, 4, 5]
    assert all(row["from"] == BASES[int(row["position"]) - 1] != row["to"] for row in changes)


def test_a_split_of_its_own_shares_nothing(polyhead, place, tmp_path):
    out = tmp_path / "purged"
    status, said, err = polyhead("genomics", "split", place / "data", "-o", out, "--test", "0.2", "--seed", "1")
    assert (status, said) == (0, f"{out}\n") and "test" in err
    record = json.loads((out / "split.json").read_text())
    assert record["settings"]["kind"] == "purged" and record["counts"]["test"] > 0
    status, said, _ = polyhead("genomics", "leakage", out, "--json")
    assert status == 0 and json.loads(said)["clean"]
    assert "--overwrite replaces it" in polyhead("genomics", "split", place / "data", "-o", out)[2]


def test_the_demonstration_goes_its_whole_way_and_goes_on(tmp_path, capsys, monkeypatch):
    from apps.genomics.demo import run_demo
    from domains.genomics import simulator

    size = simulator.SampleSize(windows=140, functions=0, needles=0, variants=2)
    whole = simulator.sample
    monkeypatch.setattr(simulator, "sample", lambda out, *, preset, seed: whole(out, size=size, seed=seed))
    quick = ["epochs=1", "steps_per_epoch=2", "validate_every=1", "batch_size=4"]
    report = run_demo(tmp_path, settings=quick, pretraining=[*quick[:1], *quick[1:2]])
    said = capsys.readouterr().err
    assert report.is_file() and "[8/8] scan" in said and RESEARCH_USE in said
    assert (tmp_path / "run" / "calibration.json").is_file() and (tmp_path / "variants" / "variants.vcf").is_file()
    assert run_demo(tmp_path, settings=quick, pretraining=quick[:2]) == report
    assert "skipped" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["info"], ["genomics", "train", "--help"], ["genomics", "variants", "--help"]])
def test_a_light_command_imports_nothing_heavy(arguments):
    heavy = ("torch", "numpy", "transformers", "tokenizers", "pysam", "pyarrow", "sklearn", "Bio", "streamlit")
    code = (
        "import sys; from apps.cli import main; sys.argv[1:] = sys.argv[2:]\n"
        f"try: main()\nfinally: print(*(set({heavy}) & set(sys.modules)), file=sys.stderr, end='')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "--", *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "") and done.stdout
