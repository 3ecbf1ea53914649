"""The tokenizer: the published vocabulary, an own one, added tokens, and what is refused."""

import hashlib
import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from domains.genomics.sequences.tokenizer import SPECIALS, DnaTokenizer


@pytest.fixture(scope="module")
def published(shared_genomics):
    return DnaTokenizer.load(shared_genomics / "bpe4096.tokenizer.json")


@pytest.fixture
def small(random_dna):
    return DnaTokenizer.train([random_dna(4000, seed) for seed in range(3)], vocab=64)


@pytest.fixture(scope="module")
def yeast(shared_genomics):
    lines = (shared_genomics / "yeast_chrI.fa").read_text().splitlines()
    return "".join(line for line in lines if not line.startswith(">")).upper()


def merges_of(tokenizer):
    return [tuple(pair) for pair in json.loads(tokenizer._tokenizer.to_str())["model"]["merges"]]


def merged_by_hand(sequence, merges):
    """Byte-pair encoding by its definition: the earliest merge that applies, everywhere, until none does."""
    rank = {pair: number for number, pair in enumerate(merges)}
    parts = list(sequence)
    while pairs := [pair for pair in pairwise(parts) if pair in rank]:
        best, joined = min(pairs, key=rank.__getitem__), []
        while parts:
            taken = 2 if tuple(parts[:2]) == best else 1
            joined.append("".join(parts[:taken]))
            parts = parts[taken:]
        parts = joined
    return parts


def test_the_published_tokenizer_is_read_from_the_old_format(published, shared_genomics):
    assert published.vocabulary_size == 4096 and published.dna_tokens == 4091
    assert [published.token_id(token) for token in (*SPECIALS, *"ACGT")] == list(range(9))
    assert published.token_lengths.max() == 32
    # In the new format it is, byte for byte, the file that goes with the published models.
    written = Tokenizer.from_file(str(shared_genomics / "bpe4096.tokenizer.json")).to_str(pretty=True).encode()
    assert len(written) == 286_487
    assert hashlib.sha256(written).hexdigest() == "c02de8344eee229f6355e3de63d18fc0d4110f276320774ff891d6a5f81d817b"
    assert published._tokenizer.to_str(pretty=True).encode() == written


def test_windows_of_yeast_take_about_a_hundred_tokens(published, yeast):
    windows = [yeast[start : start + 500] for start in range(30_000, 80_000, 500)]
    windows = [window for window in windows if "N" not in window]
    counts = [len(ids) for ids in published.encode_many(windows)]
    assert len(windows) > 60 and 99 < np.mean(counts) < 103


def test_encoding_is_byte_pair_merging(published, small, random_dna):
    for tokenizer in (published, small):
        sequence = random_dna(150, seed=9)
        assert [tokenizer.token(number) for number in tokenizer.encode(sequence)] == merged_by_hand(
            sequence, merges_of(tokenizer)
        )


def test_lower_case_is_the_same_base_and_other_letters_are_unknown_one_by_one(small):
    assert small.encode("acgtACGT") == small.encode("ACGTACGT")
    assert small.encode("ANNA") == [5, 0, 0, 5]
    assert small.decode(small.encode("ANNA")) == "ANNA"
    assert small.unknown_share("ANNA") == 0.5 and small.unknown_share("") == 0.0
    assert small.encode("") == [] and small.encode_many([]) == []


def test_training_learns_the_most_frequent_pair_first_and_is_the_same_each_time(random_dna):
    sequence = "ACGT" * 10 + random_dna(80, seed=1)
    words = [sequence[start : start + 256] for start in range(0, len(sequence), 256)]
    pairs = Counter(pair for word in words for pair in pairwise(word))
    tokenizer = DnaTokenizer.train([sequence.lower()], vocab=12)
    assert merges_of(tokenizer)[0] == pairs.most_common(1)[0][0]
    assert tokenizer.vocabulary_size == 12 and tokenizer.dna_tokens == 7
    again = DnaTokenizer.train([sequence], vocab=12)
    assert again._tokenizer.to_str() == tokenizer._tokenizer.to_str()


def test_training_cuts_at_other_letters_and_stops_where_pairs_are_rare():
    tokenizer = DnaTokenizer.train(["ACNAC", "GGRACT"], vocab=4096)
    assert merges_of(tokenizer) == [("A", "C")]
    rare = DnaTokenizer.train(["ACNAC", "GGRACT"], vocab=4096, min_frequency=4)
    assert merges_of(rare) == [] and rare.vocabulary_size == 9
    with pytest.raises(ValueError, match="no sequence of A, C, G and T"):
        DnaTokenizer.train(["NNN", ""])
    with pytest.raises(ValueError, match="a vocabulary of 8 has no room"):
        DnaTokenizer.train(["ACGT"], vocab=8)


def test_decoding_gives_the_sequence_back(small, random_dna):
    sequences = [random_dna(length, seed=length) for length in (1, 2, 33, 500)]
    coded = small.encode_many(sequences)
    assert coded == [small.encode(sequence) for sequence in sequences]
    assert [small.decode(ids) for ids in coded] == sequences
    assert [small.token_lengths[ids].sum() for ids in coded] == [1, 2, 33, 500]


def test_a_genome_is_coded_in_parts(small, random_dna):
    sequence = random_dna(2000, seed=5)
    whole, parts = small.encode(sequence), small.encode_genome(sequence, chunk=300)
    assert parts.dtype == np.int32 and small.decode(parts) == sequence
    assert parts.tolist() == [
        number for start in range(0, 2000, 300) for number in small.encode(sequence[start:][:300])
    ]
    assert small.encode_genome(sequence).tolist() == whole
    # Of the token borders only those near the six cuts differ.
    borders = [set(np.cumsum(small.token_lengths[np.asarray(ids)]).tolist()) for ids in (whole, parts)]
    strange = borders[0] ^ borders[1]
    assert strange and all(min(place % 300, -place % 300) < 60 for place in strange)
    assert small.encode_genome("").shape == (0,)
    with pytest.raises(ValueError, match="chunk is 0"):
        small.encode_genome("ACGT", chunk=0)


def test_added_tokens_stand_behind_and_change_no_sequence(small, random_dna, tmp_path):
    sequence = random_dna(200, seed=3)
    before, size = small.encode(sequence), small.vocabulary_size
    assert small.add(["<task:H3>", "<label:a b>", "<task:H3>"], "task") == [size, size + 1, size]
    assert small.add(["[EOS]", "<task:H3>", "[MASK]"], "end") == [size + 2, size, 4]
    assert small.kinds == {"<task:H3>": "task", "<label:a b>": "task", "[EOS]": "end"}
    assert small.of_kind("task") == [size, size + 1] and "<task:H3>" in small and "<task:H4>" not in small
    assert small.vocabulary_size == size + 3 and small.dna_tokens == size - 5
    assert small.encode(sequence) == before
    assert small.token_lengths.tolist()[-3:] == [0, 0, 0]
    small.save(tmp_path / "run")
    again = DnaTokenizer.load(tmp_path / "run")
    assert again.kinds == small.kinds and again.encode(sequence) == before
    assert again.decode([4, size]) == "[MASK]<task:H3>"
    assert {file.name for file in (tmp_path / "run").iterdir()} == {"tokenizer.json", "added_tokens.json"}
    assert DnaTokenizer.load(tmp_path / "run" / "tokenizer.json").dna_tokens == small.dna_tokens
    (tmp_path / "run" / "added_tokens.json").unlink()
    assert DnaTokenizer.load(tmp_path / "run").token_id("[EOS]") == size + 2


def test_added_tokens_may_hold_any_text(small, tmp_path):
    tokens = ["<text: the>", "<text:\n>", "<text:é µ>", "<text:<>", "<text:A>", "<text:a>", "<text:>>", "<label: a >"]
    numbers = small.add(tokens, "text")
    assert numbers == list(range(64, 64 + len(tokens)))
    small.save(tmp_path)
    again = DnaTokenizer.load(tmp_path)
    assert [again.token(number) for number in numbers] == tokens
    assert [again.token_id(token) for token in tokens] == numbers and again.of_kind("text") == numbers


def test_what_cannot_be_coded_is_said(small):
    with pytest.raises(ValueError, match=r"'\[' at position 4 is no letter"):
        small.encode("ACG[MASK]ACG")
    with pytest.raises(ValueError, match="' ' at position 2"):
        small.encode_many(["ACG", "A C"])
    with pytest.raises(ValueError, match="no token '<task:x>'"):
        small.token_id("<task:x>")
    with pytest.raises(ValueError, match="there is no token 99999"):
        small.decode([5, 99_999])
    with pytest.raises(ValueError, match="there is no token -1"):
        small.decode([-1])
    with pytest.raises(ValueError, match="'GATTACA' does not"):
        small.add(["GATTACA"], "label")


def test_files_that_are_no_tokenizer_of_dna_are_named(tmp_path):
    with pytest.raises(ValueError, match="there is no tokenizer at"):
        DnaTokenizer.load(tmp_path)
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    with pytest.raises(ValueError, match=r"is not a readable tokenizer\.json"):
        DnaTokenizer.load(file)
    specials = {token: number for number, token in enumerate(SPECIALS)}
    cases = {
        "WordLevel, not a byte-pair encoding": models.WordLevel(specials, unk_token="[UNK]"),
        r"\[UNK\] has the id None": models.BPE({"A": 0}, []),
        "token 5 is 'the'": models.BPE(specials | {"the": 5}, []),
        "lacks the base T": models.BPE(specials | {"A": 5, "C": 6, "G": 7}, []),
    }
    for reason, model in cases.items():
        Tokenizer(model).save(str(file))
        with pytest.raises(ValueError, match=f"is not a tokenizer of DNA: .*{reason}"):
            DnaTokenizer.load(file)
