"""The keys a hub signs with, the same on all its machines, by way of the staff database.

In: `signing.keys` in the data folder of one machine. Out: the same file on the others, within a second or two
and at every start: whichever console is asked for the public halves serves those of whoever signs. Keys that
were made here while other machines had theirs already stay until a person decides (`hub key signing --take`).
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from engine.channels.renewal import write_whole
from engine.channels.sharing import shared
from engine.kernel.config import Config
from engine.kernel.errors import HubError
from engine.security.signing import FILE
from engine.staff.livefiles import digest_of
from engine.staff.staff import Staff

__all__ = ["OtherKeys", "follow_keys", "give_keys", "take_keys"]

log = logging.getLogger("hub.changes")


class OtherKeys(HubError):
    """This machine signs with other keys than the rest."""

    def __init__(self, node: str) -> None:
        super().__init__(
            "this machine has signing keys of its own",
            where=FILE,
            why=f"the other machines have those that {node} made",
            remedy="type hub key signing --take here, and nothing signs with these any more",
        )


def follow_keys(config: Config, staff: Staff) -> bool:
    """Take over the keys of all machines, or give ours where there are none; says whether the file changed.

    Raises OtherKeys where both are there and differ.
    """
    if not shared(config):
        return False
    held, mine = staff.signing.now_held(), _mine(config)
    if held is None:
        if mine is not None:
            give_keys(config, staff, 0)
        return False
    if mine == held.body:
        _mark(config, mine)
        return False
    if mine is not None and digest_of(mine) != _followed(config):
        raise OtherKeys(held.node)
    take_keys(config, staff)
    log.info("signing keys of %s taken over", held.node)
    return True


def take_keys(config: Config, staff: Staff) -> int:
    """Put the keys of all machines in the place of those here; return their version, 0: there are none."""
    held = staff.signing.now_held()
    if held is None:
        return 0
    path = config.data_dir / FILE
    if not path.exists():
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))  # the mode that its successor gets
    write_whole(path, held.body)
    _mark(config, held.body)
    return held.version


def give_keys(config: Config, staff: Staff, seen: int) -> None:
    """Give the keys of this machine to all, in the place of version `seen`. Raises HubError."""
    mine = _mine(config)
    assert mine is not None
    staff.signing.put(mine, config.node_name, seen)
    _mark(config, mine)


def _mine(config: Config) -> bytes | None:
    path = config.data_dir / FILE
    return path.read_bytes() if path.exists() else None


def _marked(config: Config) -> Path:
    return config.data_dir / f"{FILE}.followed"


def _followed(config: Config) -> str:
    """Return the digest of the keys that were last the same here as everywhere."""
    return _marked(config).read_text() if _marked(config).exists() else ""


def _mark(config: Config, body: bytes) -> None:
    if _followed(config) != digest_of(body):
        write_whole(_marked(config), digest_of(body).encode())
