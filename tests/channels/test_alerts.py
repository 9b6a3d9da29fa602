"""Alarms: told once when they begin, once when they are over, and not more often than the file says."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from engine.channels.alerts import Alarms, State, read_alert

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def alarms(line: dict[str, object], file: Path | None = None) -> Alarms:
    return Alarms({"lab": [read_alert(line, "x")]}, began=0, file=file)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [r.getMessage() for r in caplog.records]
    caplog.clear()
    return found


@pytest.mark.parametrize(
    ("when", "quiet", "loud"),
    [
        ("held > 2", State(held=2), State(held=3)),
        ("waiting > 5", State(waiting=5), State(waiting=6)),
        ("unmapped codes > 0", State(), State(unmapped=1)),
        ("silent for 2 hours", State(last=DAY - 2 * HOUR), State(last=DAY - 2 * HOUR - 1)),
    ],
)
def test_each_kind_begins_and_ends(
    when: str, quiet: State, loud: State, caplog: pytest.LogCaptureFixture
) -> None:
    a = alarms({"when": when, "say": "call the lab"})
    assert a.look({"lab": quiet}, DAY) == []
    assert said(caplog) == []
    (on,) = a.look({"lab": loud}, DAY)
    assert (on.channel, on.when, on.say, on.since) == ("lab", when, "call the lab", DAY)
    (begun,) = said(caplog)
    assert begun.startswith(f"channel lab: {when}") and begun.endswith("call the lab")
    assert a.look({"lab": loud}, DAY) == [on] and said(caplog) == []  # a flood is one line
    assert a.look({"lab": quiet}, DAY) == []
    assert said(caplog) == [f"channel lab: {when} is over"]


def test_a_channel_that_never_had_a_message_is_silent_from_the_start_on() -> None:
    a = alarms({"when": "silent for 1 hour"})
    assert a.look({"lab": State()}, HOUR) == []
    (on,) = a.look({"lab": State()}, HOUR + 1)
    assert on.value == 3600


def test_at_most_daily_is_kept_also_over_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    line = {"when": "held > 0", "at_most": "daily"}
    file = tmp_path / "alerts.json"
    a = alarms(line, file)
    for n in range(5):  # it comes and goes
        a.look({"lab": State(held=1)}, DAY + n * HOUR)
        a.look({"lab": State(held=0)}, DAY + n * HOUR + 1)
    assert said(caplog) == ["channel lab: held > 0 (now 1)", "channel lab: held > 0 is over"]
    a = alarms(line, file)
    assert len(a.look({"lab": State(held=1)}, DAY + 10 * HOUR)) == 1  # shown
    assert said(caplog) == []  # and not said again
    a.look({"lab": State(held=1)}, 2 * DAY)
    assert said(caplog) == ["channel lab: held > 0 (now 1)"]


def test_a_damaged_file_of_what_was_told_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "alerts.json"
    file.write_text("[[1, 2")
    with caplog.at_level(logging.WARNING):
        (on,) = alarms({"when": "held > 0"}, file).look({"lab": State(held=1)}, DAY)
    assert on.value == 1 and "not known" in caplog.text
