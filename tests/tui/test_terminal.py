"""The columns that text takes in a terminal, and text cut to them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from focus_tui.terminal import NARROW, cells, cut, fitted, padded

WORDS = ["", "loss ▁▂█ ★", "한글실험", "Ω_m 0.30  σ_8", "e\u0301", "実験", "ε▲○·…", "👨‍👩‍👧 ✅", "a\u200db", "ﷺ"]


def test_every_letter_that_counts_as_narrow_is_narrow():
    narrow = [chr(c) for c in range(0x110000) if re.fullmatch(NARROW, chr(c))]
    assert len(narrow) > 1000
    assert [c for c in narrow if cell_len(c) != 1] == []


@pytest.mark.parametrize("text", WORDS)
def test_text_is_as_wide_as_the_dashboard_draws_it(text):
    assert cells(text) == cell_len(text)


def test_wide_letters_count_twice_and_marks_not_at_all():
    assert cells("실험 a") == 6
    assert cells("e\u0301") == 1


def test_text_is_cut_and_padded_to_columns():
    assert cut("실험 이름", 5) == "실험…"
    assert cut("short", 5) == "short"
    assert cut("words", 0) == ""
    assert fitted("한글실험", 5) == "한글…"
    assert fitted("한글실험", 4) == "한… "
    assert fitted("ab", 4) == "ab  "
    assert padded("한", 4) == "한  "
    assert padded("longer", 4) == "longer"


@given(st.text(st.characters(exclude_categories=["C"]), max_size=20), st.integers(0, 30))
def test_cut_text_never_exceeds_its_columns(text, columns):
    assert cells(cut(text, columns)) <= columns
    assert cells(fitted(text, columns)) == columns
