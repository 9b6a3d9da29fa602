"""Who is told of critical results, and when: at once, and again while nobody takes one over.

In: open rows, the settings. Out: notices, each made once, and sent. Neither quiet hours nor silences hold
them back. A notice that fails is tried again within seconds; the page of the result shows every try.
"""

from __future__ import annotations

import logging

from engine.channels.alarms.publishing import check_named, publish
from engine.channels.alerts import duration_ms
from engine.channels.critical.wording import as_json, mail_of
from engine.destinations.notices import post_notice, send_mail
from engine.kernel.clock import now_ms
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError, HubError
from engine.staff.criticals import CriticalRow
from engine.staff.notices import Notice
from engine.staff.staff import Staff

__all__ = [
    "ESCALATED_FOR",
    "check_settings",
    "default_ms",
    "next_escalation",
    "send_due",
    "send_one",
    "tell",
    "ways",
]

log = logging.getLogger("hub.critical")

ESCALATED_FOR = 86_400_000
"""For so many ms a result is told again and again; after that only an alarm speaks of it."""
_ONE_STEP = 20  # rows told in one go


def ways(config: Config, escalation: bool = False) -> list[str]:
    """Return the ways people are told by: `mail:<address>`, `webhook:<name>`, `destination:<name>`."""
    settings = config.critical
    to = settings.escalate_mail if escalation else settings.mail
    hooks = settings.escalate_webhooks if escalation else settings.webhooks
    return [
        *(f"mail:{address}" for address in to),
        *(f"webhook:{name}" for name in hooks),
        *(f"destination:{name}" for name in settings.destinations),
    ]


def check_settings(config: Config) -> None:
    """Refuse ways that lead nowhere, and times that are none. Raises ConfigError."""
    where, settings = config.at("critical"), config.critical
    if (settings.mail or settings.escalate_mail) and config.alerts.mail is None:
        raise ConfigError(
            "critical: names addresses, and there is no mail server",
            where=where,
            remedy="name one under alerts: mail:",
        )
    known = {hook.name for hook in config.alerts.webhooks}
    for name in (*settings.webhooks, *settings.escalate_webhooks):
        if name not in known:
            raise ConfigError(
                f"critical: there is no webhook {name}",
                where=where,
                remedy=f"alerts: webhooks: has {', '.join(sorted(known)) or 'none'}",
            )
    check_named(config, settings.destinations, where)
    for word in ("escalate_after", "alarm_after"):
        if (text := getattr(settings, word)) != "never":
            duration_ms(text, f"{where}: {word}")


def default_ms(config: Config) -> int | None:
    """Return after how long a result is told to the second list where no rule says it; None: never."""
    text = config.critical.escalate_after
    return None if text == "never" else duration_ms(text, config.at("critical"))


def next_escalation(row: CriticalRow) -> int | None:
    """Return when a row is told (again) to the second list, if nobody takes it over."""
    if row.escalate_ms is None or not row.open:
        return None
    due = row.raised + row.escalate_ms * (row.escalations + 1)
    return due if due < row.raised + ESCALATED_FOR else None


def tell(config: Config, staff: Staff, now: int) -> int:
    """Make the notices that are due; returns how many rows were told or escalated."""
    first, second = ways(config), ways(config, escalation=True)
    untold = staff.criticals.untold(_ONE_STEP) if first else []
    for row in untold:
        staff.critical_notices.make(row.id, row.kind, first)
        staff.criticals.was_told(row.id)
    waiting = staff.criticals.to_escalate(now, ESCALATED_FOR, _ONE_STEP) if first or second else []
    for row in waiting:
        assert row.escalate_ms is not None
        times = (now - row.raised) // row.escalate_ms  # those missed while nothing ran are one
        staff.critical_notices.make(row.id, f"escalated {times}", second or first)
        staff.criticals.was_escalated(row.id, times)
    return len(untold) + len(waiting)


def send_due(config: Config, staff: Staff) -> list[Notice]:
    """Send what is due next; returns it where it arrived."""
    sent = []
    for notice in staff.critical_notices.take(1):
        try:
            answer = send_one(config, staff, notice)
        except HubError as e:
            log.warning("notice %d by %s: %s", notice.id, notice.way.partition(":")[0], e.what)
            staff.critical_notices.done(notice, False, str(e))
        else:
            staff.critical_notices.done(notice, True, answer)
            sent.append(notice)
    return sent


def send_one(config: Config, staff: Staff, notice: Notice) -> str:
    """Send one notice and return the answer. Raises HubError."""
    row = staff.criticals.get(notice.alarm) if notice.alarm is not None else None
    kind, _, name = notice.way.partition(":")
    settings, once, now = config.alerts, f"critical:{notice.once}", now_ms()
    if kind == "mail" and settings.mail is not None:
        ca = config.below_root(settings.mail.ca) if settings.mail.ca else None
        subject, text = mail_of(config, row, notice.event, now)
        return send_mail(settings.mail, ca, name, subject, text, once)
    told = as_json(config, row, notice.event, now)
    if kind == "destination" and name in config.critical.destinations:
        return publish(config, name, "critical", told, once, now)
    hook = next((hook for hook in settings.webhooks if kind == "webhook" and hook.name == name), None)
    if hook is None:
        raise HubError(f"{notice.way} is no longer in the settings")
    ca = config.below_root(hook.ca) if hook.ca else None
    return post_notice(hook, ca, told, once, now)
