"""Times: precision is never raised, zones never guessed; hours that come twice or never keep their day."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapping_maker import maps_of, rows, run_segment, small

from engine.mapping.dates import read_date, read_datetime, read_instant, read_time


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1980", "1980"),
        ("198001", "1980-01"),
        ("19800131", "1980-01-31"),
        ("198001312359", "1980-01-31"),
        ("19800131235959-0500", "1980-01-31"),
        ("20260501233000+1400", "2026-05-01"),
        ("20240229", "2024-02-29"),
        ("20230229", None),
        ("00000101", None),
        ("198000", None),
        ("1980-01-31", None),
        ("80", None),
        ("", None),
    ],
)
def test_date_is_the_day_as_written(text: str, found: str | None) -> None:
    assert read_date(text) == found


CHICAGO = "America/Chicago"


@pytest.mark.parametrize(
    ("text", "zone", "value", "lost"),
    [
        ("2026", "", "2026", ""),
        ("202605", "", "2026-05", ""),
        ("20260501", "", "2026-05-01", ""),
        ("202605010830", CHICAGO, "2026-05-01T08:30:00-05:00", ""),
        ("202601010830", CHICAGO, "2026-01-01T08:30:00-06:00", ""),
        ("20260501083015.1234", CHICAGO, "2026-05-01T08:30:15.1234-05:00", ""),
        ("202605010830+0200", CHICAGO, "2026-05-01T08:30:00+02:00", ""),
        ("202605010830Z", "", "2026-05-01T08:30:00Z", ""),
        ("202605010830", "+02:00", "2026-05-01T08:30:00+02:00", ""),
        ("202605010830", "", "2026-05-01", "no-zone"),
        ("2026050108", CHICAGO, "2026-05-01", "hour-only"),
        ("202611010130", CHICAGO, "2026-11-01", "dst-ambiguous"),
        ("202603080230", CHICAGO, "2026-03-08", "dst-gap"),
        ("202611010130-0500", CHICAGO, "2026-11-01T01:30:00-05:00", ""),
        ("202611010330", CHICAGO, "2026-11-01T03:30:00-06:00", ""),
    ],
)
def test_date_time(text: str, zone: str, value: str, lost: str) -> None:
    assert read_datetime(text, zone) == (value, lost)


@pytest.mark.parametrize(
    "text", ["202605012460", "202605012400", "20260501250000", "202605010830+1500", "yesterday"]
)
def test_a_time_that_is_none(text: str) -> None:
    assert read_datetime(text, CHICAGO) is None


def test_instant_wants_seconds_and_a_zone() -> None:
    assert read_instant("20260501083015-0500", "") == ("2026-05-01T08:30:15-05:00", "")
    assert read_instant("202605010830-0500", "") == ("", "too-coarse")
    assert read_instant("20260501083015", "") == ("", "no-zone")
    assert read_instant("20261101013000", CHICAGO) == ("", "dst-ambiguous")


def test_time_of_day() -> None:
    assert read_time("083015") == ("08:30:15", "")
    assert read_time("083015.5+0200") == ("08:30:15.5", "offset-dropped")
    assert read_time("0830") == ("", "too-coarse")
    assert read_time("2530") is None


@given(st.datetimes().filter(lambda d: d.year >= 1900), st.integers(4, 14).filter(lambda n: n % 2 == 0))
def test_what_was_not_written_is_not_made_up(moment: object, digits: int) -> None:
    text = f"{moment:%Y%m%d%H%M%S}"[:digits]
    found = read_datetime(text, "+00:00")
    assert found is not None
    assert found.value.replace("-", "").replace("T", "").replace(":", "").split("+")[0].startswith(text[:8])
    if digits <= 10:
        assert len(found.value) == {4: 4, 6: 7, 8: 10, 10: 10}[digits]


SITE = "site: chi\ntimezone: America/Chicago\n"


@pytest.mark.parametrize(
    ("pid29", "value", "code"),
    [
        ("202611010130", "2026-11-01", "dst-ambiguous"),
        ("202603080230", "2026-03-08", "dst-gap"),
        ("2026050108", "2026-05-01", "hour-only"),
    ],
)
def test_what_was_lost_is_flagged_and_kept_beside(pid29: str, value: str, code: str) -> None:
    out = small("deceasedDateTime: PID-29", f"PID|1{'|' * 28}{pid29}", site=SITE)
    assert out["deceasedDateTime"] == value
    assert out["_deceasedDateTime"]["extension"][0]["valueString"] == pid29
    assert out.codes == [code]


def test_the_offset_of_msh_is_not_that_of_others() -> None:
    out = small("deceasedDateTime: PID-29", f"PID|1{'|' * 28}202605010830")
    assert (out["deceasedDateTime"], out.codes) == ("2026-05-01", ["no-zone"])


def test_a_date_element_takes_the_day_of_the_sender() -> None:
    maps = maps_of(rows("birthDate: PID-7"), sites=[SITE])
    out = run_segment(maps, "PID_Patient", "PID|1||||||20260501233000+1400", "chi")
    assert (out["birthDate"], out.codes) == ("2026-05-01", [])


def test_what_is_no_time_is_left_out_and_flagged() -> None:
    out = small("birthDate: PID-7\ndeceasedDateTime: PID-29", f"PID|1||||||soon{'|' * 22}20269901")
    assert out.body == {}
    assert out.codes == ["not-a-date", "not-a-time"]
