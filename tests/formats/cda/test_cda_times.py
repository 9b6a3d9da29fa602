"""Times as senders write them, in the digits that the mapper reads."""

from __future__ import annotations

import pytest

from engine.formats.cda.times import compact


@pytest.mark.parametrize(
    ("said", "digits", "lost"),
    [
        ("201302031011", "201302031011", ""),
        ("20130203101112.25-0500", "20130203101112.25-0500", ""),
        ("2013020310", "2013020310", ""),
        ("2013-02-03", "20130203", ""),
        ("2013-02-03T10:11:12-05:00", "20130203101112-0500", ""),
        ("20130203T1011", "201302031011", ""),
        ("20130203 10:11:12Z", "20130203101112+0000", ""),
        ("20150722230000-5000", "20150722", "time"),
        ("20130000", "2013", "zero-part"),
        ("00010101", "", "not-a-time"),
        ("20130230", "", "not-a-time"),
        ("soon", "", "not-a-time"),
    ],
)
def test_a_time_in_digits_alone(said: str, digits: str, lost: str) -> None:
    assert compact(said) == (digits, lost)
