"""The queue of this project: one box, or many machines by way of NATS.

In: `queue:`, `workers:` and `node:` of config.yaml. Out: the queue of a worker, the turns of a process that
does what only one may do, and the bell of whoever appends to the journal. What many machines need besides is
looked at before anything starts: one database server for everything they share, and one key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from engine.journal.sql import SqlJournal
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError
from engine.queue.lanes import OwnLanes
from engine.queue.protocol import WorkQueue

__all__ = ["check_queue", "named", "open_queue", "ringing", "shared"]


def shared(config: Config) -> bool:
    """Say whether several machines share the work of this hub."""
    return bool(config.queue.servers)


def named(config: Config, process: str) -> str:
    """Return the name of a process of this machine among all: `node1/worker-0`."""
    return f"{config.node_name}/{process}"


def open_queue(
    config: Config,
    process: str,
    own: Collection[int] = (),
    lanes: int = 0,
    owners: Mapping[int, str] | None = None,
) -> WorkQueue:
    """Open the queue of one process; `own` are its lanes where nobody else shares, `lanes` how many there
    are, `owners` who took each of them last, as the core store says.
    """
    if not shared(config):
        return OwnLanes(own, named(config, process))
    from engine.queue.jetstream import JetStreamQueue

    name = named(config, process)
    had = [lane for lane, owner in (owners or {}).items() if owner == name]
    return JetStreamQueue(config.queue.below(config.root), name, lanes, had)


def ringing(config: Config, process: str, journal: SqlJournal) -> SqlJournal:
    """Have a journal ring for workers of other machines whenever this process appends to it."""
    if shared(config):
        from engine.queue.bell import JetStreamBell

        journal.bell = JetStreamBell(config.queue.below(config.root), named(config, process)).ring
    return journal


def check_queue(config: Config) -> None:
    """Refuse many machines without what they must share. Raises ConfigError."""
    if not shared(config):
        return
    from engine.queue.broker import check_client

    check_client()
    for word in ("journal", "core", "imaging", "staff"):
        if not getattr(config, word).startswith("postgresql"):
            raise ConfigError(
                f"{word}: must be a database of PostgreSQL where queue: names servers",
                where=config.at(word if getattr(config, word) else "queue"),
                why="several machines share it, and a file of SQLite is on one",
                remedy=f"write {word}: postgresql://USER@HOST/DATABASE, or queue: in-process",
            )
    if not config.key:
        raise ConfigError(
            "key: must be set where queue: names servers",
            where=config.at("queue"),
            why="every machine needs the same data key, and a key file is made on one",
            remedy="write key: ${secret:DATA_KEY} and give all machines the same secret",
        )
