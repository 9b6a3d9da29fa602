"""The rules of alarms as the files say them: which file, which line, which words, and who is told.

In: channels and settings. Out: facts for a page. A rule is changed in its file (`/changes` makes a draft of a
channel's), never beside it.
"""

from __future__ import annotations

from typing import Any

from engine.channels.alarms.telling import in_quiet_hours, ways
from engine.channels.alerts import AlertRule, rules_for_all
from engine.console.visit import Visit
from engine.kernel.clock import now_ms
from engine.kernel.errors import ConfigError

__all__ = ["rules_facts"]


def rules_facts(visit: Visit) -> dict[str, Any]:
    """Return what is watched and who is told, with the place of each."""
    config = visit.hub.config
    alerts = config.alerts
    every = rules_for_all(alerts.every_channel, config.at("alerts.every_channel"))
    trouble = ""
    try:
        channels = visit.hub.channels()
    except ConfigError as e:
        channels, trouble = visit.hub.first, str(e)
    lines = []
    for channel in channels:
        if not visit.may("see.status", channel.name):
            continue
        own = {rule.kind for rule in channel.alerts}
        rules = [_rule(rule, channel.at("alert")) for rule in channel.alerts]
        rules += [_rule(rule, config.at("alerts.every_channel")) for rule in every if rule.kind not in own]
        lines.append({"channel": channel.name, "file": channel.file, "rules": rules})
    quiet = in_quiet_hours(alerts.quiet, alerts.zone, now_ms())
    return {
        "trouble": trouble,
        "channels": lines,
        "hub": [
            {"what": "A certificate expires", "when": f"{alerts.certificate_days} days before"},
            {"what": "The disk fills up", "when": f"below {alerts.disk_free_mb:,} MB"},
            {"what": "A process starts again", "when": f"{alerts.restarts} times in ten minutes"},
            {"what": "A process does not report", "when": "for 30 seconds"},
            {"what": "The audit is broken", "when": f"looked at every {alerts.audit}"},
            {"what": "Somebody breaks the glass", "when": "always"},
            {"what": "The backup is too old", "when": alerts.backup or "not watched"},
        ],
        "ways": [
            *({"way": way, "when": "of every alarm"} for way in ways(alerts)),
            *(
                {"way": way, "when": f"when nobody acknowledges it for {alerts.escalate_after}"}
                for way in ways(alerts, escalation=True)
            ),
        ],
        "quiet_hours": alerts.quiet_hours,
        "quiet": quiet,
        "time_zone": alerts.time_zone or "this machine's",
        "settle": alerts.settle,
        "where": config.at("alerts"),
    }


def _rule(rule: AlertRule, where: str) -> dict[str, Any]:
    return {
        "when": rule.when,
        "say": rule.say,
        "urgent": rule.urgent,
        "at_most_ms": rule.at_most_ms,
        "where": where,
    }
