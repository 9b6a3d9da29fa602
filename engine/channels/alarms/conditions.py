"""What is wrong of the channels at a moment: their rules, judged by the figures.

In: the rules of every channel, and how each channel is. Out: conditions, named so that the same trouble has
the same key tomorrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from engine.channels.alerts import AlertRule, State, judge, span_words
from engine.channels.definition import Channel
from engine.staff.alarms import Condition

__all__ = ["AT_ONCE", "KINDS", "of_channels", "rules_of", "words_of"]

KINDS = {
    "held": "messages wait for a person",
    "waiting": "messages wait for a worker",
    "oldest waiting": "a message has been waiting for long",
    "unmapped codes": "codes that no table has",
    "silent": "no message has come",
    "unusual silence": "no message has come, against the usual for this hour",
    "certificate": "a certificate expires",
    "disk": "the disk fills up",
    "process": "a process is not running",
    "restarts": "a process starts again and again",
    "database": "a database does not answer",
    "audit": "the audit was tampered with",
    "glass": "somebody broke the glass",
    "backup": "there is no recent backup",
    "destination": "a destination takes no deliveries",
    "undelivered": "deliveries wait for a person",
    "order": "orders wait for an answer or a result",
    "notice": "the other side did not tell what became of a message",
    "critical": "nobody takes over a critical result",
    "subscription": "a program is not called any more as it asked",
    "not compared": "a rule of critical results could not compare a result",
}
"""Every kind of alarm, in words."""

AT_ONCE = (
    "silent", "unusual silence", "glass", "backup", "critical", "not compared", "subscription",
    "order", "notice",
)  # fmt: skip
"""Kinds that are over as soon as their cause is gone: one message ends a silence."""


def rules_of(channels: Iterable[Channel], every: Sequence[AlertRule]) -> dict[str, tuple[AlertRule, ...]]:
    """Return the rules of each channel; its own line takes the place of one of the same kind for all."""
    return {
        c.name: (*c.alerts, *(rule for rule in every if rule.kind not in {own.kind for own in c.alerts}))
        for c in channels
    }


def of_channels(
    rules: Mapping[str, Sequence[AlertRule]], states: Mapping[str, State], began: int, now: int
) -> list[Condition]:
    """Return what is wrong of the channels."""
    found = []
    for channel, lines in rules.items():
        state = states.get(channel, State())
        for rule in lines:
            value = judge(rule, state, began, now)
            if value is not None:
                what = words_of(rule, value)
                key = f"{channel}|{rule.when}"
                found.append(Condition(key, rule.kind, what, channel, rule.say, value, rule.urgent))
    return found


def words_of(rule: AlertRule, value: int) -> str:
    """Say what is wrong in one line without patient data."""
    match rule.kind:
        case "held":
            return f"{_messages(value)} parked (alarm above {rule.limit:,})"
        case "waiting":
            return f"{_messages(value)} not yet worked on (alarm above {rule.limit:,})"
        case "unmapped codes":
            return f"{_messages(value)} of the last day with a code that no table has"
        case "oldest waiting":
            return f"the oldest message has been waiting for {span_words(value)}"
        case "unusual silence":
            return f"no message for {span_words(value)}, which is unusual for this hour"
        case _:
            return f"no message for {span_words(value)}"


def _messages(count: int) -> str:
    return f"{count:,} message{'' if count == 1 else 's'}"
