"""The tables of FHIR Subscriptions: who is called for what, what waits for whom, what was answered.

In: nothing. Out: tables of METADATA. Times are milliseconds since 1970. The Subscription itself is sealed:
its headers hold secrets, and its criteria may name a patient.
"""

from __future__ import annotations

import sqlalchemy as sa

from engine.staff.tables import METADATA, number

__all__ = ["SUBSCRIPTIONS", "SUBSCRIPTION_CALLS", "SUBSCRIPTION_WAITING"]

SUBSCRIPTIONS = sa.Table(
    "staff_subscription",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),  # as the audit shows the caller
    sa.Column("kind", sa.Text, nullable=False),  # the resource type of its criteria
    sa.Column("status", sa.Text, nullable=False),  # requested | active | error | off
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),  # the resource as it was sent
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("made", sa.BigInteger, nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),  # changes after this feed position count
    sa.Column("ends", sa.BigInteger),
    sa.Column("failing", sa.BigInteger),  # since when; none: the last call arrived
    sa.Column("failures", sa.BigInteger, nullable=False),  # in a row
    sa.Column("due", sa.BigInteger, nullable=False),  # before this it is not called
    sa.Column("sent", sa.BigInteger, nullable=False),  # calls that arrived
    sa.Column("last", sa.BigInteger),  # when the last of them did
)

SUBSCRIPTION_WAITING = sa.Table(  # one row a resource: a call tells what the store says at that moment
    "staff_subscription_waiting",
    METADATA,
    sa.Column("subscription", sa.Text, primary_key=True),
    sa.Column("resource", sa.Text, primary_key=True),  # Type/id
    sa.Column("seq", sa.BigInteger, nullable=False),  # the newest change of it
    sa.Column("at", sa.BigInteger, nullable=False),
)
sa.Index(
    "staff_subscription_waiting_in_order", SUBSCRIPTION_WAITING.c.subscription, SUBSCRIPTION_WAITING.c.seq
)

SUBSCRIPTION_CALLS = sa.Table(  # the newest calls, as evidence
    "staff_subscription_call",
    METADATA,
    number(),
    sa.Column("subscription", sa.Text, nullable=False),
    sa.Column("resource", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),  # sent | retry | refuse
    sa.Column("why", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index(
    "staff_subscription_call_by_subscription", SUBSCRIPTION_CALLS.c.subscription, SUBSCRIPTION_CALLS.c.id
)
