"""The tables of alarms: what was raised, who is told, what was silenced, which backups there are.

In: nothing. Out: tables of METADATA. Times are milliseconds since 1970. Nothing here holds patient data:
channels, causes, counts, names of staff, answers of mail servers.
"""

from __future__ import annotations

import sqlalchemy as sa

from engine.staff.tables import METADATA, number

__all__ = ["ALARMS", "BACKUPS", "NOTICES", "SILENCES", "notice_table"]

ALARMS = sa.Table(
    "staff_alarm",
    METADATA,
    number(),
    sa.Column("key", sa.Text, nullable=False),  # channel and rule, or what of the hub it is about
    sa.Column("channel", sa.Text, nullable=False),  # empty: the hub itself
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("say", sa.Text, nullable=False),
    sa.Column("urgent", sa.Integer, nullable=False),
    sa.Column("value", sa.BigInteger, nullable=False),  # a count, seconds or days
    sa.Column("most", sa.BigInteger, nullable=False),  # the highest it was
    sa.Column("raised", sa.BigInteger, nullable=False),
    sa.Column("seen", sa.BigInteger, nullable=False),  # when it was last seen to be on
    sa.Column("cleared", sa.BigInteger),
    sa.Column("acknowledged", sa.BigInteger),
    sa.Column("acknowledged_by", sa.Text),
    sa.Column("told", sa.BigInteger),  # when people were told
    sa.Column("escalated", sa.BigInteger),
    sa.Column("over_told", sa.BigInteger),
    sqlite_autoincrement=True,
)
sa.Index("staff_alarm_by_key", ALARMS.c.key, ALARMS.c.id)
_open = ALARMS.c.cleared.is_(None)
sa.Index("staff_alarm_open", ALARMS.c.key, unique=True, sqlite_where=_open, postgresql_where=_open)

SILENCES = sa.Table(
    "staff_silence",
    METADATA,
    number(),
    sa.Column("channel", sa.Text, nullable=False),  # `*`: every channel, and the hub
    sa.Column("kind", sa.Text, nullable=False),  # empty: every kind
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("made", sa.BigInteger, nullable=False),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("ended", sa.BigInteger),
    sa.Column("ended_by", sa.Text),
    sqlite_autoincrement=True,
)
sa.Index("staff_silence_by_until", SILENCES.c.until)


def notice_table(name: str) -> sa.Table:
    """Make a table of notices: what is told of goes by the number in `alarm`."""
    table = sa.Table(
        name,
        METADATA,
        number(),
        sa.Column("alarm", sa.BigInteger),  # none: a test
        sa.Column("event", sa.Text, nullable=False),  # raised | escalated | over | test
        sa.Column("way", sa.Text, nullable=False),  # mail:<address> or webhook:<name>
        sa.Column("once", sa.Text, nullable=False, unique=True),  # the same notice is made once
        sa.Column("made", sa.BigInteger, nullable=False),
        sa.Column("due", sa.BigInteger),  # when it is tried (again); none: it is sent or given up
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("sent", sa.BigInteger),
        sa.Column("answer", sa.Text, nullable=False),  # of the last try
        sqlite_autoincrement=True,
    )
    sa.Index(f"{name}_by_due", table.c.due)
    sa.Index(f"{name}_by_alarm", table.c.alarm)
    return table


NOTICES = notice_table("staff_notice")

BACKUPS = sa.Table(
    "staff_backup",
    METADATA,
    number(),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("entry", sa.BigInteger, nullable=False),  # newest journal entry in it; 0: not known
    sa.Column("verified", sa.Integer, nullable=False),
    sqlite_autoincrement=True,
)
