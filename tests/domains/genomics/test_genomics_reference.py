"""The reference: samtools' index against slices of the file's text."""

import gzip
import os
import pickle
import shutil

import pysam
import pytest

from domains.genomics.readers.reference import Reference


@pytest.fixture
def genome(tmp_path, random_dna):
    contigs = {"chr1": random_dna(1000, 1), "chrM": random_dna(77, 2), "scaffold_9": random_dna(61, 3)}
    path = tmp_path / "genome.fa"
    with path.open("w") as stream:
        for name, sequence in contigs.items():
            stream.write(f">{name} text\n")
            stream.writelines(f"{sequence[k : k + 60].lower()}\n" for k in range(0, len(sequence), 60))
    return path, contigs


@pytest.mark.parametrize("packed", [False, True])
def test_any_stretch_under_any_name(genome, packed):
    path, contigs = genome
    if packed:
        target = path.with_suffix(".fa.gz")
        pysam.tabix_compress(str(path), str(target))
        path = target
    with Reference(path) as reference:
        assert dict(reference.contigs) == {name: len(sequence) for name, sequence in contigs.items()}
        for name, start, end in (
            ("chr1", 0, 1000),
            ("1", 59, 121),
            ("Chr1", 999, 1000),
            ("MT", 0, 77),
            ("chrMT", 3, 9),
        ):
            own = reference.name(name)
            assert reference.fetch(name, start, end) == contigs[own][start:end]
        assert reference.length("M") == 77
    assert {file.name for file in path.parent.iterdir()} >= {path.name, path.name + ".fai"}
    assert not list(path.parent.glob(".*"))


def test_what_is_not_on_the_reference_is_told_with_lengths_and_names(genome):
    path, _ = genome
    with Reference(path) as reference:
        for start, end in ((-1, 5), (5, 5), (990, 1001)):
            with pytest.raises(ValueError, match=r"chr1 has 1000 bases in genome\.fa"):
                reference.fetch("1", start, end)
        with pytest.raises(ValueError, match=r"no contig 'scaffold9' in genome\.fa; near names: scaffold_9"):
            reference.fetch("scaffold9", 0, 1)
        with pytest.raises(ValueError, match="it has chr1, chrM, scaffold_9"):
            reference.length("X")


def test_ambiguous_names_are_refused(tmp_path):
    path = tmp_path / "two.fa"
    path.write_text(">M\nACGT\n>chrMT\nGG\n>1\nA\n>chr1\nC\n")
    with Reference(path) as reference:
        assert reference.fetch("1", 0, 1) + reference.fetch("chr1", 0, 1) == "AC"
        with pytest.raises(ValueError, match=r"'MT' may be M or chrMT of two\.fa"):
            reference.name("MT")


def test_an_old_index_is_made_again(genome):
    path, _ = genome
    Reference(path).close()
    path.write_text(">new\nACGTACGT\n")
    os.utime(path.with_name("genome.fa.fai"), (1, 1))
    with Reference(path) as reference:
        assert reference.fetch("new", 4, 8) == "ACGT"


def test_a_read_only_folder_stays_as_it_is(genome):
    path, contigs = genome
    path.parent.chmod(0o555)
    try:
        with Reference(path) as reference:
            assert reference.fetch("1", 10, 20) == contigs["chr1"][10:20]
            temporary = reference._temporary
            assert temporary is not None
            assert temporary.is_dir()
        assert not temporary.exists()
        assert [file.name for file in path.parent.iterdir()] == ["genome.fa"]
    finally:
        path.parent.chmod(0o755)


def test_a_reference_goes_to_another_process(genome):
    path, contigs = genome
    with Reference(path) as reference, pickle.loads(pickle.dumps(reference)) as copy:
        assert copy.fetch("1", 0, 9) == contigs["chr1"][:9]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.fa", None, "no such file"),
        ("a.fa", b"", "the file is empty"),
        ("a.fa", bytes.fromhex("1a412743") + b"\0" * 8, "twoBitToFa"),
        ("a.fa.gz", gzip.compress(b">a\nACGT\n"), "bgzip"),
        ("a.fa", b"@r\nACGT\n+\nIIII\n", "this is fastq"),
        ("a.fa", b">a\nACGT\nAC\nACGT\n", "cannot be indexed (line 4, contig a); all lines"),
        ("a.fa", b">a\nACGT\n>b\nAC\n\nAC\n", "cannot be indexed (line 6, contig b); all lines"),
        ("a.fa", b">a\nACGT\n>a\nAC\n", "a is there twice"),
        ("a.fa", b">a\nACGT\n>\nAC\n>\nA\n", "a contig has no name"),
    ],
)
def test_files_that_are_no_reference(tmp_path, name, data, says):
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ValueError) as caught:
        Reference(path)
    message = str(caught.value)
    assert says in message
    assert message.startswith(str(path))
    assert "\n" not in message
    assert not list(tmp_path.glob("*.fai"))
    assert not list(tmp_path.glob(".*"))


def test_real_chromosome(shared_genomics, tmp_path):
    path = tmp_path / "lambda.fa"
    shutil.copy(shared_genomics / "lambda_virus.fa", path)
    text = "".join(path.read_text().splitlines()[1:]).upper()
    with Reference(path) as reference:
        (contig,) = reference.contigs
        assert reference.length(contig) == len(text) == 48_502
        assert reference.fetch(contig, 20_000, 20_123) == text[20_000:20_123]
