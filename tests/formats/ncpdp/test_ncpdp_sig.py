"""A number of a structured Sig counts only where the words say it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.formats.ncpdp.sig import stands_in


@pytest.mark.parametrize(
    ("number", "words", "counts"),
    [
        ("1", "Take 1 tablet by mouth", "dose"),
        ("1.0", "Take one tablet by mouth", "dose"),
        ("2", "TAKE TWO CAPSULES", "dose"),
        ("0.5", "Take half a tablet", "dose"),
        ("0.5", "Take 1/2 tablet", "dose"),
        ("0.5", "Take ½ tablet", "dose"),
        ("1.5", "Take 1 1/2 tablets", "dose"),
        ("1.5", "Take one and a half tablets", "dose"),
        ("2.5", "Give 2.5 mL", "dose"),
        ("5", "Swish 5mL", "dose"),
        ("1", "Tome 1 tableta", "dose"),
        ("2", "twice a day", "times"),
        ("2", "2 times a day", "times"),
        ("2", "PO BID", "times"),
        ("3", "t.i.d.", "times"),
        ("1", "every morning", "times"),
        ("1", "once daily", "times"),
        ("6", "every 6 hours", "every"),
        ("6", "Q6H", "every"),
        ("2", "every other day", "every"),
        ("8", "every eight hours", "every"),
        ("4", "4x daily", "times"),
        ("30", "with food for 30 days", "for"),
        ("2", "for two weeks", "for"),
    ],
)
def test_what_the_words_say(number: str, words: str, counts: str) -> None:
    assert stands_in(number, words, counts)


@pytest.mark.parametrize(
    ("number", "words", "counts"),
    [
        ("1", "Take 2 tablets by mouth at bedtime", "dose"),
        ("1", "Take 2 tablets for 1 week", "dose"),
        ("2", "Take 1 tablet 2 times a day", "dose"),
        ("2", "Take 1 tablet every two hours", "dose"),
        ("1", "Take 1-2 tablets", "dose"),
        ("2", "Take 1-2 tablets", "dose"),
        ("1", "Take 1 to 2 tablets", "dose"),
        ("2", "Take 1 to 2 tablets", "dose"),
        ("1", "Take 1/2 tablet", "dose"),
        ("2", "Take 1/2 tablet", "dose"),
        ("1", "Take 1 1/2 tablets", "dose"),
        ("1", "Take 1½ tablets", "dose"),
        ("0.5", "Take 1 1/2 tablets", "dose"),
        ("0.5", "Take one and a half tablets", "dose"),
        ("1", "Take 10 mL", "dose"),
        ("5", "Take 2.5 mL", "dose"),
        ("2", "Take 2.5 mL", "dose"),
        ("5", "Take 1,5 mL", "dose"),
        ("2", "Take 1 tablet three times a day", "times"),
        ("4", "every 6 hours", "times"),
        ("2", "Take 2 tablets at bedtime", "times"),
        ("2", "Take 2 tablets at bedtime", "every"),
        ("4", "4 times a day", "every"),
        ("30", "Take 30 mL", "for"),
        ("3", "for 30 days", "for"),
        ("8", "every 4-8 hours", "every"),
        ("1", "", "dose"),
        ("", "Take 1 tablet", "dose"),
        ("one", "Take one tablet", "dose"),
        ("-1", "Take 1 tablet", "dose"),
        ("NaN", "Take 1 tablet", "dose"),
        ("0", "Take 0 tablets", "dose"),
    ],
)
def test_what_they_do_not_say_or_not_alone(number: str, words: str, counts: str) -> None:
    assert not stands_in(number, words, counts)


@given(st.text(max_size=20), st.text(max_size=200), st.sampled_from(["dose", "times", "every", "for"]))
def test_anything_is_yes_or_no(number: str, words: str, counts: str) -> None:
    assert stands_in(number, words, counts) in (True, False)
