"""Putting a backup back: a whole hub into a folder where none is.

In: the folder of a backup, an empty folder, the keys where there are any, the address of an empty database
for what was on a server. Out: the project, the data folder with its databases and objects, every file
compared with the list while it is copied; and what is still missing, by name. Nothing that is there is ever
written over.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from engine.channels.backups.archive import fits, objects_in, read
from engine.channels.backups.bucket import held_in, open_bucket, put_back
from engine.channels.backups.databases import PG_RESTORE, connected, pg_run
from engine.channels.backups.files import put
from engine.channels.backups.keys import Keys
from engine.channels.backups.needing import missing
from engine.channels.backups.redacting import named_in
from engine.kernel.clock import now_ms
from engine.kernel.config import Config, load_config
from engine.kernel.errors import HubError
from engine.kernel.yamlfile import loads
from engine.security.keys import Keyring
from engine.security.signing import FILE
from engine.store.database import engine_for
from engine.store.tables import DESTINATION

__all__ = ["Restored", "Wanted", "restore"]

_PIECE = 1 << 20
_AS_IT_WAS = ("--no-owner", "--no-privileges", "--single-transaction")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where a backup goes. `data`, `objects`: instead of what config.yaml says; `database`: for dumps."""

    root: Path
    data: Path | None = None
    objects: Path | None = None
    database: str = ""
    keys: Keys | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put where. `missing`: names of secrets and files, with what to do."""

    config: Config
    said: dict[str, Any]
    keyring: Keyring | None
    missing: list[str]


def restore(folder: Path, wanted: Wanted, progress: Callable[[str], None] = lambda text: None) -> Restored:
    """Put a backup back. Raises HubError, and then what was begun is to be removed by hand."""
    keyring = wanted.keys.keyring if wanted.keys is not None else None
    said = read(folder, keyring)
    if int(said.get("format", 1)) < 2:
        raise HubError(
            "holds databases alone",
            where=str(folder),
            why="a hub of an older version made it",
            remedy="put its files into the data folder by hand: docs/operators/backup.md",
        )
    fits(said, str(folder))
    _empty(wanted.root)
    _complete(folder, said)
    config, names = _settings(folder, wanted)
    _empty(config.data_dir)
    if not config.objects.s3 and said["objects"]:
        _empty(config.objects_dir)
    if config.objects.s3 and said["objects"].get("count"):
        _empty_bucket(config)
    targets = {file: _target(config, one, file) for file, one in said["databases"].items()}
    for url in {str(url): url for file, url in targets.items() if file.endswith(".dump")}.values():
        _empty_server(url)

    progress("putting back the project")
    for name in said["files"]:
        place, _, rest = name.partition("/")
        to = {"project": wanted.root, "state": config.data_dir}.get(place)
        if to is not None and rest and name != "project/config.yaml":
            _copy(folder / name, to / rest, said["files"][name])
    _folder(wanted.root)
    put(_text(folder, wanted).encode(), wanted.root / "config.yaml")
    for file, url in targets.items():
        progress(f"putting back {file}")
        if file.endswith(".dump"):
            pg_run(PG_RESTORE, url, *_AS_IT_WAS, str(folder / file))
        else:
            _copy(folder / file, Path(url.database or ""), said["files"][file])
    _stop_destinations(config)
    _objects(folder, config, said, progress)
    keyring = keyring or _own_key(config, names)
    if wanted.keys is not None and not _supplied(wanted.root):
        put(wanted.keys.text, config.key_file)
    if wanted.keys is not None:
        for text, path in (
            (wanted.keys.token, config.token_file),
            (wanted.keys.signing, config.data_dir / FILE),
        ):
            if text:
                put(text, path)
    return Restored(config, said, keyring, missing(config, said, names, keyring))


def _stop_destinations(config: Config) -> None:
    """Let nothing go out by itself: what waited when the backup was made may have gone, or newer has.

    A copy that is started for a drill would send to real systems.
    """
    engine = engine_for(config.core_url)
    try:
        if sa.inspect(engine).has_table(DESTINATION.name):
            with engine.begin() as connection:
                why = "restored from a backup: look at what waits, then open it"
                connection.execute(sa.update(DESTINATION).values(state="stopped", since=now_ms(), why=why))
    finally:
        engine.dispose()


def _settings(folder: Path, wanted: Wanted) -> tuple[Config, list[str]]:
    """Return the settings as they will be, and the names of the secrets that are not here."""
    text = _text(folder, wanted)
    asked = sorted(named_in(text))
    source = str((loads(text, "config.yaml") or {}).get("secrets", "env"))
    absent = [name for name in asked if not _there(source, name)]
    given = dict.fromkeys(absent, "")
    trial = wanted.root.parent / f".{wanted.root.name}.restore-{os.getpid()}"
    _folder(trial)
    try:
        put(text.encode(), trial / "config.yaml")
        config = load_config(trial, given)
    finally:
        (trial / "config.yaml").unlink(missing_ok=True)
        trial.rmdir()
    return config.model_copy(update={"root": wanted.root}), absent


def _there(source: str, name: str) -> bool:
    if source.startswith("file:"):
        return (Path(source[5:]) / name).exists()
    return f"HUB_SECRET_{name}" in os.environ


def _text(folder: Path, wanted: Wanted) -> str:
    """Return config.yaml with the places of this machine in it."""
    path = folder / "project/config.yaml"
    text = path.read_text("utf-8") if path.exists() else ""
    said = dict(loads(text, "config.yaml") or {})
    changes: dict[str, Any] = {}
    if wanted.data is not None:
        changes["data"] = str(wanted.data.resolve())
    if wanted.objects is not None:
        changes["objects"] = {"folder": str(wanted.objects.resolve())}
    if wanted.database:
        changes |= {n: wanted.database for n in ("journal", "core", "imaging", "staff") if said.get(n)}
    for word, value in changes.items():
        text = _with(text, word, value)
    return text


def _with(text: str, word: str, value: Any) -> str:
    """Return a YAML text in which a word of the top has another value, all lines of the old one gone."""
    lines = text.splitlines(keepends=True)
    starts = getattr(loads(text, "config.yaml") or {}, "key_lines", {})
    inside = orjson.dumps(value).decode()  # JSON is YAML, on one line
    made = f"{word}: {inside}\n"
    if word not in starts:
        return text + ("" if text.endswith("\n") or not text else "\n") + made
    first = starts[word] - 1
    last = first + 1
    while last < len(lines) and (lines[last][:1] in " \t\n" or lines[last].startswith("- ")):
        last += 1
    return "".join([*lines[:first], made, *lines[last:]])


def _target(config: Config, one: dict[str, Any], file: str) -> URL:
    """Return where one database of a backup belongs. Raises HubError where the settings do not fit."""
    name = one["holds"][0]
    url = make_url(getattr(config, f"{name}_url", "") or f"sqlite:///{config.data_dir / name}.db")
    server = url.get_backend_name() != "sqlite"
    if server != file.endswith(".dump"):
        raise HubError(
            f"{file} does not fit the settings",
            where="config.yaml",
            why=f"{name}: names a {'server' if server else 'file'}",
            remedy="restore onto the kind of database it was made from",
        )
    return url


def _empty(folder: Path) -> None:
    """Refuse a folder that holds anything."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise HubError(
            "there is something already",
            where=str(folder),
            why="a restore writes over nothing",
            remedy="name another folder, or move this one away",
        )


def _empty_server(url: URL) -> None:
    where = url.render_as_string(hide_password=True)
    engine = connected(url)
    try:
        with engine.connect() as connection:
            held = connection.exec_driver_sql(
                "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).scalar()
    except sa.exc.SQLAlchemyError as e:
        why = str(getattr(e, "orig", None) or type(e).__name__).strip().partition("\n")[0]
        raise HubError(
            "the database cannot be opened", where=where, why=why, remedy="make it, empty, or give --database"
        ) from None
    if held:
        raise HubError(
            "there is something already",
            where=where,
            why=f"it holds {held} tables, and a restore writes over nothing",
            remedy="make an empty database and give its address with --database",
        )


def _complete(folder: Path, said: dict[str, Any]) -> None:
    """Refuse a backup of which a file is missing or has another length, before anything is written."""
    for name, one in said["files"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != one["bytes"]:
            raise HubError("is not whole", where=str(path), remedy="use another backup")


def _folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _copy(source: Path, to: Path, said: dict[str, Any]) -> None:
    """Copy one file to a new one, and see on the way that it is the one that was made."""
    _folder(to.parent)
    digest = hashlib.sha256()
    handle = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out, source.open("rb") as f:
        while piece := f.read(_PIECE):
            digest.update(piece)
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != said["sha256"]:
        raise HubError("is not the file that was made", where=str(source), remedy="use another backup")


def _objects(folder: Path, config: Config, said: dict[str, Any], progress: Callable[[str], None]) -> None:
    if not said["objects"].get("count"):
        return
    progress(f"putting back {said['objects']['count']:,} objects")
    if config.objects.s3:
        bucket = open_bucket(config)
        try:
            put_back(bucket, folder, progress)
        except OSError as e:
            raise HubError("cannot be filled", where=config.objects.s3, why=e.strerror or "") from None
        finally:
            bucket.close()
        return
    for held in objects_in(folder):
        place = Path(held.address[:2]) / held.address
        _copy(folder / "objects" / place, config.objects_dir / place, held._asdict())


def _empty_bucket(config: Config) -> None:
    """Refuse a bucket that cannot be reached, or that holds objects of a hub."""
    remedy = "see to the bucket and its keys, or put the objects into a folder: --objects FOLDER"
    try:
        bucket = open_bucket(config)
        try:
            held = next(held_in(bucket), None)
        finally:
            bucket.close()
    except OSError as e:
        raise HubError(
            "cannot be used", where=config.objects.s3, why=e.strerror or "", remedy=remedy
        ) from None
    if held is not None:
        raise HubError(
            "there is something already",
            where=config.objects.s3,
            why="it holds objects, and a restore writes over nothing",
            remedy="name another bucket or prefix in config.yaml of the backup, or give --objects FOLDER",
        )


def _own_key(config: Config, absent: list[str]) -> Keyring | None:
    """Return the key that the settings name, where it is here."""
    if not _supplied(config.root) or _key_secret(config.root / "config.yaml") in absent:
        return None
    return Keyring.supplied(config.key.encode(), where="key: in config.yaml")


def _supplied(root: Path) -> bool:
    """Say whether the settings name a key, so that none lies in the data folder."""
    return bool((loads((root / "config.yaml").read_text("utf-8"), "config.yaml") or {}).get("key"))


def _key_secret(path: Path) -> str:
    """Return the name of the secret that is the data key; empty where `key:` names none."""
    said = loads(path.read_text("utf-8"), "config.yaml") or {}
    return next(iter(named_in(str(said.get("key", "")))), "")
