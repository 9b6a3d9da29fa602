"""A notice in words: what a mail says, what is posted. No patient data: channel, cause, count, link.

In: an alarm and what happened to it. Out: subject and text, or a JSON object. Every notice carries the newest
head of the audit, so that copies of it are on other machines (`hub audit verify --head`).
"""

from __future__ import annotations

from typing import Any

from engine.channels.alerts import span_words
from engine.kernel.clock import iso
from engine.kernel.config import Config
from engine.staff.alarms import AlarmRow

__all__ = ["TEST", "address_of", "as_json", "mail_of"]

_EVENTS = {
    "raised": "ALARM",
    "escalated": "STILL ON",
    "over": "over",
    "test": "test",
}
TEST = "This is a test: nothing is wrong."


def address_of(config: Config) -> str:
    """Return what links in notices begin with."""
    if config.alerts.link or config.console.proxy:
        return (config.alerts.link or config.console.proxy).rstrip("/")
    return f"{'https' if config.console.tls else 'http'}://{config.console.listen}"


def mail_of(config: Config, alarm: AlarmRow | None, event: str, head: str, now: int) -> tuple[str, str]:
    """Return the subject and the text of a mail."""
    said = as_json(config, alarm, event, head, now)
    about = f"{said['channel']}: {said['what']}" if said["channel"] else said["what"]
    subject = f"[{config.hub} {config.environment}] {_EVENTS[event]}: {about}"
    lines = [about]
    if alarm is not None:
        if event == "escalated":
            lines.append(f"Nobody has acknowledged it for {span_words((now - alarm.raised) / 1000)}.")
        if event == "over":
            lines.append(f"It was on for {span_words(((alarm.cleared or now) - alarm.raised) / 1000)}.")
        if alarm.say and event != "over":
            lines.append(alarm.say)
        lines.append(f"Since {said['since']}")
    lines += ["", said["link"], "", f"hub: {config.hub} ({config.environment})", f"audit head: {head}"]
    return " ".join(subject.split())[:200], "\n".join(lines) + "\n"


def as_json(config: Config, alarm: AlarmRow | None, event: str, head: str, now: int) -> dict[str, Any]:
    """Return the object that is posted."""
    base = address_of(config)
    common = {"hub": config.hub, "environment": config.environment, "event": event, "at": iso(now)}
    if alarm is None:
        return {
            **common,
            "alarm": None,
            "channel": "",
            "what": TEST,
            "link": f"{base}/alerts",
            "audit_head": head,
        }
    return {
        **common,
        "alarm": alarm.id,
        "channel": alarm.channel,
        "kind": alarm.kind,
        "what": alarm.what,
        "say": alarm.say,
        "count": alarm.value,
        "urgent": alarm.urgent,
        "since": iso(alarm.raised),
        "until": iso(alarm.cleared) if alarm.cleared is not None else None,
        "link": f"{base}/alerts/{alarm.id}",
        "audit_head": head,
    }
