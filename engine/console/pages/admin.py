"""Admin: how the hub is, what it keeps, its certificates and settings.

In: settings, figures, files of the data folder. Out: pages without patient data and without secrets. Nothing
is changed here: settings stand in config.yaml.
"""

from __future__ import annotations

import platform
import shutil
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from engine import __version__
from engine.channels.certificates import certificates
from engine.channels.inforce import in_force
from engine.channels.keeping import days_of
from engine.channels.processes import STALE, processes, restarts
from engine.channels.production import weaknesses
from engine.console.answers import Answer, Page, Refused
from engine.console.door import Door
from engine.console.health import health
from engine.console.visit import Visit
from engine.journal import tables
from engine.journal.database import reporting
from engine.journal.names import source_of
from engine.kernel.clock import now_ms
from engine.kernel.errors import ConfigError, HubError

__all__ = ["ADMIN", "add"]

ADMIN = ("admin.users", "admin.keys", "admin.settings", "see.audit")
"""Permissions of which one is enough for the overview."""

_DAY = 86_400_000
_SAMPLE = 50_000  # newest entries that the amounts are told from
_SOON = 30  # days in which a certificate's end is worth a look


def add(door: Door) -> None:
    """Add the pages."""
    door.get("/admin", needs="see.status")(overview)
    door.get("/admin/health", needs="admin.settings")(state)
    door.get("/admin/certificates", needs="admin.settings")(ends)
    door.get("/admin/settings", needs="admin.settings")(settings)
    door.get("/admin/retention", needs="admin.settings")(retention)


def overview(visit: Visit) -> Answer:
    """Show what there is to administer, and what needs somebody."""
    if not any(visit.may(permission) for permission in ADMIN):
        raise Refused(403, "Your roles do not let you administer anything.")
    hub = visit.hub
    found = health(hub.config, hub.gauge)
    newest = next(iter(hub.staff.backups.newest()), None)
    facts: dict[str, Any] = {"ok": found.ok, "reasons": list(found.reasons), "version": __version__}
    if visit.may("admin.users"):
        accounts = hub.staff.accounts.all()
        facts["people"] = sum(not a.disabled for a in accounts)
        facts["locked"] = sum(a.locked_until > now_ms() for a in accounts)
        facts["without_second"] = sum(a.local and not a.second and not a.disabled for a in accounts)
    if visit.may("admin.keys"):
        facts["keys"] = sum(k.state(now_ms()) == "ok" for k in hub.staff.keys.all())
    if visit.may("see.audit"):
        facts["audit"] = hub.store.audit.head()[0]
    if visit.may("admin.settings"):
        facts["backup"] = newest.at if newest else None
        days = [d for one in certificates(hub.config, hub.first) if (d := one.days(now_ms())) is not None]
        facts["certificate_days"] = min(days, default=None)
    return Page("admin.html", facts, "Admin")


def state(visit: Visit) -> Page:
    """Show how the hub is: processes, databases, disk, what the production profile would refuse."""
    hub = visit.hub
    config = hub.config
    found = health(config, hub.gauge)
    ends_ = restarts(config.data_dir, now_ms() - _DAY)
    usage = shutil.disk_usage(config.data_dir)
    weak = [{"where": w, "what": what, "remedy": r} for w, what, r in weaknesses(config, hub.first)]
    return Page(
        "admin_health.html",
        {
            "ok": found.ok,
            "reasons": list(found.reasons),
            "facts": {k: v for k, v in found.facts.items() if k != "processes"},
            "processes": [
                {
                    "name": name,
                    "seconds": None if seconds is None else round(seconds, 1),
                    "ok": seconds is not None and seconds <= STALE,
                    "ended": ends_[name],
                }
                for name, seconds in processes(config).items()
            ],
            "databases": [_database(config, name) for name in ("journal", "core", "imaging", "staff")],
            "disk": {"free": usage.free, "total": usage.total, "reserve": config.disk_reserve_mb << 20},
            "runs_as": config.profile,
            "weak": weak,
            "versions": {"hub": __version__, "python": platform.python_version()},
        },
        "Health",
    )


def ends(visit: Visit) -> Page:
    """Show every certificate that the settings name, and when it expires."""
    now, trouble = now_ms(), ""
    try:
        channels = visit.hub.channels()
    except ConfigError as e:
        channels, trouble = visit.hub.first, str(e)
    root = visit.hub.config.root.resolve()
    return Page(
        "admin_certificates.html",
        {
            "trouble": trouble,
            "certificates": [
                {
                    "used_by": one.used_by,
                    "file": _below(one.file, root),
                    "subject": one.subject,
                    "issuer": one.issuer,
                    "expires": one.expires,
                    "days": (days := one.days(now)),
                    "trouble": one.trouble,
                    "state": "broken" if days is None or days < 0 else "warning" if days < _SOON else "ok",
                }
                for one in certificates(visit.hub.config, channels)
            ],
        },
        "Certificates",
    )


def settings(visit: Visit) -> Page:
    """Show every setting in force and where it was written."""
    return Page("admin_settings.html", {"settings": in_force(visit.hub.config)}, "Settings")


def retention(visit: Visit) -> Page:
    """Show how long things stay, when the next run is, and how much comes in a day."""
    config = visit.hub.config
    begin = visit.hub.store.audit.begin()
    mark = config.data_dir / "keep.last"
    try:
        last = mark.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        last = ""
    limits = [
        ("messages", config.keep.messages),
        ("imaging", config.keep.imaging),
        ("audit", config.keep.audit),
    ]
    lines, trouble = [], ""
    for what, text in limits:
        try:
            lines.append({"what": what, "text": text, "days": days_of(text, f"keep: {what}")})
        except HubError as e:
            trouble = str(e)
    deletes = any(one["days"] is not None for one in lines[:2])
    return Page(
        "admin_retention.html",
        {
            "keep": lines,
            "at": config.keep.at,
            "last": last,
            "runs": deletes and config.keep.at != "never",
            "next": _next(config.keep.at) if deletes and config.keep.at != "never" else None,
            "trouble": trouble,
            "audit_begin": begin.row,
            "amounts": _amounts(visit),
            "sample": _SAMPLE,
        },
        "Retention",
    )


def _next(at: str) -> str:
    hour, minute = map(int, at.split(":"))
    now = datetime.now()
    today = (now.hour, now.minute) < (hour, minute)
    return f"{'today' if today else 'tomorrow'} at {at}"


def _amounts(visit: Visit) -> list[dict[str, Any]]:
    """Tell from the newest entries how much each channel brings in a day; cheap however much is kept."""
    journal, e = visit.hub.journal, tables.entry.c
    head = journal.head()
    new = e.id > head - _SAMPLE
    query = sa.select(e.source, sa.func.count(), sa.func.sum(e.size)).where(new).group_by(e.source)
    with reporting("journal"), journal.engine.connect() as connection:
        rows = connection.execute(query).all()
        first, last = connection.execute(
            sa.select(sa.func.min(e.received), sa.func.max(e.received)).where(new)
        ).one()
    if not rows:
        return []
    days = max((last - first) / _DAY, 1 / 24)
    words = journal.names.texts({source for source, _, _ in rows})
    entries: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for source, count, size in rows:
        channel = source_of(words[source][1])[0]
        entries[channel] += count
        sizes[channel] += size
    return [
        {"channel": name, "entries": round(entries[name] / days), "bytes": round(sizes[name] / days)}
        for name in sorted(entries, key=lambda one: -sizes[one])
    ]


def _database(config: Any, name: str) -> dict[str, Any]:
    url = make_url(getattr(config, f"{name}_url"))
    if url.get_backend_name() != "sqlite":
        return {"name": name, "where": url.render_as_string(hide_password=True), "bytes": None}
    path = Path(url.database or "")
    files = [Path(f"{path}{end}") for end in ("", "-wal")]
    return {"name": name, "where": path.name, "bytes": sum(f.stat().st_size for f in files if f.exists())}


def _below(file: str, root: Path) -> str:
    path = Path(file)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else file
