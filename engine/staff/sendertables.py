"""The tables of what is known of senders: counts, signed contracts, coverage.

In: nothing. Out: tables of METADATA. What was seen of a sender is sealed as a whole: names, codes and places
may be patient data where a sender misuses a field. In clear are numbers and times.
"""

from __future__ import annotations

import sqlalchemy as sa

from engine.staff.tables import METADATA, number

__all__ = ["CONTRACTS", "COVERAGES", "READING", "SENDERS", "TYPES"]

READING = sa.Table(  # one row: the journal entry up to which everything is counted
    "staff_sender_reading",
    METADATA,
    sa.Column("one", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("entry", sa.BigInteger, nullable=False),
)

SENDERS = sa.Table(
    "staff_sender",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),  # a keyed hash of channel and sender
    sa.Column("name", sa.LargeBinary, nullable=False),  # sealed: channel and sender
    sa.Column("seen", sa.LargeBinary, nullable=False),  # sealed
    sa.Column("messages", sa.BigInteger, nullable=False),
    sa.Column("looked", sa.BigInteger, nullable=False),
    sa.Column("last", sa.BigInteger, nullable=False),
    sa.Column("day", sa.BigInteger, nullable=False),  # messages of the last 24 hours before `last`
    sa.Column("drift", sa.Integer, nullable=False, server_default="0"),
    sa.Column("contract", sa.BigInteger),  # the one in force
)
sa.Index("staff_sender_by_drift", SENDERS.c.drift, SENDERS.c.last, SENDERS.c.id)

TYPES = sa.Table(
    "staff_sender_type",
    METADATA,
    sa.Column("sender", sa.Text, primary_key=True),
    sa.Column("type", sa.Text, primary_key=True),  # a keyed hash
    sa.Column("seen", sa.LargeBinary, nullable=False),  # sealed
)

CONTRACTS = sa.Table(
    "staff_sender_contract",
    METADATA,
    number(),
    sa.Column("sender", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),  # of this sender: 1, 2, 3
    sa.Column("signed", sa.BigInteger, nullable=False),
    sa.Column("said", sa.LargeBinary, nullable=False),  # sealed: who, note
    sa.Column("seen", sa.LargeBinary, nullable=False),  # sealed
    sa.UniqueConstraint("sender", "version"),
    sqlite_autoincrement=True,
)

COVERAGES = sa.Table(
    "staff_sender_coverage",
    METADATA,
    sa.Column("sender", sa.Text, primary_key=True),
    sa.Column("made", sa.BigInteger, nullable=False),
    sa.Column("newest", sa.BigInteger, nullable=False),  # the newest entry that was looked at
    sa.Column("revision", sa.Text, nullable=False),
    sa.Column("seen", sa.LargeBinary, nullable=False),  # sealed
)
