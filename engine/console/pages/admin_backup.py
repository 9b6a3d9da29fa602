"""Backup: how old the newest is, back up now, tell of one that somebody else made.

In: a button. Out: a backup of everything in the folder of the settings, verified; where databases are on a
server, the commands by which that is done by hand too. The data key is never part of a backup.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.channels.backups.making import back_up, elsewhere
from engine.console.answers import Answer, Goto, Page, Refused
from engine.console.door import Door
from engine.console.jobs import Jobs
from engine.console.visit import Visit

__all__ = ["add"]

_LISTED = 20


def add(door: Door) -> None:
    """Add the pages."""
    jobs = Jobs()

    @door.get("/admin/backup", needs="admin.settings", stirs=False)
    def backup(visit: Visit) -> Page:
        """Show the backups there are, and how the one being made stands."""
        job, config = jobs.of("backup"), visit.hub.config
        return Page(
            "admin_backup.html",
            {
                "job": job,
                "running": job is not None and job.running,
                "backups": visit.hub.staff.backups.newest(_LISTED),
                "folder": str(config.backups_dir),
                "elsewhere": elsewhere(config),
                "limit": config.alerts.backup,
            },
            "Backup",
            fragment="admin_backup_job.html",
        )

    @door.post("/admin/backup", needs="admin.settings")
    def make(visit: Visit) -> Answer:
        """Begin a backup."""
        hub, who = visit.hub, visit.person.name

        def work(tell: Callable[[str], None]) -> str:
            made = back_up(hub.config, hub.config.backups_dir, who, hub.staff, hub.keyring, tell)
            return f"{made.folder}: whole, {made.bytes >> 20:,} MB, up to entry {made.entry:,}"

        started = jobs.start("backup", who, work)
        visit.saw("backup:make", "backup")
        return Goto("/admin/backup", "" if started else "One is being made already.")

    @door.post("/admin/backup/told", needs="admin.settings")
    def told(visit: Visit) -> Answer:
        """Note a backup that was made elsewhere."""
        place = " ".join(visit.form.get("place", "").split())[:200]
        if not place:
            raise Refused(400, "Say where the backup is.")
        visit.hub.staff.backups.told(visit.person.name, place)
        visit.saw("backup:told", "backup", place)
        return Goto("/admin/backup", "Noted.")
