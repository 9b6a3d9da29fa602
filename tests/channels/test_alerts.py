"""Lines of `alert:`: what is read, what is refused, and when each is on."""

from __future__ import annotations

import pytest

from engine.channels.alerts import State, judge, read_alert, span_words
from engine.kernel.errors import ConfigError

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"when": "held >= 3"}, "is not known"),
        ({"when": "silent for ever"}, "is not a time"),
        ({"when": "oldest waiting > 5"}, "is not a time"),
        ({"when": "held > 3", "who": "me"}, "does not know who"),
        ({"when": "held > 3", "at_most": "often"}, "is not a time"),
        ({"when": "held > 3", "urgent": "yes"}, "urgent"),
        ({}, "is not known"),
    ],
)
def test_a_line_that_says_nothing_is_refused(line: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_alert(line, "channels/lab.yaml:4")


@pytest.mark.parametrize(
    ("when", "quiet", "loud", "value"),
    [
        ("held > 2", State(held=2), State(held=3), 3),
        ("parked > 2", State(held=2), State(held=3), 3),
        ("waiting > 5", State(waiting=5), State(waiting=6), 6),
        ("unmapped codes > 0", State(), State(unmapped=1), 1),
        ("silent for 2 hours", State(last=DAY - 2 * HOUR), State(last=DAY - 2 * HOUR - 1), 7200),
        (
            "oldest waiting > 10 minutes",
            State(oldest=DAY - 10 * MINUTE),
            State(oldest=DAY - 11 * MINUTE),
            660,
        ),
        (
            "silent against the usual",
            State(last=DAY - HOUR, missed=4.9),
            State(last=DAY - HOUR, missed=5.0),
            3600,
        ),
    ],
)
def test_each_kind_is_off_and_on(when: str, quiet: State, loud: State, value: int) -> None:
    rule = read_alert({"when": when, "say": "call the lab", "at_most": "daily", "urgent": True}, "x")
    assert (rule.say, rule.at_most_ms, rule.urgent) == ("call the lab", DAY, True)
    assert judge(rule, quiet, 0, DAY) is None
    assert judge(rule, loud, 0, DAY) == value


def test_a_channel_that_never_had_a_message_is_silent_from_the_start_on() -> None:
    rule = read_alert({"when": "silent for 1 hour"}, "x")
    assert judge(rule, State(), 0, HOUR) is None
    assert judge(rule, State(), 0, HOUR + 1) == 3600
    usual = read_alert({"when": "silent against the usual"}, "x")
    assert judge(usual, State(missed=99), 0, DAY) is None  # nothing is usual of it


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 seconds"), (1, "1 second"), (60, "1 minute"), (3600, "60 minutes"), (7300, "2 hours")],
)
def test_spans_in_words(seconds: float, words: str) -> None:
    assert span_words(seconds) == words
    assert span_words(seconds + 3 * 86400).endswith("days")
