"""The tables of critical results: what was told, by whom it was taken over, up to where the store was read.

In: nothing. Out: tables of METADATA. Times are milliseconds since 1970. No value, name or number of a patient
is here: ids of the core store, names of rules, why they matched; what a person writes down is sealed.
"""

from __future__ import annotations

import sqlalchemy as sa

from engine.staff.alarmtables import notice_table
from engine.staff.tables import METADATA, number

__all__ = ["CRITICALS", "CRITICAL_NOTICES", "CRITICAL_UNJUDGED", "FOLLOWED"]

CRITICALS = sa.Table(
    "staff_critical",
    METADATA,
    number(),
    sa.Column("subject", sa.Text, nullable=False),  # Observation/<id>
    sa.Column("kind", sa.Text, nullable=False),  # new | corrected | moved | withdrawn | retracted
    sa.Column("rules", sa.Text, nullable=False),  # names, one a line
    sa.Column("why", sa.Text, nullable=False),  # of each rule, one a line
    sa.Column("say", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("entry", sa.BigInteger, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),  # position of the change feed
    sa.Column("patient", sa.Text, nullable=False),  # Patient/<id>, empty: none
    sa.Column("digest", sa.LargeBinary, nullable=False),  # keyed, of what was said
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("raised", sa.BigInteger, nullable=False),
    sa.Column("late", sa.Integer, nullable=False),  # 1: too old to be told; kept for what follows
    sa.Column("escalate_ms", sa.BigInteger),  # none: never
    sa.Column("told", sa.BigInteger),
    sa.Column("escalations", sa.Integer, nullable=False),
    sa.Column("escalated", sa.BigInteger),  # the last time
    sa.Column("acknowledged", sa.BigInteger),
    sa.Column("acknowledged_by", sa.Text),
    sa.Column("note", sa.LargeBinary),  # whom it was read to; sealed
    sa.Column("followed_by", sa.BigInteger),  # the row that tells what became of the result since
    sqlite_autoincrement=True,
)
sa.Index("staff_critical_by_subject", CRITICALS.c.subject, CRITICALS.c.id)
_open = CRITICALS.c.acknowledged.is_(None)
sa.Index("staff_critical_open", CRITICALS.c.id, sqlite_where=_open, postgresql_where=_open)

CRITICAL_NOTICES = notice_table("staff_critical_notice")

CRITICAL_UNJUDGED = sa.Table(  # what a rule named and could not compare
    "staff_critical_unjudged",
    METADATA,
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("channel", sa.Text, primary_key=True),
    sa.Column("why", sa.Text, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("entry", sa.BigInteger, nullable=False),  # the newest
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("settled", sa.BigInteger),  # when somebody said that it is dealt with
    sa.Column("settled_by", sa.Text),
)

FOLLOWED = sa.Table(  # who reads the change feed, and how far
    "staff_followed",
    METADATA,
    sa.Column("reader", sa.Text, primary_key=True),  # critical | subscriptions
    sa.Column("cursor", sa.Text, nullable=False),  # position and mark, see engine.store.cursor
    sa.Column("at", sa.BigInteger, nullable=False),
)
