"""The language of searches: what it reads, what it refuses and where, and that nothing else ever happens."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.channels.asked import (
    KINDS,
    STATES,
    All,
    Asked,
    Either,
    Held,
    Is,
    Named,
    Not,
    Received,
    Word,
    conditions,
    in_words,
    settled,
)
from engine.channels.asking import KEYS, BadQuery, read_query
from engine.channels.relaxing import hints, in_query

NOW = datetime(2026, 11, 21, 20, 15)
DAY, TODAY = timedelta(days=1), datetime(2026, 11, 21)


def at(hour: int, minute: int = 0, days: int = 0) -> datetime:
    return TODAY + timedelta(days=days, hours=hour, minutes=minute)


YESTERDAY = Received(TODAY - DAY, TODAY)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("", All(())),
        ("DOE", Word("DOE")),
        ("DOE, JANE", All((Word("DOE"), Word("JANE")))),
        ("ORD-1 718-7", All((Word("ORD-1"), Word("718-7")))),
        ('"parked"', Word("parked")),
        (
            "OBX-3.1=K and parked, yesterday",
            All((Held("OBX-3.1", "=", "K"), Is("state", "parked"), YESTERDAY)),
        ),
        ("obx(3.1=K)-5 >= 6.5", Held("OBX(3.1=K)-5", ">=", "6.5")),
        ('PID-5~"van der"', Held("PID-5", "~", "van der")),
        ("pid-3(2).1!=7", Held("PID-3(2).1", "!=", "7")),
        ("mrn:7 name:doe", All((Named("patient", "7"), Named("name", "doe")))),
        ("#88", Named("entry", "88")),
        ("entry:88", Named("entry", "88")),
        ("replays or refused", Either((Is("kind", "replay"), Is("kind", "refused")))),
        ("message", Word("message")),
        ("kind:messages|replays", Is("kind", "message|replay")),
        ("not channel:adt", Not(Is("channel", "adt"))),
        ("a or b c", Either((Word("a"), All((Word("b"), Word("c")))))),
        ("(a or b) c", All((Either((Word("a"), Word("b"))), Word("c")))),
        ("not (a, b)", Not(All((Word("a"), Word("b"))))),
        ("parked,", Is("state", "parked")),
        ("today", Received(TODAY, TODAY + DAY)),
        ("since 14:00", Received(at(14), None)),
        ("since yesterday", Received(TODAY - DAY, None)),
        ("after yesterday", Received(TODAY, None)),
        ("before 14:00", Received(None, at(14))),
        ("until 2026-11-20", Received(None, TODAY)),
        ("yesterday 13:00 to 14:00", Received(at(13, days=-1), at(14, days=-1))),
        ("yesterday since 14:00", Received(at(14, days=-1), TODAY)),
        ("between 8:00 and 9:30", Received(at(8), at(9, 30))),
        ("from 2026-11-18 to 2026-11-20", Received(TODAY - 3 * DAY, TODAY)),
        ("2026-11-20T08:15 to 2026-11-20 9:00", Received(at(8, 15, -1), at(9, days=-1))),
        ("2026-11-20", Received(TODAY - DAY, TODAY, "20261120")),
        ("last 7 days", Received(NOW - 7 * DAY, None)),
        ("last hour", Received(NOW - timedelta(hours=1), None)),
        ("last 24h", Received(NOW - DAY, None)),
        ("last", Word("last")),
        ("since Doe", All((Word("since"), Word("Doe")))),
    ],
)
def test_what_is_read(text: str, asked: Asked) -> None:
    assert read_query(text, NOW) == asked


@pytest.mark.parametrize(
    ("text", "where", "told"),
    [
        ("parked and", 10, "something is missing at the end"),
        ("and parked", 0, "a condition is missing"),
        ("a or or b", 5, "a condition is missing"),
        ("(parked", 0, "opened and not closed"),
        ("parked)", 6, "never opened"),
        ("DOE:JANE", 0, "before this colon is not known"),
        ("parked OBX-0=1", 7, "no place in a message"),
        ("OBX-5>high", 6, "only numbers"),
        ("OBX-5>NaN", 6, "only numbers"),
        ("OBX-3.1=", 0, "no value follows"),
        ('"DOE', 0, "not closed"),
        ('mrn:""', 4, "nothing stands between"),
        ("state:lost", 6, "this state is not known"),
        ("kind:odd", 5, "this kind is not known"),
        ("channel:|", 8, "no channel is named"),
        ("entry:x", 6, "an entry is a number"),
        ("since 25:00", 6, "no such hour"),
        ("2026-13-01", 0, "no such day"),
        ("9:00 to 8:00", 8, "ends before it begins"),
        ("between 8:00", 8, "between TIME needs"),
        ("(" * 20 + "a" + ")" * 20, 13, "too many brackets"),
        ("a " * 41, 0, "more than 40"),
        ("x" * 601, 600, "at most 600"),
        ("a\x00b", 0, "nobody can type"),
    ],
)
def test_what_is_refused_says_where_and_repeats_nothing(text: str, where: int, told: str) -> None:
    with pytest.raises(BadQuery, match=told) as found:
        read_query(text, NOW)
    assert found.value.at == where and found.value.where == f"character {where + 1}"
    assert "DOE" not in str(found.value) and "JANE" not in str(found.value)


WORDS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x24F, blacklist_characters='"|'), min_size=1, max_size=9
)
VALUES = WORDS.filter(lambda text: text.isprintable() and text.strip() == text)
NAMED = sorted({*KEYS.values()} - {"entry", "channel", "type", "sender", "cause", "state", "kind"})
PLACES = ("OBX-3.1", "PID-5", "OBX(3.1=K)-5", "MSH-10")
LEAVES = st.one_of(
    st.builds(Word, VALUES),
    st.builds(Named, st.sampled_from(NAMED), VALUES),
    st.builds(Named, st.just("entry"), st.integers(0, 10**9).map(str)),
    st.builds(Held, st.sampled_from(PLACES), st.sampled_from(("=", "!=", "~")), VALUES),
    st.builds(Held, st.just("OBX-5"), st.sampled_from((">", "<", ">=", "<=")), st.integers().map(str)),
    st.builds(Is, st.sampled_from(("channel", "type", "sender", "cause")), VALUES),
    st.builds(Is, st.just("state"), st.sampled_from(STATES)),
    st.builds(Is, st.just("kind"), st.sampled_from(KINDS)),
    st.builds(lambda a, b: Received(TODAY - a * DAY, TODAY + b * DAY), st.integers(0, 90), st.integers(1, 9)),
    st.builds(lambda a: Received(TODAY - a * DAY, None), st.integers(0, 90)),
    st.builds(lambda a: Received(None, NOW - a * DAY), st.integers(0, 90)),
)
ASKED = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: All(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Either(tuple(parts))),
    ),
    max_leaves=6,
)


@given(ASKED)
def test_what_is_written_is_read_again(asked: Asked) -> None:
    assert flat(read_query(in_query(asked), NOW)) == flat(asked)
    assert in_words(asked)
    assert isinstance(hints(asked), list)


def flat(asked: Asked) -> Asked:
    """Leave out brackets that change nothing: (a b) c is a b c."""
    if isinstance(asked, Not):
        return Not(flat(asked.part))
    if not isinstance(asked, (All, Either)):
        return asked
    parts: list[Asked] = []
    for part in map(flat, asked.parts):
        parts += part.parts if type(part) is type(asked) and isinstance(part, (All, Either)) else (part,)
    return type(asked)(tuple(parts))


@given(ASKED, st.integers(0, 2**16))
def test_a_not_that_is_moved_down_means_the_same(asked: Asked, dice: int) -> None:
    leaves = list(dict.fromkeys(conditions(asked)))

    def true(one: Asked) -> bool:
        if isinstance(one, Not):
            return not true(one.part)
        if isinstance(one, All):
            return all(map(true, one.parts))
        if isinstance(one, Either):
            return any(map(true, one.parts))
        return bool(dice >> leaves.index(one) & 1)

    moved = settled(asked)
    assert true(moved) == true(asked)
    assert not any(isinstance(one.part, (All, Either, Not)) for one in _nots(moved))


def _nots(asked: Asked) -> list[Not]:
    if isinstance(asked, Not):
        return [asked, *_nots(asked.part)]
    return [no for part in asked.parts for no in _nots(part)] if isinstance(asked, (All, Either)) else []


TYPED = 'and or not ( ) , " = > OBX-3.1 since last 7 days to 14:00 2026-11-20 0000-00-00 99:99 between : # é'
PIECES = st.sampled_from([*STATES, *KEYS, *KINDS, *TYPED.split(), "yesterday", " ", " ", " "])


@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(PIECES, max_size=14).map("".join),
        st.lists(PIECES, max_size=9).map(" ".join),
    )
)
def test_anything_that_is_typed_is_read_or_refused(text: str) -> None:
    try:
        asked = read_query(text, NOW)
    except BadQuery as e:
        assert 0 <= e.at <= len(text)
    else:
        assert flat(read_query(in_query(asked), NOW)) == flat(asked)
