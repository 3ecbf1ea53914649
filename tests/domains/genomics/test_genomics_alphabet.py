"""The alphabet: cleaning against closed answers, complements against Biopython."""

import pytest
from Bio.Seq import Seq, reverse_complement_rna
from hypothesis import given
from hypothesis import strategies as st

from domains.genomics.sequences.alphabet import (
    IUPAC,
    POLICIES,
    Cleaned,
    InvalidSequence,
    Piece,
    ambiguous_share,
    clean,
    reverse_complement,
)


def refused(raw, policy="split", where=""):
    with pytest.raises(InvalidSequence) as caught:
        clean(raw, policy, where=where)
    return caught.value


@pytest.mark.parametrize("policy", POLICIES)
def test_clean_dna_is_one_upper_case_piece(policy):
    assert clean("ACgtU", policy) == Cleaned((Piece(0, "ACGTT"),), 5, 0, 2)
    assert clean("", policy) == Cleaned((), 0, 0, 0)


def test_policies_of_ambiguity():
    raw = "acgtNNRACGyT"
    assert clean(raw, "split").pieces == (Piece(0, "ACGT"), Piece(7, "ACG"), Piece(11, "T"))
    assert clean(raw, "mask").pieces == (Piece(0, "ACGTNNNACGNT"),)
    assert clean(raw, "split").ambiguous_share == ambiguous_share(raw) == 4 / 12
    assert clean("NNNN", "split").pieces == ()
    error = refused(raw, "error", "chr1")
    assert (error.code, error.reason) == ("ambiguous", "chr1: 'N' at position 5 names no single base")
    with pytest.raises(ValueError, match="error, split, mask, resolve, got 'drop'"):
        clean(raw, "drop")


def test_resolved_letters_are_allowed_drawn_evenly_and_depend_on_seed_and_name_alone():
    raw = "".join(IUPAC) * 3000 + "A" * 40_000
    resolved = clean(raw, "resolve", seed=3, where="r1").pieces[0].sequence
    for k, code in enumerate(IUPAC):
        drawn = resolved[k : 3000 * len(IUPAC) : len(IUPAC)]
        assert set(drawn) == set(IUPAC[code])
        for base in IUPAC[code]:
            # Five standard deviations of a binomial count.
            share = 1 / len(IUPAC[code])
            assert abs(drawn.count(base) - 3000 * share) < 5 * (3000 * share * (1 - share)) ** 0.5
    assert clean(raw, "resolve", seed=3, where="r1").pieces[0].sequence == resolved
    assert clean(raw, "resolve", seed=3, where="r2").pieces[0].sequence != resolved
    assert clean(raw, "resolve", seed=4, where="r1").pieces[0].sequence != resolved


@pytest.mark.parametrize(
    ("raw", "code", "says"),
    [
        ("ACG--T", "gap", "x: a gap ('-') at position 4"),
        ("ACG.T", "gap", "position 4"),
        ("MKLVFAEQRR", "protein", "looks like protein (letters E, F, L, Q)"),
        ("MKVSAGHDWRRMK", "protein", "11 of its 13 letters are no bases"),
        ("ACL", "letters", "'L' at position 3 is no letter of DNA (it would be one of protein)"),
        ("AC3T", "letters", "'3' at position 3"),
        ("AC GT", "letters", "' ' at position 3"),
        ("ACGé", "letters", "'é' at position 4"),
    ],
)
def test_what_is_no_dna_is_named(raw, code, says):
    for policy in POLICIES:
        error = refused(raw, policy, "x")
        assert error.code == code
        assert error.reason.startswith("x: ")
        assert says in error.reason
        assert error.remedy


@given(st.text("ACGTRYSWKMBDHVNacgtryswkmbdhvn", max_size=60))
def test_reverse_complement_agrees_with_biopython_and_is_its_own_inverse(sequence):
    assert reverse_complement(sequence) == str(Seq(sequence).reverse_complement())
    assert reverse_complement(reverse_complement(sequence)) == sequence


def test_reverse_complement_of_rna_and_of_other_letters():
    assert reverse_complement("ACGU") == reverse_complement_rna("ACGU").replace("U", "T")
    with pytest.raises(InvalidSequence, match="a gap "):
        reverse_complement("A-C")


@given(st.text("ACGTNRYacgtn", max_size=80))
def test_pieces_lie_where_they_say_and_hold_every_base(sequence):
    cleaned = clean(sequence, "split") if _is_dna(sequence) else None
    if cleaned is None:
        return
    for piece in cleaned.pieces:
        assert sequence[piece.start : piece.start + len(piece.sequence)].upper() == piece.sequence
    assert sum(len(piece.sequence) for piece in cleaned.pieces) == cleaned.length - cleaned.ambiguous
    assert cleaned.soft_masked == sum(letter.islower() for letter in sequence)


def _is_dna(sequence):
    codes = sum(letter in "RY" for letter in sequence)
    return len(sequence) < 10 or 2 * codes <= len(sequence)
