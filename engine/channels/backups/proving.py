"""Proof that a restored hub is the one that was backed up, and that its data can be opened.

In: the restored project, the list of its backup, the keys. Out: one line for each thing that was looked at.
Rows are counted before anything is opened by the hub, which might bring tables up to date; then the pair of
journal and core store, the chain of the audit, and a sample of bodies, resources and objects spread over all
of them, each opened with the key. Of objects that were copied every digest is compared where they are now; of
those that were only named, that their bucket has them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from engine.channels.auditheads import copies
from engine.channels.backups.archive import named_in_bucket, objects_in
from engine.channels.backups.bucket import held_in, open_bucket, sealed_at
from engine.channels.backups.databases import connected, counted_in, counted_on, integrity_of, sources
from engine.channels.node.opening import open_imaging
from engine.channels.opening import check_pair, open_journal, open_staff, open_store
from engine.journal.sql import SqlJournal, UnreadableEntry
from engine.kernel.config import Config
from engine.kernel.errors import HubError
from engine.security.keys import Keyring
from engine.store.sql import SqlStore

__all__ = ["Proof", "prove"]

SAMPLE = 200
_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Proof:
    """One thing that was looked at."""

    what: str
    said: str
    good: bool = True


def prove(
    config: Config, said: dict[str, Any], keyring: Keyring | None, archive: Path | None = None
) -> Iterator[Proof]:
    """Look at everything; with the backup itself, at every object. What cannot be looked at is not good."""
    yield from _databases(config, said)
    if archive is not None and said["objects"]:
        yield _sealed(config, said, archive)
    if keyring is None:
        yield Proof("bodies", "cannot be opened: the data key is not here", False)
        return
    try:
        yield from _opened(config, said, keyring)
    except HubError as e:
        yield Proof("databases", str(e), False)


def _databases(config: Config, said: dict[str, Any]) -> Iterator[Proof]:
    """Compare the rows of every table with those that were counted when the backup was made."""
    for source in sources(config):
        one = next((d for d in said["databases"].values() if set(source.names) & set(d["holds"])), None)
        name = " and ".join(source.names)
        if one is None:
            continue
        try:
            if source.path is not None:
                damage = integrity_of(source.path)
                if damage != "ok":
                    yield Proof(name, f"is damaged: {damage}", False)
                    continue
                rows = counted_in(source.path)["rows"]
            else:
                with connected(source.url).connect() as connection:
                    rows = counted_on(connection)["rows"]
        except (sa.exc.SQLAlchemyError, OSError) as e:
            yield Proof(name, f"cannot be opened: {type(e).__name__}", False)
            continue
        differ = [t for t, count in one["rows"].items() if rows.get(t) != count]
        total = sum(one["rows"].values())
        text = f"{len(one['rows'])} tables, {total:,} rows, as they were counted"
        yield Proof(name, f"tables with other rows: {', '.join(differ)}" if differ else text, not differ)
    held = {name for source in sources(config) for name in source.names}
    for one in said["databases"].values():
        for name in set(one["holds"]) - held:
            yield Proof(name, "is not there", False)


def _opened(config: Config, said: dict[str, Any], keyring: Keyring) -> Iterator[Proof]:
    journal = open_journal(config, keyring)
    try:
        store = open_store(config, keyring)
        try:
            check_pair(journal, store)
            worked = max(store.watermarks().values(), default=0)
            yield Proof("journal and core store", f"fit: {journal.head():,} entries, {worked:,} worked on")
            verdict = store.audit.prove(copies(config, keyring))
            yield Proof("audit", str(verdict), verdict.whole)
            yield _bodies(journal)
            yield _resources(store)
        finally:
            store.close()
    finally:
        journal.close()
    if _has(said, "staff"):
        staff = open_staff(config, keyring)
        try:
            yield Proof("staff", "can be opened" + ("" if staff.accounts.any() else "; there is no account"))
        finally:
            staff.close()
    if _has(said, "imaging"):
        yield from _objects(config, keyring)


def _has(said: dict[str, Any], name: str) -> bool:
    return any(name in one["holds"] for one in said["databases"].values())


def _bodies(journal: SqlJournal) -> Proof:
    deleted, opened, wrong = 0, 0, []
    for number in _spread(journal.head()):
        try:
            opened += journal.get(number) is not None
        except UnreadableEntry as e:
            if "no body" in e.what:
                deleted += 1
            else:
                wrong.append(e)
    if wrong:
        return Proof("messages", f"{len(wrong)} of a sample cannot be opened: {wrong[0]}", False)
    also = f", {deleted} more were deleted by retention" if deleted else ""
    return Proof("messages", f"{opened} of a sample opened{also}")


def _resources(store: SqlStore) -> Proof:
    opened = 0
    try:
        for position in _spread(store.head()):
            opened += len(store.feed(position - 1, 1, bodies=True))
    except HubError as e:
        return Proof("resources", f"one of a sample cannot be opened: {e}", False)
    return Proof("resources", f"{opened} of a sample opened")


def _objects(config: Config, keyring: Keyring) -> Iterator[Proof]:
    imaging = open_imaging(config, keyring)
    try:
        index, opened, wrong = imaging.index, 0, []
        for number in _spread(index.newest(), SAMPLE // 4):
            for _, _, _, held in index.after(number - 1, 1):
                try:
                    with imaging.objects.open(held.address) as f:
                        while f.read(_BYTES):
                            pass
                    opened += 1
                except HubError as e:
                    wrong.append(e)
    finally:
        imaging.close()
    if wrong:
        yield Proof("objects", f"{len(wrong)} of a sample cannot be opened: {wrong[0]}", False)
    else:
        yield Proof("objects", f"{opened} of a sample opened")


def _sealed(config: Config, said: dict[str, Any], archive: Path) -> Proof:
    """Compare every object with the digest in the list, or find it by name where it was not copied."""
    count, missing, differ = 0, 0, 0
    try:
        bucket = open_bucket(config) if config.objects.s3 else None
        try:
            for held in objects_in(archive):
                count += 1
                pieces = sealed_at(config, bucket, held.address)
                if pieces is None:
                    missing += 1
                    continue
                digest = hashlib.sha256()
                for piece in pieces:
                    digest.update(piece)
                differ += digest.hexdigest() != held.sha256
            if "named" in said["objects"]:
                there = dict(held_in(bucket)) if bucket is not None else {}
                for address, size in named_in_bucket(archive):
                    count += 1
                    missing += address not in there
                    differ += there.get(address, size) != size
        finally:
            if bucket is not None:
                bucket.close()
    except (HubError, OSError) as e:
        return Proof("sealed objects", f"cannot be looked at: {e}", False)
    if missing or differ:
        text = f"of {count:,} objects {missing:,} are missing and {differ:,} are not those of the backup"
        return Proof("sealed objects", text, False)
    if "named" in said["objects"]:
        return Proof("sealed objects", f"the bucket has the {count:,} that were named, of their lengths")
    return Proof("sealed objects", f"{count:,}, each with the digest of the backup")


def _spread(newest: int, most: int = SAMPLE) -> Sequence[int]:
    """Return up to `most` numbers from 1 to `newest`, evenly spread, both ends with them."""
    if newest <= most:
        return range(1, newest + 1)
    return sorted({1 + i * (newest - 1) // (most - 1) for i in range(most)})
