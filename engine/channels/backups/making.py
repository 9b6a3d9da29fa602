"""A backup of a whole hub while it runs: every database, the objects, the project, in the order that fits.

In: the settings, a folder. Out: a new folder below it with a sealed list of what is in it, and a note in the
staff database. The core store is copied before the journal: a journal that is newer is fine, an older one
would be refused. The objects come last, so that they hold all that the journal names. The data key is never
in it; `keys.py` seals that for another place.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from engine import __version__
from engine.channels.backups.archive import LIST, NAMED, Copies, fits, verify, write
from engine.channels.backups.bucket import in_bucket, name_bucket, open_bucket
from engine.channels.backups.databases import NAMES, PG_DUMP, Source, copy_to, pg_address, sources
from engine.channels.backups.files import copy_project, copy_state, listed
from engine.channels.backups.objects import copy_objects, in_folder
from engine.channels.backups.redacting import named_in
from engine.kernel.clock import iso, now_ms
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError, HubError
from engine.objects.bucket import Bucket
from engine.security.keys import Keyring
from engine.staff.staff import Staff

__all__ = ["PARTS", "back_up", "elsewhere"]

PARTS = ("codes", "objects")
"""What may be left out: releases of code systems can be loaded again, objects copied by other means."""


def elsewhere(config: Config) -> list[str]:
    """Return the commands by which databases on servers are backed up by hand."""
    found = []
    for name in NAMES:
        url = make_url(getattr(config, f"{name}_url", "sqlite://"))
        if url.get_backend_name() != "sqlite":
            found.append(f"{PG_DUMP} -Fc -d {pg_address(url)} -f {name}.dump")
    return found


def back_up(
    config: Config,
    to: Path,
    who: str,
    staff: Staff,
    keyring: Keyring,
    progress: Callable[[str], None] = lambda text: None,
    now: int | None = None,
    without: tuple[str, ...] = (),
    bucket: bool = False,
) -> Copies:
    """Copy everything into a new folder below `to`, verify, and note it. Raises HubError.

    `bucket`: the objects too where a bucket keeps them; else these are listed by name.
    """
    at = now_ms() if now is None else now
    folder = to / datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H%M%SZ")
    try:
        to.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = _newest(to)
        folder.mkdir(mode=0o700)
        copy_project(config, folder / "project")
        copy_state(config, folder / "state")
        databases: dict[str, Any] = {}
        for source in sources(config, without):
            progress(_copying(source))
            databases[source.file] = {"holds": list(source.names)} | copy_to(source, folder / source.file)
        objects = _objects(config, folder, before, progress, "objects" in without, bucket)
        progress("reading everything back")
        said = {
            "hub": config.hub,
            "made": iso(at),
            "by": who,
            "version": __version__,
            "entry": max((d["entry"] for d in databases.values() if "journal" in d["holds"]), default=0),
            "worked": max((d["worked"] for d in databases.values() if "core" in d["holds"]), default=0),
            "databases": databases,
            "objects": objects,
            "left out": list(without),
            "needs": {"secrets": _secrets(folder), "key": "supplied" if config.key else "file"},
            "files": listed(folder),
        }
        fits(said, str(folder))
        write(folder, said, keyring)
        progress("verifying")
        made = verify(folder, keyring, progress)
    except ConfigError:
        raise
    except (OSError, sqlite3.Error) as e:
        raise HubError(
            "the backup could not be made",
            where=str(folder),
            why=getattr(e, "strerror", None) or str(e),
            remedy="see that the folder is writable and has room",
        ) from None
    staff.backups.told(who, str(folder), made.bytes, made.entry, True)
    return made


def _copying(source: Source) -> str:
    names = " and ".join(source.names)
    if source.path is None:
        return f"dumping {names} of {source.where}"
    return f"copying {names}.db, {source.path.stat().st_size >> 20:,} MB"


def _objects(
    config: Config,
    folder: Path,
    before: Path | None,
    progress: Callable[[str], None],
    left_out: bool,
    bucket: bool,
) -> dict[str, Any]:
    """Copy the objects; where a bucket keeps them, copy or list those; say what was not done."""
    if left_out:
        return {"kept in": config.objects.s3} if config.objects.s3 else {}
    if config.objects.s3:
        opened = open_bucket(config)
        try:
            if not bucket:
                progress("listing objects")
                return {"kept in": config.objects.s3} | _named(opened, folder)
            progress("copying objects")
            count, size = copy_objects(in_bucket(opened), folder, before, progress)
            return {"count": count, "bytes": size, "of": config.objects.s3}
        finally:
            opened.close()
    if not config.objects_dir.is_dir():
        return {}
    progress("copying objects")
    count, size = copy_objects(in_folder(config.objects_dir), folder, before, progress)
    return {"count": count, "bytes": size}


def _named(bucket: Bucket, folder: Path) -> dict[str, Any]:
    """List what a bucket holds; the databases are worth their backup without that list, too."""
    try:
        named, size = name_bucket(bucket, folder)
    except OSError as e:
        (folder / NAMED).unlink(missing_ok=True)
        return {"not listed": e.strerror or type(e).__name__}
    return {"named": named, "named bytes": size}


def _secrets(folder: Path) -> list[str]:
    """Return the names of the secrets that the project asks for."""
    files = [folder / "project/config.yaml", *(folder / "project/channels").glob("*.yaml")]
    return sorted({name for path in files if path.exists() for name in named_in(path.read_text("utf-8"))})


def _newest(to: Path) -> Path | None:
    """Return the newest backup that is there already."""
    return max((one.parent for one in to.glob(f"*/{LIST}")), default=None)
