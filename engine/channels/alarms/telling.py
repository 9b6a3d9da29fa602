"""Who is told of an alarm, and when: at once, after quiet hours, after a silence, again when nobody comes.

In: open alarms, those that are over, the settings, the silences. Out: notices in the staff database, each
made once. Whoever was told that it began is told that it is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo

from engine.channels.alerts import AlertRule, duration_ms
from engine.kernel.alert_settings import AlertSettings
from engine.staff.alarms import AlarmRow
from engine.staff.staff import Staff

__all__ = ["in_quiet_hours", "tell", "ways"]


def ways(settings: AlertSettings, escalation: bool = False) -> list[str]:
    """Return the ways people are told by: `mail:<address>`, `webhook:<name>`, `destination:<name>`."""
    mail = settings.mail
    to = (mail.escalate_to if escalation else mail.to) if mail is not None else ()
    hooks = (hook.name for hook in settings.webhooks if hook.escalation == escalation)
    return [
        *(f"mail:{address}" for address in to),
        *(f"webhook:{name}" for name in hooks),
        *(f"destination:{name}" for name in settings.destinations),
    ]


def in_quiet_hours(quiet: tuple[int, int] | None, zone: tzinfo | None, now: int) -> bool:
    """Say whether it is quiet at a moment; hours may reach over midnight."""
    if quiet is None:
        return False
    at = datetime.fromtimestamp(now / 1000, zone)
    minute, (begin, end) = at.hour * 60 + at.minute, quiet
    return begin <= minute < end if begin <= end else minute >= begin or minute < end


def tell(settings: AlertSettings, staff: Staff, rules: Mapping[str, AlertRule], now: int) -> None:
    """Make the notices that are due. `rules`: by key, for those that are told at most so often."""
    quiet = in_quiet_hours(settings.quiet, settings.zone, now)
    silences = staff.silences.now_silent()
    first, second = ways(settings), ways(settings, escalation=True)
    later = (
        None if settings.escalate_after == "never" else duration_ms(settings.escalate_after, "config.yaml")
    )
    for alarm in staff.alarms.open():
        if alarm.told is not None and alarm.escalated is not None:
            continue
        if quiet and not alarm.urgent:
            continue
        if any(silence.covers(alarm.channel, alarm.kind) for silence in silences):
            continue
        if alarm.told is None:
            if alarm.acknowledged is None and not _too_soon(staff, rules.get(alarm.key), alarm, now):
                staff.notices.make(alarm.id, "raised", first)
                staff.alarms.note([alarm.id], "told")
        elif later is not None and alarm.acknowledged is None and now - alarm.told >= later:
            staff.notices.make(alarm.id, "escalated", second)
            staff.alarms.note([alarm.id], "escalated")
    for alarm in staff.alarms.untold_ends():
        if not quiet or alarm.urgent:
            told = [*first, *(second if alarm.escalated is not None else ())]
            staff.notices.make(alarm.id, "over", told)
            staff.alarms.note([alarm.id], "over_told")


def _too_soon(staff: Staff, rule: AlertRule | None, alarm: AlarmRow, now: int) -> bool:
    """Say whether the same alarm was told of so lately that `at_most:` keeps this one back."""
    if rule is None or not rule.at_most_ms:
        return False
    last = staff.alarms.last_told(alarm.key, alarm.id)
    return last is not None and now - last < rule.at_most_ms
