"""The simulated data set: files that agree with each other, effects that hold, equal files for equal settings."""

import csv
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from domains.genomics.data.labelled import read_labelled
from domains.genomics.evaluation.baselines import BASELINES
from domains.genomics.evaluation.leakage import leakage_report
from domains.genomics.evaluation.metrics import mcc
from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.simulator import SampleSize, sample
from domains.genomics.simulator.elements import TASKS, draw_background, flipped, markov
from domains.genomics.simulator.motifs import ACCEPTOR, ACTIVATOR, DONOR, MOTIFS, PARTNER, REPRESSOR, TATA, motif
from domains.genomics.simulator.variants import applied

SIZE = SampleSize(windows=20, functions=10, needles=12, variants=15)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "data"
    counts = sample(folder, size=SIZE, seed=4)
    return folder, counts


@pytest.fixture(scope="module")
def contigs(made):
    records = (made[0] / "genome.fa").read_text().split(">")[1:]
    return {record.split()[0]: "".join(record.split("\n")[1:]) for record in records}


def test_a_motif_draws_what_it_scores():
    rng = np.random.default_rng(0)
    assert TATA.consensus.startswith("TATA") and np.allclose(TATA.probabilities.sum(axis=1), 1)
    drawn = np.array([list(TATA.draw(rng)) for _ in range(4000)])
    assert (drawn[:, 0] == "T").mean() == pytest.approx(0.92, abs=0.02)
    assert (drawn[:, 4] == "A").mean() == pytest.approx(0.46, abs=0.03)
    assert all(DONOR.draw(rng)[3:5] == "GT" and ACCEPTOR.draw(rng)[10:12] == "AG" for _ in range(50))
    sharp = motif("x", "ACGT", 1.0)
    assert sharp.score("ACGT") == 8 and sharp.best("TTACGTTT") == 8
    assert motif("y", "AACC", 1.0).best("TTGGTTAA") == 8, "the other strand counts"
    assert np.isneginf(sharp.score("AAGT")) and np.isneginf(sharp.best("ACNT"))
    with pytest.raises(ValueError, match="has 4 bases"):
        sharp.score("ACG")


def test_background_follows_its_table():
    rng = np.random.default_rng(1)
    table = markov(1, rng, spread=4.0)
    bases = draw_background(table, 40_000, rng)
    for context, row in zip("ACGT", table, strict=True):
        following = [after for before, after in pairwise(bases) if before == context]
        for base, chance in zip("ACGT", row, strict=True):
            assert following.count(base) / len(following) == pytest.approx(chance, abs=0.03)


@pytest.mark.parametrize("task", list(TASKS))
def test_windows_are_what_their_label_says(task):
    rng = np.random.default_rng(2)
    table = markov(3, rng)
    sheet = TASKS[task]
    for label in sheet.labels:
        for _ in range(30):
            element = sheet.make(label, draw_background(table, sheet.length, rng), rng)
            assert len(element.sequence) == sheet.length and set(element.sequence) <= set("ACGT")
            for site in element.sites:
                bases = element.sequence[site.start : site.end]
                found = MOTIFS[site.motif].score(bases if site.strand == "+" else reverse_complement(bases))
                assert np.isfinite(found) and len(bases) == len(MOTIFS[site.motif])
            names = [site.motif for site in element.sites]
            assert not any(a.end > b.start for a, b in pairwise(element.sites))
            if task == "promoter":
                assert (TATA.name in names and len(names) == 2) == (label == "tata")
            if task == "splice_site" and label == "donor":
                assert element.sequence[60:62] == "GT"
            if task == "splice_site" and label == "acceptor":
                assert element.sequence[58:60] == "AG"
            if task == "site_count":
                assert names == [ACTIVATOR.name] * int(label)
            if task == "enhancer":
                spans = [site for site in element.sites if site.motif in (ACTIVATOR.name, PARTNER.name)]
                close = len(spans) == 2 and spans[1].start - spans[0].end <= 30
                assert (label == "active") == (close and REPRESSOR.name not in names)
            turned = flipped(element)
            assert flipped(turned) == element and turned.sequence == reverse_complement(element.sequence)


def test_the_tables_read_and_the_genome_holds_every_window(made, contigs):
    folder, counts = made
    data = read_labelled(folder)
    assert not data.problems and set(data.tasks) == {*TASKS, "function", "needle", "needle_picture"}
    assert counts == {task: len(data.rows(task=task)) for task in data.tasks}
    assert counts["promoter"] == 60 and counts["function"] == 10
    assert data.facts["promoter"].labels == ("none", "tata", "tata-less")
    assert data.facts["function"].kind == "text" and not data.facts["splice_site"].reverse_complement
    assert min(len(data.rows(task=task, split=side)) for task in data.tasks for side in ("validation", "test")) > 0
    bed = [line.split("\t") for line in (folder / "elements.bed").read_text().splitlines()]
    windows = {
        (bases if strand == "+" else reverse_complement(bases), contig)
        for contig, start, end, _, _, strand in bed
        if (bases := contigs[contig][int(start) : int(end)].upper())
    }
    listed = {(data.sequences[row], str(data.group[row])) for row in range(len(data)) if data.task[row] in TASKS}
    assert windows == listed
    assert {str(data.group[row]) for row in data.rows(task="promoter", split="test")} == {"chr5"}
    assert all(sequence.startswith("N" * 30) for sequence in contigs.values())


def test_no_split_leaks(made):
    data = read_labelled(made[0])
    chosen = np.flatnonzero(np.isin(data.task, list(TASKS)))
    data = data.take(chosen)
    assert leakage_report(data.sequences, data.task.tolist(), data.label.tolist(), data.split).clean


def test_sites_stand_where_the_gff_says(made, contigs):
    lines = [line.split("\t") for line in (made[0] / "sites.gff3").read_text().splitlines() if line[0] != "#"]
    assert lines
    for contig, _, _, start, end, score, strand, _, about in lines:
        bases = contigs[contig][int(start) - 1 : int(end)]
        name = re.search("motif=(.*)", about)
        assert name is not None
        bits = MOTIFS[name[1]].score(bases if strand == "+" else reverse_complement(bases))
        assert bits == pytest.approx(float(score), abs=0.006)


def test_variants_have_the_reference_and_the_stated_effect(made, contigs):
    with (made[0] / "variants.vcf").open() as file:
        rows = [row for row in csv.reader(file, delimiter="\t") if not row[0].startswith("#")]
    assert len(rows) == 30
    places = {(row[0], int(row[1])) for row in rows}
    assert rows == sorted(rows, key=lambda row: (row[0], int(row[1]))) and len(places) > 25
    kinds = set()
    for contig, position, _, ref, alt, _, _, info in rows:
        start = int(position) - 1
        assert contigs[contig][start : start + len(ref)].upper() == ref != alt
        facts = dict(part.split("=") for part in info.split(";"))
        kinds.add((facts["EFFECT"], len(alt) - len(ref) > 0, len(alt) < len(ref)))
        if facts["EFFECT"] == "neutral":
            assert facts["BITS"] == "0" and "MOTIF" not in facts
        else:
            assert float(facts["BITS"]) < -1 and facts["MOTIF"].replace("_", " ") in MOTIFS
    assert len(kinds) == 6


def test_an_allele_is_applied_or_refused():
    from domains.genomics.simulator.variants import Variant

    deletion = Variant("c", 12, "GT", "G", "neutral", "e", "", 0.0)
    assert applied("ACGTA", deletion, offset=10) == "ACGA"
    with pytest.raises(ValueError, match="c:13 has TA, not GT"):
        applied("ACTAA", deletion, offset=10)


def test_equal_settings_give_equal_files(made, tmp_path):
    folder, _ = made
    sample(tmp_path / "again", size=SIZE, seed=4)
    files = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    assert Path("codecs/digits.safetensors") in files
    for file in files:
        assert (folder / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file
    sample(folder, size=SIZE, seed=4)
    with pytest.raises(ValueError, match="other settings"):
        sample(folder, size=SIZE, seed=5)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="not empty"):
        sample(tmp_path / "mine")
    with pytest.raises(ValueError, match="is a file"):
        sample(tmp_path / "mine" / "notes.txt")
    with pytest.raises(ValueError, match="unknown preset"):
        sample(tmp_path / "other", preset="huge")
    with pytest.raises(ValueError, match="at least 7"):
        sample(tmp_path / "other", size=SampleSize(windows=3))


def test_tasks_can_be_learned_and_not_by_everything(tmp_path):
    sample(tmp_path / "data", size=SampleSize(windows=60, variants=0))
    data = read_labelled(tmp_path / "data")

    def scored(task, name):
        train, held = data.rows(task=task, split="train"), data.rows(task=task, split="test")
        model = BASELINES[name](0)
        model.fit([data.sequences[row] for row in train], data.label[train].tolist())
        predicted = model.predict([data.sequences[row] for row in held]).argmax(axis=1)
        return mcc([model.classes.index(label) for label in data.label[held]], predicted)

    assert scored("splice_site", "positions") > 0.7 > scored("splice_site", "k-mers") + 0.3
    assert scored("promoter", "positions") > 0.6
    assert scored("enhancer", "positions") < 0.5 > scored("enhancer", "k-mers")
