"""The journal: entries, bodies, names, sealing keys, marks. Entries are never deleted, whoever asks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "entry",
        sa.Column("id", _id, primary_key=True, autoincrement=False),
        sa.Column("source", sa.Integer, nullable=False),
        sa.Column("type", sa.Integer, nullable=False),
        sa.Column("charset", sa.Integer, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("control", sa.BigInteger),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("lanes", sa.LargeBinary, nullable=False),
        sa.Column("parent", sa.BigInteger),
        sa.Column("position", sa.BigInteger),
        sa.Column("conflicts", sa.BigInteger),
        sa.Column("head", sa.LargeBinary),
    )
    op.create_index("entry_control", "entry", ["control", "hash"])
    op.create_index("entry_source", "entry", ["source", "id"])
    op.create_table(
        "body",
        sa.Column("entry", _id, primary_key=True, autoincrement=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "name",
        sa.Column("id", _id, primary_key=True, autoincrement=True),
        sa.Column("mac", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "sealing_key",
        sa.Column("id", _id, primary_key=True, autoincrement=True),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("destroyed", sa.BigInteger),
    )
    op.create_table(
        "mark",
        sa.Column("first", _id, primary_key=True, autoincrement=False),
        sa.Column("hour", sa.Integer, nullable=False),
        sa.Column("key_id", sa.Integer, nullable=False),
    )
    tail = op.create_table(
        "tail",
        sa.Column("one", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "meta",
        sa.Column("item", sa.String(40), primary_key=True),
        sa.Column("value", sa.String(200), nullable=False),
    )
    op.bulk_insert(tail, [{"one": 1, "last": 0}])
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE TRIGGER entry_stays BEFORE DELETE ON entry"
            " BEGIN SELECT RAISE(ABORT, 'journal entries are never deleted'); END"
        )
    else:
        op.execute(
            "CREATE FUNCTION entry_stays() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'journal entries are never deleted'; END $$"
        )
        op.execute(
            "CREATE TRIGGER entry_stays BEFORE DELETE OR TRUNCATE ON entry"
            " FOR EACH STATEMENT EXECUTE FUNCTION entry_stays()"
        )


def downgrade() -> None:
    """Refuse: going back would lose messages."""
    raise NotImplementedError("a journal is never migrated backwards; restore a backup instead")
