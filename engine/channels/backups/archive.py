"""The list of a backup: what is in it, how each file is known again, and what is not in it.

In: a folder. Out: `backup.json` in it, with the size and SHA-256 of every file, the rows of every table, the
positions of journal and core store, and a keyed hash of all that, so that nobody without the data key makes
a list that fits. Objects are listed in a file of their own, one a line. `verify` proves a folder by it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from engine.channels.backups.databases import integrity_of
from engine.kernel.errors import HubError
from engine.security.keys import Keyring

__all__ = [
    "LIST",
    "NAMED",
    "OBJECTS",
    "Copies",
    "Held",
    "described",
    "fingerprint",
    "named_in_bucket",
    "objects_in",
    "read",
    "verify",
    "write",
]

LIST, OBJECTS, NAMED = "backup.json", "objects.list", "objects.named"
"""`objects.named`: what a bucket held that was not copied, an address and its sealed bytes a line."""

FORMAT = 2
_PIECE = 1 << 20


class Held(NamedTuple):
    """One object of a backup: `address`, bytes of its sealed file, SHA-256 of it."""

    address: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Copies:
    """A backup that was made and verified."""

    folder: Path
    files: dict[str, int]  # name -> bytes
    entry: int  # newest journal entry in it
    said: dict[str, Any]  # the whole list

    @property
    def bytes(self) -> int:
        """All files together."""
        return sum(self.files.values()) + int(self.said.get("objects", {}).get("bytes", 0))


def described(path: Path) -> dict[str, Any]:
    """Return how a file is known again."""
    digest = hashlib.sha256()
    with path.open("rb") as f:
        while piece := f.read(_PIECE):
            digest.update(piece)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def fingerprint(keyring: Keyring) -> str:
    """Return what tells one data key from another and gives nothing of it away."""
    return keyring.mac16("backup key", "").hex()


def write(folder: Path, said: dict[str, Any], keyring: Keyring) -> None:
    """Write the list, sealed."""
    said = said | {"format": FORMAT, "key": fingerprint(keyring)}
    said["seal"] = _seal(said, keyring)
    content = orjson.dumps(said, option=orjson.OPT_INDENT_2)
    with os.fdopen(os.open(folder / LIST, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
        f.write(content)
        f.flush()
        os.fsync(f.fileno())


def read(folder: Path, keyring: Keyring | None = None) -> dict[str, Any]:
    """Read the list of a backup; with the key, see that it is the one that was written. Raises HubError."""
    where = str(folder / LIST)
    try:
        said = orjson.loads((folder / LIST).read_bytes())
        files, format_ = said["files"], int(said.get("format", 1))
        named = [(str(name), int(one["bytes"]), str(one["sha256"])) for name, one in files.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise HubError("is not a backup of this hub", where=where) from None
    if format_ > FORMAT:
        raise HubError("was made by a newer hub", where=where, remedy="use that version, or a newer one")
    for name, _, _ in named:
        if name.startswith("/") or ".." in name.split("/"):
            raise HubError("names a file outside the backup", where=where)
    if keyring is not None and format_ > 1:
        if said.get("key") != fingerprint(keyring):
            raise HubError(
                "was made with another data key",
                where=where,
                remedy="give the keys that were kept apart when it was made",
            )
        if said.get("seal") != _seal(said, keyring):
            raise HubError("is not the list that was written", where=where, remedy="take another backup")
    return dict(said)


def objects_in(folder: Path) -> Iterator[Held]:
    """Give the objects of a backup, as its list of them says."""
    path = folder / OBJECTS
    if not path.exists():
        return
    with path.open(encoding="ascii") as lines:
        for line in lines:
            address, size, digest = line.split()
            yield Held(address, int(size), digest)


def named_in_bucket(folder: Path) -> Iterator[tuple[str, int]]:
    """Give address and sealed bytes of the objects that a backup names without having them."""
    path = folder / NAMED
    if not path.exists():
        return
    with path.open(encoding="ascii") as lines:
        for line in lines:
            address, size = line.split()
            yield address, int(size)


def verify(
    folder: Path, keyring: Keyring | None = None, progress: Callable[[str], None] = lambda text: None
) -> Copies:
    """Prove that a backup is whole: its list, its files, each database, and the pair. Raises HubError."""
    said = read(folder, keyring)
    for name, one in said["files"].items():
        _same(folder / name, one)
        if name.endswith(".db"):
            progress(f"checking {name}")
            result = integrity_of(folder / name)
            if result != "ok":
                raise HubError(
                    "is damaged", where=str(folder / name), why=result, remedy="take another backup"
                )
    for held in objects_in(folder):
        _same(folder / "objects" / held.address[:2] / held.address, held._asdict())
    fits(said, str(folder))
    return Copies(
        folder, {n: int(one["bytes"]) for n, one in said["files"].items()}, int(said["entry"]), said
    )


def fits(said: dict[str, Any], where: str) -> None:
    """Refuse a pair of which the journal is the older one."""
    newest, worked = int(said["entry"]), int(said.get("worked", 0))
    if worked > newest:
        raise HubError(
            "the journal is older than the core store",
            where=where,
            why=f"it ends at entry {newest}, and entry {worked} was worked on",
            remedy="take another backup",
        )


def _same(path: Path, said: dict[str, Any]) -> None:
    try:
        found = described(path)
    except OSError as e:
        raise HubError("cannot be read", where=str(path), why=e.strerror or "") from None
    if any(found[word] != said[word] for word in found):
        raise HubError("is not the file that was made", where=str(path), remedy="take another backup")


def _seal(said: dict[str, Any], keyring: Keyring) -> str:
    rest = {name: value for name, value in said.items() if name != "seal"}
    return keyring.mac16("backup list", orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)).hex()
