"""Where the cause of an alarm is put right, as a page of the console.

In: an alarm. Out: a path, and what the link says. No path holds anything of a patient.
"""

from __future__ import annotations

from urllib.parse import quote

from engine.staff.alarms import AlarmRow

__all__ = ["cause_of"]

_OF_THE_HUB = {
    "certificate": ("/admin/certificates", "Certificates"),
    "disk": ("/admin/health", "Health"),
    "process": ("/admin/health", "Health"),
    "restarts": ("/admin/health", "Health"),
    "database": ("/admin/health", "Health"),
    "audit": ("/admin/audit", "The audit"),
    "glass": ("/admin/glass", "Broken glass"),
    "backup": ("/admin/backup", "Backup"),
    "destination": ("/deliveries", "Deliveries"),
    "undelivered": ("/deliveries", "Deliveries"),
    "order": ("/deliveries/orders?state=overdue", "Overdue orders"),
    "notice": ("/deliveries", "Deliveries"),
    "critical": ("/critical", "Critical results"),
    "subscription": ("/admin/keys", "Keys of programs"),
    "not compared": ("/critical/rules", "Rules of critical results"),
}


def cause_of(alarm: AlarmRow) -> tuple[str, str]:
    """Return the page where the cause of an alarm is, and its name."""
    if alarm.kind in _OF_THE_HUB:
        return _OF_THE_HUB[alarm.kind]
    channel = quote(alarm.channel)
    if alarm.kind == "held":
        return f"/work?channel={channel}", "What is parked"
    if alarm.kind == "unmapped codes":
        return f"/work?channel={channel}", "Messages with codes that no table has"
    return "/now", "How the channel is"
