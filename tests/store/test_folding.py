import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.store.folding import TERM_CHARS_MAX, TERMS_MAX, fold, terms
from tests.wire.sampling import SAMPLE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ÜBER", "über"),
        ("u\u0308ber", "über"),
        ("Straße", "STRASSE"),
        ("ПРИВЕТ", "привет"),
        ("ｶﾞﾗｽ", "ガラス"),
        ("Ｆｕｌｌ　width", "full width"),
        ("ﻣﺮﺣﺒﺎ", "مرحبا"),
        ("می\u200cخواهم", "میخواهم"),
        ("❤\ufe0f", "❤"),
        ("co\u00adoperate", "cooperate"),
        ("  a\t\nb  ", "a b"),
        ("a\0b\ud800c", "abc"),
    ],
)
def test_what_looks_alike_is_found_alike(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("Red kite", ["red", "kite"]),
        ('"Red  Kite" harbour', ["red kite", "harbour"]),
        ("red RED rEd", ["red"]),
        ('un"balanced', ["un", "balanced"]),
        ('""" " "', []),
        ("", []),
        ("50% a_b c++ AND OR NOT NEAR(x) *", ["50%", "a_b", "c++", "and", "or", "not", "near(x)", "*"]),
        ("你好 世界", ["你好", "世界"]),
    ],
)
def test_a_query_is_words_and_quoted_stretches(query: str, wanted: list[str]) -> None:
    assert terms(query) == wanted


@pytest.mark.soak
@SAMPLE
@example("\u1100\u200b\u1161")
@given(st.text())
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert unicodedata.is_normalized("NFKC", fold(text))


@pytest.mark.soak
@SAMPLE
@given(st.text())
def test_terms_are_bounded_and_folded_and_hold_no_quotes(query: str) -> None:
    found = terms(query)
    assert len(found) <= TERMS_MAX
    for term in found:
        assert 0 < len(term) <= TERM_CHARS_MAX
        assert '"' not in term
        assert term in fold(query)
