"""Sends the notices that are due, and keeps what was answered.

In: notices of the staff database. Out: mails, posts, events. A notice that fails is tried again after a
growing pause; one whose way is no longer in the settings is given up.
"""

from __future__ import annotations

import logging

from engine.channels.alarms.publishing import publish
from engine.channels.alarms.wording import as_json, mail_of
from engine.destinations.notices import post_notice, send_mail
from engine.kernel.clock import now_ms
from engine.kernel.config import Config
from engine.kernel.errors import HubError
from engine.staff.notices import Notice
from engine.staff.staff import Staff
from engine.store.audit import Audit

__all__ = ["send_due", "send_one"]

log = logging.getLogger("hub.alert")


def send_due(config: Config, staff: Staff, audit: Audit) -> int:
    """Send what is due; returns how many were tried."""
    due = staff.notices.take()
    for notice in due:
        try:
            answer = send_one(config, staff, audit, notice)
        except HubError as e:
            log.warning("notice %d by %s: %s", notice.id, notice.way.partition(":")[0], e.what)
            staff.notices.done(notice, False, str(e))
        else:
            staff.notices.done(notice, True, answer)
    return len(due)


def send_one(config: Config, staff: Staff, audit: Audit, notice: Notice) -> str:
    """Send one notice and return the answer. Raises HubError."""
    alarm = staff.alarms.get(notice.alarm) if notice.alarm is not None else None
    row, hash_ = audit.head()
    head, now = f"{row}:{hash_.hex()}", now_ms()
    kind, _, name = notice.way.partition(":")
    settings = config.alerts
    if kind == "mail" and settings.mail is not None:
        ca = config.below_root(settings.mail.ca) if settings.mail.ca else None
        subject, text = mail_of(config, alarm, notice.event, head, now)
        return send_mail(settings.mail, ca, name, subject, text, notice.once)
    told = as_json(config, alarm, notice.event, head, now)
    if kind == "destination" and name in settings.destinations:
        return publish(config, name, "alert", told, notice.once, now)
    hook = next((hook for hook in settings.webhooks if kind == "webhook" and hook.name == name), None)
    if hook is None:
        raise HubError(f"{notice.way} is no longer in the settings")
    ca = config.below_root(hook.ca) if hook.ca else None
    return post_notice(hook, ca, told, notice.once, now)
