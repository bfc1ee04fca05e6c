"""Error rates of transcripts, against jiwer's and by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raygrid.metrics.transcription import (
    NOTHING,
    ErrorRate,
    character_errors,
    edit_distance,
    plain,
    token_errors,
    word_errors,
)

CASES = {
    "nothing differs": ("k ɔ l", "k ɔ l", ErrorRate(0, 0, 0, 3)),
    "one is another": ("k ɔ l", "k ʌ l", ErrorRate(1, 0, 0, 3)),
    "one is missing": ("k ɔ l", "k l", ErrorRate(0, 1, 0, 3)),
    "one is too many": ("k ɔ l", "k ɔ l d", ErrorRate(0, 0, 1, 3)),
    "all is missing": ("k ɔ l", "", ErrorRate(0, 3, 0, 3)),
    "all is made up": ("", "k ɔ", ErrorRate(0, 0, 2, 0)),
    "a long sound is one token": ("d͡ʒ ɑ n", "t͡ʃ ɑ n", ErrorRate(1, 0, 0, 3)),
}
tokens = st.lists(st.sampled_from(["a", "aɪ", "k", "d͡ʒ", "oʊ"]), max_size=12)


@pytest.mark.parametrize(("reference", "hypothesis", "expected"), CASES.values(), ids=CASES)
def test_edits_are_counted_by_kind(reference, hypothesis, expected):
    assert token_errors(reference.split(), hypothesis.split()) == expected


@given(tokens, tokens)
def test_the_distance_is_the_shortest_way_of_dynamic_programming(one, other):
    row = list(range(len(other) + 1))
    for i, token in enumerate(one, 1):
        last, row[0] = row[0], i
        for j, wanted in enumerate(other, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (token != wanted))
    assert edit_distance(one, other) == row[-1] == edit_distance(other, one)


@given(tokens.filter(bool), tokens)
def test_rates_are_those_of_jiwer(reference, hypothesis):
    jiwer = pytest.importorskip("jiwer", reason="a peer's implementation, not installed here")
    ours = word_errors(" ".join(reference), " ".join(hypothesis))
    theirs = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    assert (ours.edits, ours.rate) == (theirs.substitutions + theirs.deletions + theirs.insertions, theirs.wer)


def test_words_ignore_white_space_and_characters_most_of_it():
    assert word_errors("call  nine\none", " call nine one ").edits == 0
    assert character_errors("call  nine", "callnine ") == ErrorRate(0, 1, 0, 9)


def test_a_corpus_is_the_sum_of_its_utterances_and_not_the_mean_of_rates():
    long, short = word_errors("a b c d e f g h i j", "a b c d e f g h i j"), word_errors("a", "b c")
    assert sum((long, short), NOTHING) == ErrorRate(1, 0, 1, 11)
    assert (long + short).rate == pytest.approx(2 / 11)
    assert short.rate == 2


def test_an_empty_reference_has_no_rate():
    assert word_errors("", "made up").rate is None


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("10 of Clubs.", "ten of clubs"),
        ("Call 911!", "call nine one one"),
        ("unless cold-hearted, it isn’t", "unless cold hearted it isn't"),
        ("07, 40 and 42", "zero seven forty and forty two"),
        ("  ", ""),
        ("café 'n' rock", "café n rock"),
    ],
)
def test_texts_are_compared_as_they_are_spoken(written, spoken):
    assert plain(written) == spoken
