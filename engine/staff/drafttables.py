"""The tables of drafts and changes, in the METADATA of `tables`: heads, files, what was done, what was found,
what went live.

File texts, comments and reports are sealed: a test written down in a map may hold a message.
"""

from __future__ import annotations

import sqlalchemy as sa

from engine.staff.tables import METADATA, NUMBER

__all__ = ["CHANGES", "DRAFTS", "EVENTS", "FILES", "REPORTS"]

DRAFTS = sa.Table(
    "staff_draft",
    METADATA,
    sa.Column("number", NUMBER, sa.Identity(), primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("begun", sa.BigInteger, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),  # of the content; what checks and approvals are about
    sqlite_autoincrement=True,
)

FILES = sa.Table(
    "staff_draft_file",
    METADATA,
    sa.Column("draft", sa.BigInteger, sa.ForeignKey("staff_draft.number"), primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("base", sa.LargeBinary),  # the live text it began from; none: there was no file
    sa.Column("text", sa.LargeBinary),  # none: the file goes away
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)

EVENTS = sa.Table(
    "staff_draft_event",
    METADATA,
    sa.Column("id", NUMBER, sa.Identity(), primary_key=True),
    sa.Column("draft", sa.BigInteger, sa.ForeignKey("staff_draft.number"), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),  # put | drop | rebase | comment | a state
    sa.Column("digest", sa.Text, nullable=False),  # the content after it
    sa.Column("text", sa.LargeBinary),
    sqlite_autoincrement=True,
)
sa.Index("staff_draft_event_by_draft", EVENTS.c.draft)

REPORTS = sa.Table(
    "staff_draft_report",
    METADATA,
    sa.Column("kind", sa.Text, primary_key=True),  # checks | impact
    sa.Column("digest", sa.Text, primary_key=True),  # the content it is about
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

CHANGES = sa.Table(  # what went live, and what took it back
    "staff_change",
    METADATA,
    sa.Column("number", NUMBER, sa.Identity(), primary_key=True),
    sa.Column("draft", sa.BigInteger, sa.ForeignKey("staff_draft.number"), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("approved_by", sa.Text, nullable=False),  # empty: taken back, or a lone person
    sa.Column("kind", sa.Text, nullable=False),  # live | back
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("commit", sa.Text, nullable=False),  # of git; empty: the folder is no repository
    sa.Column("body", sa.LargeBinary, nullable=False),  # path -> text before and after, and what was said
    sqlite_autoincrement=True,
)
sa.Index("staff_change_by_draft", CHANGES.c.draft)
