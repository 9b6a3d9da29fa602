"""The journal's tables, one schema for SQLite and PostgreSQL, as SQLAlchemy Core sees them.

`entry` is small and append-only: numbers, keyed hashes and a sealed head (control id, peer, reason); the
sealed bytes are beside it in `body`, so that lists and lanes never read them and retention removes them
alone. Words such as channel and sender are `name` rows, sealed too: a damaged message can carry patient data
in any field. `mark` says from which entry on the hour of receipt and the sealing key changed: a sparse index
on time for the price of 24 rows a day. Migrations under `migrations/` make these tables; a test holds the two
together.
"""

from __future__ import annotations

import sqlalchemy as sa

__all__ = ["KINDS", "REVISION", "body", "entry", "mark", "meta", "metadata", "name", "sealing_key", "tail"]

REVISION = "0002"
"""The newest migration: a journal that has it is opened without loading Alembic."""

KINDS = ("message", "garbage", "replay", "resend", "refused", "answer")
"""`entry.kind` is the index here; the first two come from outside and are checked for duplicates."""

metadata = sa.MetaData()
_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

entry = sa.Table(
    "entry",
    metadata,
    sa.Column("id", _id, primary_key=True, autoincrement=False),  # 1, 2, 3 ... without gaps, in commit order
    sa.Column("source", sa.Integer, nullable=False),  # name: channel and sender
    sa.Column("type", sa.Integer, nullable=False),  # name: message type
    sa.Column("charset", sa.Integer, nullable=False),  # name
    sa.Column("kind", sa.SmallInteger, nullable=False),
    sa.Column("received", sa.BigInteger, nullable=False),  # ms since the epoch
    sa.Column("size", sa.BigInteger, nullable=False),  # bytes of the body as received
    sa.Column("control", sa.BigInteger),  # keyed hash of channel, sender and control id
    sa.Column("hash", sa.LargeBinary, nullable=False),  # keyed hash of the body, 16 bytes
    sa.Column("lanes", sa.LargeBinary, nullable=False),  # one byte a lane, ascending
    sa.Column("parent", sa.BigInteger),
    sa.Column("position", sa.BigInteger),  # null: its own id
    sa.Column("conflicts", sa.BigInteger),
    sa.Column("head", sa.LargeBinary),  # sealed; null once retention removed it
)
sa.Index("entry_control", entry.c.control, entry.c.hash)
sa.Index("entry_source", entry.c.source, entry.c.type, entry.c.id)
_unusual = sa.text("kind > 0")  # replays, answers, what was refused: few beside the messages
sa.Index("entry_kind", entry.c.kind, entry.c.id, sqlite_where=_unusual, postgresql_where=_unusual)

body = sa.Table(
    "body",
    metadata,
    sa.Column("entry", _id, primary_key=True, autoincrement=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
name = sa.Table(
    "name",
    metadata,
    sa.Column("id", _id, primary_key=True, autoincrement=True),
    sa.Column("mac", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
sealing_key = sa.Table(
    "sealing_key",
    metadata,
    sa.Column("id", _id, primary_key=True, autoincrement=True),
    sa.Column("day", sa.Integer, nullable=False),  # days since the epoch
    sa.Column("sealed", sa.LargeBinary),  # the random key, sealed under the keyring; null: destroyed
    sa.Column("destroyed", sa.BigInteger),
)
mark = sa.Table(
    "mark",
    metadata,
    sa.Column("first", _id, primary_key=True, autoincrement=False),  # first entry it holds for
    sa.Column("hour", sa.Integer, nullable=False),  # hours since the epoch
    sa.Column("key_id", sa.Integer, nullable=False),
)
tail = sa.Table(
    "tail",
    metadata,
    sa.Column("one", sa.SmallInteger, primary_key=True, autoincrement=False),  # PostgreSQL: locked to append
    sa.Column("last", sa.BigInteger, nullable=False),
)
meta = sa.Table(
    "meta",
    metadata,
    sa.Column("item", sa.String(40), primary_key=True),
    sa.Column("value", sa.String(200), nullable=False),
)
