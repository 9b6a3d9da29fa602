"""The tables of `staff.db`, once for SQLite and PostgreSQL: what people are, may and have written.

In: nothing. Out: METADATA, made with `create_all` when the database is opened. Every table's name begins with
`staff_`, so that a database of PostgreSQL may be shared with the journal. Times are milliseconds since 1970.
What may hold patient data is a column of bytes sealed by the keyring; passwords, codes, links, sessions and
keys of programs are kept as hashes only.
"""

from __future__ import annotations

import sqlalchemy as sa

__all__ = [
    "ACCOUNTS",
    "ADDRESSES",
    "GLASS",
    "GRANTS",
    "KEYS",
    "LINKS",
    "METADATA",
    "NUMBER",
    "RECOVERY",
    "SESSIONS",
    "number",
]

METADATA = sa.MetaData()
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite counts INTEGER primary keys only


def number() -> sa.Column[int]:
    """Make the column `id` of a table that counts its rows; a number is never used twice."""
    return sa.Column("id", NUMBER, sa.Identity(), primary_key=True)


META = sa.Table(
    "staff_meta",
    METADATA,
    sa.Column("item", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

ACCOUNTS = sa.Table(
    "staff_account",
    METADATA,
    number(),
    sa.Column("name", sa.Text, nullable=False, unique=True),  # what is typed, small letters
    sa.Column("display", sa.Text, nullable=False),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("password", sa.Text),  # argon2id in PHC form; none: signs in elsewhere
    sa.Column("issuer", sa.Text, nullable=False, server_default=""),  # of OpenID Connect, with the subject
    sa.Column("subject", sa.Text, nullable=False, server_default=""),
    sa.Column("totp", sa.LargeBinary),  # the secret, sealed
    sa.Column("totp_step", sa.BigInteger, nullable=False, server_default="0"),  # the last that was used
    sa.Column("must_change", sa.Integer, nullable=False, server_default="0"),
    sa.Column("disabled", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("locked_until", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("made", sa.BigInteger, nullable=False),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("signed_in", sa.BigInteger),
    sqlite_autoincrement=True,
)
sa.Index("staff_account_by_subject", ACCOUNTS.c.issuer, ACCOUNTS.c.subject)

GRANTS = sa.Table(
    "staff_grant",
    METADATA,
    sa.Column("account", sa.BigInteger, sa.ForeignKey("staff_account.id"), primary_key=True),
    sa.Column("role", sa.Text, primary_key=True),
    sa.Column("channels", sa.Text, primary_key=True),  # globs with spaces between
)

RECOVERY = sa.Table(
    "staff_recovery",
    METADATA,
    sa.Column("account", sa.BigInteger, sa.ForeignKey("staff_account.id"), primary_key=True),
    sa.Column("hash", sa.LargeBinary, primary_key=True),
)

LINKS = sa.Table(  # one-time links: for the first account, an invitation, a new password
    "staff_link",
    METADATA,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    sa.Column("account", sa.BigInteger),  # none: for making the first account
    sa.Column("made", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger),  # none: until it is used
)

ADDRESSES = sa.Table(  # failed attempts to sign in, by where they came from
    "staff_address",
    METADATA,
    sa.Column("address", sa.LargeBinary, primary_key=True),  # a keyed hash
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("locked_until", sa.BigInteger, nullable=False),
    sa.Column("last", sa.BigInteger, nullable=False),
)

SESSIONS = sa.Table(
    "staff_session",
    METADATA,
    number(),
    sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("account", sa.BigInteger, nullable=False),
    sa.Column("csrf", sa.Text, nullable=False),
    sa.Column("made", sa.BigInteger, nullable=False),
    sa.Column("seen", sa.BigInteger, nullable=False),
    sa.Column("proven", sa.BigInteger, nullable=False),  # when the password, or what stands for it, was given
    sa.Column("how", sa.Text, nullable=False),  # password | totp | recovery | oidc | link
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("hint", sa.LargeBinary),  # the id_token of the sign-in, sealed: ends the session there, too
    sqlite_autoincrement=True,
)
sa.Index("staff_session_by_account", SESSIONS.c.account)

KEYS = sa.Table(  # of programs
    "staff_key",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("name", sa.Text, nullable=False, unique=True),  # what the audit shows
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("channels", sa.Text, nullable=False),
    sa.Column("made", sa.BigInteger, nullable=False),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("expires", sa.BigInteger),
    sa.Column("used", sa.BigInteger),
    sa.Column("revoked", sa.BigInteger),
    sa.Column("revoked_by", sa.Text),
)

GLASS = sa.Table(  # broken glass: who saw bodies for a while, and why
    "staff_glass",
    METADATA,
    number(),
    sa.Column("account", sa.BigInteger, nullable=False),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("channels", sa.Text, nullable=False),
    sa.Column("reason", sa.LargeBinary, nullable=False),  # sealed
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("acknowledged", sa.BigInteger),
    sa.Column("acknowledged_by", sa.Text),
    sqlite_autoincrement=True,
)
sa.Index("staff_glass_by_until", GLASS.c.until)
