"""Readers: Biopython as oracle, round trips, and every way in which a file can be broken."""

import bz2
import gzip
import io
import lzma
import sys
import tracemalloc

import pysam
import pytest
from Bio import SeqIO
from Bio.Seq import Seq
from Bio.SeqRecord import SeqRecord

from domains.genomics.readers import RejectedRecord, read_records
from domains.genomics.readers.stream import Source
from domains.genomics.sequences.alphabet import reverse_complement


def read(text, **options):
    data = text if isinstance(text, bytes) else text.encode()
    return list(read_records(io.BytesIO(data), **options))


def kept(records):
    return [record for record in records if not isinstance(record, RejectedRecord)]


def codes(records):
    return [record.code for record in records if isinstance(record, RejectedRecord)]


@pytest.fixture
def read_as(tmp_path):
    """Writes bytes under a name and reads that file."""

    def read_file(name, data):
        (tmp_path / name).write_bytes(data)
        return list(read_records(tmp_path / name))

    return read_file


@pytest.fixture
def genome(tmp_path, random_dna):
    """A FASTA file of two contigs of 500 and 300 bases, soft-masked in parts."""
    one, two = random_dna(500, 1), random_dna(300, 2)
    path = tmp_path / "genome.fa"
    SeqIO.write(
        [SeqRecord(Seq(one[:100].lower() + one[100:]), "chr1", "", "first contig"), SeqRecord(Seq(two), "chr2")],
        path,
        "fasta",
    )
    return path, one, two


def test_fasta_agrees_with_biopython(genome):
    path, one, two = genome
    records = list(read_records(path))
    assert [record.sequence for record in records] == [one, two]
    assert [record.name for record in records] == [
        entry.id for entry in SeqIO.parse(io.StringIO(path.read_text()), "fasta")
    ]
    assert [record.source for record in records] == [path, path]
    assert (records[0].description, records[0].start, records[0].end, records[0].contig) == (
        "first contig",
        0,
        500,
        "chr1",
    )
    assert (records[0].source_length, records[0].ambiguous) == (500, 0)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_files_whatever_their_name(genome, tmp_path, pack):
    path, one, two = genome
    packed = tmp_path / "genome.txt"
    packed.write_bytes(pack(path.read_bytes()))
    assert [record.sequence for record in read_records(packed)] == [one, two]


def test_line_ends_byte_order_mark_blank_lines_and_comments():
    expected = [("a", "ACGTAC"), ("b", "GG")]
    for text in (
        b">a x y\r\nACGT\r\nAC\r\n>b\r\nGG\r\n",
        b"\xef\xbb\xbf>a\nACGT\nAC\n\n>b\nG G\n",
        b";old\n>a\rACGTAC\r>b\r;c\rGG",
    ):
        assert [(record.name, record.sequence) for record in read(text)] == expected


def test_split_records_say_where_they_lie():
    records = read(">chr1 d\nACGTN\nNGGRT\n", policy="split")
    assert [(record.name, record.start, record.sequence, record.contig) for record in records] == [
        ("chr1:1-4", 0, "ACGT", "chr1"),
        ("chr1:7-8", 6, "GG", "chr1"),
        ("chr1:10-10", 9, "T", "chr1"),
    ]
    assert {(record.ambiguous, record.source_length) for record in records} == {(3, 10)}
    assert [record.sequence for record in read(">chr1\nACGTN\nNGGRT\n", policy="mask")] == ["ACGTNNGGNT"]
    assert codes(read(">chr1\nACNT\n", policy="error")) == ["ambiguous"]
    with pytest.raises(ValueError, match="policy is one of"):
        read_records("x.fa", policy="keep")


@pytest.mark.parametrize("chunk", [1, 7, 60, 499, 500, 1000])
def test_chunks_join_to_the_whole(genome, chunk):
    path, one, two = genome
    parts = {"chr1": "", "chr2": ""}
    for record in read_records(path, chunk=chunk):
        assert record.start == len(parts[record.contig])
        assert len(record.sequence) <= chunk
        parts[record.contig] += record.sequence
    assert parts == {"chr1": one, "chr2": two}


def test_parts_without_a_base_are_no_fault_of_a_contig_that_has_some():
    text = ">a\nACGT\nNNNN\nNNNN\nGG\n>n\nNNNN\nNNNN\nN\n>b\nNNNN\n"
    records = read(text, chunk=4)
    assert [(record.name, record.contig) for record in kept(records)] == [("a:1-4", "a"), ("a:13-14", "a")]
    told = [record for record in records if isinstance(record, RejectedRecord)]
    assert [(record.code, record.name, record.line) for record in told] == [
        ("only-ambiguous", "n", 6),
        ("only-ambiguous", "b", 10),
    ]


def test_names_beyond_the_limit_are_told_once(monkeypatch):
    monkeypatch.setattr("domains.genomics.readers.raw_records._MOST_NAMES", 2)
    records = read(">a\nA\n>b\nC\n>c\nG\n>c\nT\n>a\nAA\n")
    assert [record.name for record in kept(records)] == ["a", "b", "c", "c", "a#2"]
    assert codes(records) == ["names-not-checked", "duplicate-name"]


def test_a_long_contig_on_one_line_needs_little_memory(tmp_path, random_dna):
    path = tmp_path / "long.fa"
    part = random_dna(1_000_000)
    with path.open("w") as stream:
        stream.write(">c\n")
        for _ in range(24):
            stream.write(part)
    tracemalloc.start()
    try:
        total = sum(len(record.sequence) for record in read_records(path, chunk=100_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 24_000_000
    assert peak < 12_000_000


def test_broken_fasta_is_told_and_the_rest_is_read(read_as):
    text = ">a\nACGT\n>a\nGGG\n>e\n>p\nMKLVFAEQ\n>g\nAC-T\n>n\nNNN\n>\nTT\n>a#2\nCC\n"
    records = read(text)
    assert [(record.name, record.sequence) for record in kept(records)] == [
        ("a", "ACGT"),
        ("a#2", "GGG"),
        ("record_7", "TT"),
        ("a#2#2", "CC"),
    ]
    told = {
        (record.code, record.name, record.line, record.lost) for record in records if isinstance(record, RejectedRecord)
    }
    assert told == {
        ("duplicate-name", "a", 3, False),
        ("empty", "e", 5, True),
        ("protein", "p", 6, True),
        ("gap", "g", 8, True),
        ("only-ambiguous", "n", 10, True),
        ("no-name", "record_7", 12, False),
        ("duplicate-name", "a#2", 14, False),
    }
    assert codes(read_as("x.fa", b"ACGT\n>a\nCC\n")) == ["no-header"]


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (bytes.fromhex("1a412743") + b"\0" * 12, "two-bit", "twoBitToFa"),
        (bytes.fromhex("4327411a") + b"\0" * 12, "two-bit", "twoBitToFa"),
        (b"BAM\x01rest", "alignments", "samtools fasta"),
        (b"@SQ\tSN:chr1\tLN:5\n", "alignments", "samtools fasta"),
        (b"", "empty-file", "empty"),
        (b" \n\n", "empty-file", "empty"),
        (b"\x00\x01\x02", "binary", "not a text file"),
        (">a\nACGT\n".encode("utf-16"), "encoding", "UTF-8"),
        (b"##fileformat=VCFv4.2\n", "variants", "genomics variants"),
        (b"what is this?\n", "unknown-format", "what is this?"),
    ],
)
def test_foreign_files_are_named_with_a_remedy(read_as, data, code, says):
    (record,) = read_as("x.fa" if code != "unknown-format" else "x", data)
    assert record.code == code
    assert says in str(record)
    assert str(record).count("\n") == 0


def test_missing_files_and_folders(tmp_path):
    assert codes(read_records(tmp_path / "none.fa")) == ["missing"]
    assert codes(read_records(tmp_path)) == ["folder"]
    link = tmp_path / "link.fa"
    link.symlink_to("gone.fa")
    (lost,) = read_records(link)
    assert str(lost) == f"{link}: a link to gone.fa, which is not there; mend the link, or name the file itself"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_an_archive_that_breaks_off_gives_no_half_record(tmp_path, random_dna, pack):
    text = "".join(f">r{k}\n{random_dna(2000, k)}\n" for k in range(200))
    data = pack(text.encode())
    path = tmp_path / "cut.fa.gz"
    path.write_bytes(data[: 2 * len(data) // 3])
    records = list(read_records(path))
    assert codes(records) == ["broken-archive"]
    assert isinstance(records[-1], RejectedRecord)
    assert all(len(record.sequence) == 2000 for record in kept(records))
    path.write_bytes(data[:15])
    assert codes(read_records(path)) == ["broken-archive"]


def test_bgzip_without_its_end_marker(tmp_path, random_dna):
    path = tmp_path / "a.fa.gz"
    sequence = random_dna(200_000)
    with pysam.BGZFile(str(path), "w") as stream:
        stream.write(f">a\nACGT\n>b\n{sequence}\n".encode())
    assert [record.sequence for record in read_records(path)] == ["ACGT", sequence]
    path.write_bytes(path.read_bytes()[:-28])
    records = list(read_records(path))
    assert codes(records) == ["broken-archive"]
    assert [record.name for record in kept(records)] == ["a"]


def test_standard_input(monkeypatch):
    class Pipe(io.RawIOBase):
        data = gzip.compress(b">a\nACGT\n")

        def readable(self):
            return True

        def readinto(self, buffer):
            part, Pipe.data = Pipe.data[:3], Pipe.data[3:]
            buffer[: len(part)] = part
            return len(part)

    class Stdin:
        buffer = Pipe()

    monkeypatch.setattr(sys, "stdin", Stdin)
    (record,) = read_records("-")
    assert (record.name, record.sequence, record.source) == ("a", "ACGT", None)


def test_fastq_agrees_with_biopython_and_goes_on_after_a_broken_read(tmp_path, random_dna):
    good = "".join(f"@r{k} lane\n{random_dna(50, k)}\n+\n{'@' + 'I' * 49}\n" for k in range(3))
    (tmp_path / "reads.fq").write_text(good)
    records = list(read_records(tmp_path / "reads.fq"))
    oracle = list(SeqIO.parse(io.StringIO(good), "fastq"))
    assert [(record.name, record.sequence) for record in records] == [(entry.id, str(entry.seq)) for entry in oracle]
    assert [ord(letter) - 33 for letter in records[0].quality] == oracle[0].letter_annotations["phred_quality"]
    broken = read(good + "@bad\nACGT\n+\nII\n" + good.replace("@r", "@s") + "@end\nAC\n")
    assert [record.name for record in kept(broken)] == ["r0", "r1", "r2", "s0", "s1", "s2"]
    assert [(record.code, record.name, record.line) for record in broken if isinstance(record, RejectedRecord)] == [
        ("broken-read", "bad", 13),
        ("broken-read", "end", 29),
    ]
    (left, right) = read("@r\nACNGT\n+\nABCDE\n")
    assert (left.sequence, left.quality, right.sequence, right.quality) == ("AC", "AB", "GT", "DE")


def wrapped(text, width=20):
    return "\n".join(text[place : place + width] for place in range(0, len(text), width))


def test_wrapped_fastq_agrees_with_biopython(random_dna):
    # Lines of qualities begin with @ and +, as headers and separators do.
    quality = "@" + "I" * 19 + "+" + "I" * 19 + "@II"
    text = "".join(f"@r{k}\n{wrapped(random_dna(43, k))}\n+r{k}\n{wrapped(quality)}\n" for k in range(3))
    text += f"@one\n{wrapped(random_dna(43, 4))}\n+\n{quality}\n"
    found = read(text)
    oracle = list(SeqIO.parse(io.StringIO(text), "fastq"))
    assert [(record.name, record.sequence, record.quality) for record in found] == [
        (entry.id, str(entry.seq), quality) for entry in oracle
    ]
    short = f"@bad\n{wrapped(random_dna(43))}\n+\n{wrapped(quality[:23])}\n"
    (rejected, *rest) = read(short + text)
    assert str(rejected) == (
        "standard input, line 1: bad: its 43 letters stand in 3 lines, its qualities in lines of other lengths; "
        "write each read in four lines; reading goes on with the next whole read"
    )
    assert [record.name for record in rest] == ["r0", "r1", "r2", "one"]
    for cut in ("@r", "@r\n", "@r\nACGT", "@r\nACGT\n+\n", "@r\nAC\nGT\n+\nII\n"):
        assert [record.reason for record in read(text + cut)[4:]] == ["the file ends within a read"]


def test_one_entry_without_a_sequence_or_cut_does_not_take_the_next(tmp_path, random_dna):
    path = tmp_path / "entry.gb"
    entries = [
        SeqRecord(Seq(random_dna(130, k)), f"AB{k}.1", f"AB{k}", annotations={"molecule_type": "DNA"})
        for k in (1, 2, 3)
    ]
    SeqIO.write(entries, path, "genbank")
    first, second, third = path.read_text().split("//\n")[:3]
    head, letters = second.split("ORIGIN\n")
    for broken, code, says in (
        (head, "no-sequence", "AB2: entry 2 holds no sequence; download the entry in full (with its sequence)"),
        (head + "ORIGIN\n" + letters[:76], "broken-entry", "not whole: expected sequence length 130, found 60 (AB2.1)"),
        (second.replace("LOCUS ", "LOKUS "), "malformed", "no entry of genbank; download the entry again"),
    ):
        path.write_text("//\n".join([first, broken, third, ""]))
        found = list(read_records(path))
        assert [record.name for record in kept(found)] == ["AB1.1", "AB3.1"]
        (lost,) = [record for record in found if isinstance(record, RejectedRecord)]
        assert (lost.code, lost.line) == (code, first.count("\n") + 2)
        assert says in str(lost)


def test_genbank_and_embl(tmp_path, random_dna):
    sequence = random_dna(130)
    annotations = {"molecule_type": "DNA", "organism": "phage", "topology": "linear"}
    entries = [SeqRecord(Seq(sequence), "AB1.1", "AB1", "two genes", annotations=annotations)]
    for dialect in ("genbank", "embl"):
        SeqIO.write(entries, tmp_path / "entry", dialect)
        (record,) = read_records(tmp_path / "entry")
        assert (record.name, record.sequence, record.description) == ("AB1.1", sequence, "two genes")
        assert record.labels["organism"] == "phage"
    text = tmp_path / "entry.gb"
    SeqIO.write(entries, text, "genbank")
    cut = text.read_text().replace("//\n", "")
    assert codes(read(cut)) in (["malformed"], ["parser-warning"])
    protein = SeqRecord(Seq("MKLV"), "P1", annotations={"molecule_type": "protein"})
    SeqIO.write([protein, *entries], text, "genbank")
    records = list(read_records(text))
    assert codes(records) == ["protein"]
    assert len(kept(records)) == 1


def test_regions_of_bed_gff_and_tables_agree(genome):
    path, one, two = genome
    bed = "track name=x\nchr1\t10\t30\tfirst\t5\t+\n1\t0\t40\tsecond\t0\t-\nchr2\t299\t300\n"
    gff = (
        "##gff-version 3\n1\tx\tgene\t11\t30\t.\t+\t.\tID=first;Note=a\n"
        "1\tx\tgene\t1\t40\t.\t-\t.\tID=second\n2\tx\tgene\t300\t300\t.\t.\t.\n"
    )
    table = "id,region,start,end,strand\nfirst,chr1,10,30,+\nsecond,chr1,0,40,-\n,chr2,299,300,+\n"
    expected = [one[10:30], reverse_complement(one[:40]), two[299:]]
    for text in (bed, gff, table):
        records = read(text, reference=path)
        assert [record.sequence for record in records] == expected
        assert [(record.contig, record.start, record.strand) for record in records] == [
            ("chr1", 10, "+"),
            ("chr1", 0, "-"),
            ("chr2", 299, "+"),
        ]
    assert [record.name for record in read(bed, reference=path)][:2] == ["first", "second"]
    assert read(gff, reference=path)[0].labels["type"] == "gene"
    with pytest.raises(ValueError, match="holds regions; name the reference"):
        read(bed)


def test_regions_that_cannot_be_read(genome):
    path, _, _ = genome
    text = "chr1\t0\t5\nchr1\t490\t501\nchr9\t0\t5\nchr1\t7\t7\nchr1\tx\t9\nchr1\t5\n"
    records = read(text, reference=path)
    assert [record.name for record in kept(records)] == ["chr1:1-5"]
    assert codes(records) == ["not-in-reference", "not-in-reference", "empty-region", "malformed-row", "malformed-row"]
    assert "chr1 has 500 bases" in str(records[1])
    assert [record.line for record in records[1:]] == [2, 3, 4, 5, 6]
    swapped, before = read("chr1\t9\t5\tx\nchr1\t-2\t5\ty\n", reference=path)
    assert str(swapped).endswith(
        "line 1: x: the region ends at 5, before its start at 9; swap start and end; the reverse strand is told by - "
        "in the column of strands"
    )
    assert str(before).endswith("y: the region begins at -2, before its contig; a contig's first base is 0 here")


def test_split_regions_of_the_reverse_strand(tmp_path):
    path = tmp_path / "r.fa"
    path.write_text(">c\nAAAACCNNGTTT\n")
    records = read("c\t2\t11\tpeak\t0\t-\n", reference=path)
    assert [(record.name, record.start, record.sequence) for record in records] == [
        ("peak:3-6", 2, "GGTT"),
        ("peak:9-11", 8, "AAC"),
    ]


def test_tables(read_as, random_dna):
    long = random_dna(200_000)
    text = f'name,Sequence,label\none,ACGT,1\ntwo,"{long}",0\nthree,AC\nfour,,1\n'
    records = read(text)
    assert [(record.name, record.sequence, record.labels) for record in kept(records)] == [
        ("one", "ACGT", {"label": "1"}),
        ("two", long, {"label": "0"}),
    ]
    assert codes(records) == ["malformed-row", "empty"]
    assert records[2].line == 4
    (tab,) = read("index\tlabel\ttext\n0\t1\tACGT\n")
    assert (tab.name, tab.sequence, tab.labels) == ("0", "ACGT", {"label": "1"})
    (lost,) = read_as("t.csv", b"gene,value\nx,1\n")
    assert lost.code == "no-sequence-column"
    assert "'gene', 'value'" in lost.reason


def test_parquet_gives_what_the_table_gives(tmp_path):
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"seq": ["ACGT", "NN", None], "label": [1, 0, 1]}), path)
    records = list(read_records(path))
    assert [(record.name, record.sequence, record.labels) for record in kept(records)] == [
        ("row_1", "ACGT", {"label": "1"})
    ]
    assert codes(records) == ["only-ambiguous", "empty"]
    path.write_bytes(path.read_bytes()[:-10])
    assert codes(read_records(path)) == ["broken-archive"]
    assert codes(read(b"PAR1xxxx")) == ["parquet-stream"]


def test_one_sequence_a_line():
    records = read("ACGT\n\nacgu\n")
    assert [(record.name, record.sequence) for record in records] == [("line_1", "ACGT"), ("line_3", "ACGT")]


def test_an_opened_source_says_how_it_is_packed(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"ACGT\n"))
    with Source(path) as source:
        assert (source.compression, source.head, source.text().read()) == ("gzip", b"ACGT\n", "ACGT\n")


def test_real_sequences(shared_genomics):
    (virus,) = read_records(shared_genomics / "lambda_virus.fa")
    assert len(virus.sequence) == 48_502
    pieces = list(read_records(shared_genomics / "yeast_chrI.fa"))
    assert {piece.source_length for piece in pieces} == {230_218}
    assert sum(len(piece.sequence) for piece in pieces) == 230_218 - pieces[0].ambiguous
    table = list(read_records(shared_genomics / "histone" / "H3.dev.csv.gz"))
    assert len(table) == 1497
    assert {record.labels["label"] for record in table} == {"0", "1"}
