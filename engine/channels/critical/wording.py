"""A critical result in words: what a mail says, what is posted. No value, no name, no number of a patient.

In: a row and what happened to it. Out: subject and text, or a JSON object with ids and a link. Who opens the
link signs in, and sees of the result what their role shows.
"""

from __future__ import annotations

from typing import Any

from engine.channels.alarms.wording import address_of
from engine.channels.alerts import span_words
from engine.kernel.clock import iso
from engine.kernel.config import Config
from engine.staff.criticals import CriticalRow

__all__ = ["KINDS", "as_json", "mail_of", "what_of"]

KINDS = {
    "new": "critical result",
    "corrected": "a critical result was corrected and is critical still",
    "moved": "a critical result is on another patient's record now",
    "withdrawn": "a result told as critical was corrected and is not critical any more",
    "retracted": "a result told as critical was taken back",
}
"""What a row tells, in words."""
TEST = "This is a test: there is no critical result."


def what_of(row: CriticalRow) -> str:
    """Return one line: the rules that name the result, and what happened to it."""
    return f"{', '.join(row.rules)}: {KINDS[row.kind]}"


def mail_of(config: Config, row: CriticalRow | None, event: str, now: int) -> tuple[str, str]:
    """Return the subject and the text of a mail."""
    said = as_json(config, row, event, now)
    if row is None:
        return f"[{config.hub} {config.environment}] test of critical results", f"{TEST}\n"
    again = event.startswith("escalated")
    head = "NOBODY HAS TAKEN OVER" if again else "CRITICAL"
    subject = f"[{config.hub} {config.environment}] {head}: {', '.join(row.rules)} ({row.channel})"
    lines = [what_of(row), *row.why]
    if again:
        waits = span_words((now - row.raised) / 1000)
        lines.append(f"It has been waiting for {waits} for somebody to take it over.")
    if row.say:
        lines.append(row.say)
    lines += ["", f"received {said['received']} by channel {row.channel}, entry {row.entry}"]
    lines += ["", said["link"], "", f"hub: {config.hub} ({config.environment})"]
    return " ".join(subject.split())[:200], "\n".join(lines) + "\n"


def as_json(config: Config, row: CriticalRow | None, event: str, now: int) -> dict[str, Any]:
    """Return the object that is posted, and what an event of a broker holds."""
    common = {"hub": config.hub, "environment": config.environment, "event": event, "at": iso(now)}
    if row is None:
        return {**common, "critical": None, "what": TEST}
    return {
        **common,
        "critical": row.id,
        "kind": row.kind,
        "what": what_of(row),
        "rules": list(row.rules),
        "why": list(row.why),
        "say": row.say,
        "channel": row.channel,
        "entry": row.entry,
        "resource": row.subject,
        "version": row.version,
        "patient": row.patient or None,
        "received": iso(row.received),
        "raised": iso(row.raised),
        "escalations": row.escalations,
        "link": f"{address_of(config)}/critical/{row.id}",
    }
