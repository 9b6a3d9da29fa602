"""What is wrong of the hub itself: certificates, disk, processes, the audit, a broken glass, the backup.

In: the settings, the data folder, what people did. Out: conditions. Nothing here opens a message.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence

from engine.channels.alerts import duration_ms, span_words
from engine.channels.certificates import certificates
from engine.channels.definition import Channel
from engine.channels.processes import STALE, processes, restarts
from engine.kernel.config import Config
from engine.staff.alarms import Condition
from engine.staff.backups import Backup
from engine.staff.glass import Broken
from engine.staff.staff import Staff
from engine.store.auditchain import KINDS as DAMAGE
from engine.store.auditchain import Verdict
from engine.store.deliveries import Place

__all__ = [
    "audit",
    "backup",
    "critical",
    "database",
    "destinations",
    "disk",
    "expiring",
    "glass",
    "running",
    "subscriptions",
]

_RESTARTS = 600_000  # ms within which they count
_LAST_DAYS = 7  # in which a certificate's end is urgent


def expiring(config: Config, channels: Iterable[Channel], now: int) -> list[Condition]:
    """Return the certificates that expire soon, or cannot be read."""
    found = []
    for one in certificates(config, channels):
        key = f"certificate|{one.used_by}|{one.file}|{one.subject}"
        days = one.days(now)
        if days is None:
            found.append(
                Condition(key, "certificate", f"{one.used_by}: {one.file}: {one.trouble}", urgent=True)
            )
        elif days < config.alerts.certificate_days:
            name = f"{one.subject} of {one.used_by}"
            left = f"in {days} day{'' if days == 1 else 's'}" if days else "today"
            what = f"the certificate {name} " + (f"expires {left}" if days >= 0 else "has expired")
            say = f"Put a new one at {one.file}"
            found.append(
                Condition(key, "certificate", what, say=say, value=max(0, days), urgent=days < _LAST_DAYS)
            )
    return found


def disk(config: Config) -> list[Condition]:
    """Return the disks that fill up."""
    found = []
    folders = {config.data_dir, config.objects_dir if config.objects_dir.exists() else config.data_dir}
    for folder in sorted(folders):
        free = shutil.disk_usage(folder).free >> 20
        if free < config.alerts.disk_free_mb:
            urgent = free < max(config.disk_reserve_mb, config.alerts.disk_free_mb // 4)
            what = f"{free:,} MB are free on the disk of {folder.name}/"
            say = "Make room: below disk_reserve_mb no message is answered"
            found.append(Condition(f"disk|{folder}", "disk", what, say=say, value=free, urgent=urgent))
    return found


def running(config: Config, now: int) -> list[Condition]:
    """Return the processes that are not running, or start again and again."""
    found = []
    for name, seconds in processes(config).items():
        if seconds is not None and seconds > STALE:
            what = f"{name} has not reported for {span_words(seconds)}"
            say = "Is it running? The log says why it stopped"
            found.append(Condition(f"process|{name}", "process", what, "", say, int(seconds), True))
    for name, count in restarts(config.data_dir, now - _RESTARTS).items():
        if count >= config.alerts.restarts:
            times = "once" if count == 1 else f"{count} times"
            what = f"{name} started again {times} in ten minutes"
            found.append(
                Condition(f"restarts|{name}", "restarts", what, "", "The log says why it ended", count, True)
            )
    return found


def destinations(config: Config, places: Iterable[Place], now: int) -> list[Condition]:
    """Return the destinations that take nothing, and those where deliveries wait for a person."""
    patience = duration_ms(config.alerts.destination, config.at("alerts.destination"))
    found = []
    for place in places:
        waiting = f"{place.pending:,} deliver{'y waits' if place.pending == 1 else 'ies wait'}"
        if place.state == "down" and now - place.since >= patience:
            what = f"{place.name} takes no deliveries, {waiting}: {place.why}"
            say = "Nothing is lost: they go out once it answers"
            key = f"destination|{place.name}"
            found.append(Condition(key, "destination", what, "", say, place.pending, place.pending > 0))
        if place.state == "stopped" and place.pending and now - place.since >= patience:
            what = f"{place.name} was stopped by a person, {waiting}"
            key, say = f"destination|{place.name}", "Open it once it may have them"
            found.append(Condition(key, "destination", what, "", say, place.pending))
        if held := place.refused + place.parked:
            what = f"{held:,} deliver{'y' if held == 1 else 'ies'} to {place.name} refused or parked"
            say = "Look why, then send again or skip"
            found.append(Condition(f"undelivered|{place.name}", "undelivered", what, "", say, held))
    return found


def database(where: str, what: str) -> Condition:
    """Return that a database does not answer."""
    return Condition("database", "database", f"{what} ({where})" if where else what, urgent=True)


def audit(verdict: Verdict | None, trouble: str = "") -> list[Condition]:
    """Return that the chain of the audit is broken."""
    if trouble:
        return [Condition("audit|copies", "audit", trouble, say=_KEEP, urgent=True)]
    if verdict is None or verdict.whole:
        return []
    what = f"the audit is broken at row {verdict.row}: {DAMAGE[verdict.kind]}"
    return [Condition("audit|chain", "audit", what, say=_KEEP, value=verdict.row or 0, urgent=True)]


_KEEP = "Keep the database as it is, and compare it with a backup"


def glass(broken: Sequence[Broken]) -> list[Condition]:
    """Return who broke the glass, for as long as nobody else has looked into it."""
    return [
        Condition(
            f"glass|{one.id}",
            "glass",
            f"{one.person} broke the glass on {', '.join(one.channels)}",
            say="Ask why, and acknowledge it",
            value=one.id,
            urgent=True,
        )
        for one in broken
        if one.acknowledged is None
    ]


def critical(config: Config, staff: Staff, now: int) -> list[Condition]:
    """Return that critical results wait for somebody, and that rules could not compare what they name."""
    found = []
    after = config.critical.alarm_after
    if after != "never":
        waiting = staff.criticals.overdue(now - duration_ms(after, config.at("critical")))
        if waiting:
            count = len(waiting)
            what = f"{count} critical result{'' if count == 1 else 's'} taken over by nobody for {after}"
            say = "Open the page Critical, call whoever looks after the patient, take it over"
            found.append(Condition("critical|waiting", "critical", what, "", say, count, True))
    for one in staff.criticals.unjudged():
        found.append(
            Condition(
                f"critical|{one.rule}|{one.channel}|{one.why}",
                "not compared",
                f"rule {one.rule}: {one.why}",
                one.channel,
                "Such results are not judged: look at them, and at mappings/critical.yaml",
                one.count,
            )
        )
    return found


def subscriptions(staff: Staff) -> list[Condition]:
    """Return the subscriptions that were given up."""
    return [
        Condition(
            f"subscription|{one.id}",
            "subscription",
            f"subscription {one.id} of {one.owner}: {one.error}",
            say="It gets nothing until it asks anew: see hub subscription list",
            value=one.failures,
        )
        for one in staff.subscriptions.all(status="error")
    ]


def backup(config: Config, newest: Backup | None, began: int, now: int) -> list[Condition]:
    """Return that the newest backup is too old."""
    if not config.alerts.backup:
        return []
    limit = duration_ms(config.alerts.backup, config.at("alerts.backup"))
    old = now - (newest.at if newest is not None else began)
    if old <= limit:
        return []
    what = f"the newest backup is {span_words(old / 1000)} old" if newest else "no backup was made yet"
    say = "Run hub backup, or tell of yours with hub backup --told"
    return [Condition("backup|old", "backup", what, say=say, value=old // 3_600_000)]
