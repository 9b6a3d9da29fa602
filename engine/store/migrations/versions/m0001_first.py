"""The first tables of the core store."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _partial(name: str, table: str, columns: list[str]) -> None:
    valued = sa.text(f"{columns[0]} IS NOT NULL")
    op.create_index(name, table, columns, sqlite_where=valued, postgresql_where=valued)


def upgrade() -> None:
    op.create_table(
        "core_clock",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("rid", BIG, nullable=False),
        sa.Column("at", BIG, nullable=False),
    )
    op.create_table(
        "rtype",
        sa.Column("id", BIG, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
    )
    op.create_table(
        "pack",
        sa.Column("id", BIG, primary_key=True, autoincrement=False),
        sa.Column("entry", BIG, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
    op.create_index("pack_by_entry", "pack", ["entry"])
    op.create_table(
        "history",
        sa.Column("seq", BIG, primary_key=True, autoincrement=False),
        sa.Column("rid", BIG, nullable=False),
        sa.Column("version", BIG, nullable=False),
        sa.Column("entry", BIG, nullable=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("pack", BIG),
        sa.Column("at", BIG, nullable=False),
        sa.Column("op", sa.SmallInteger(), nullable=False),
        sa.Column("prev", BIG),
    )
    op.create_table(
        "resource",
        sa.Column("rid", BIG, primary_key=True, autoincrement=False),
        sa.Column("type", BIG, nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("version", BIG, nullable=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("patient", BIG),
        sa.Column("code", BIG),
        sa.Column("date_from", BIG),
        sa.Column("date_to", BIG),
        sa.Column("deleted", sa.SmallInteger(), nullable=False),
    )
    op.create_index(
        "resource_by_code",
        "resource",
        [sa.text("(rid >> 13)"), "code"],
        sqlite_where=sa.text("code IS NOT NULL"),
        postgresql_where=sa.text("code IS NOT NULL"),
    )
    _partial("resource_by_date", "resource", ["date_from", "rid"])
    _partial("resource_by_patient", "resource", ["patient", "type", "rid"])
    op.create_index("resource_by_type", "resource", ["type", "rid"])
    op.create_table(
        "identity",
        sa.Column("key", sa.LargeBinary(), primary_key=True, autoincrement=False),
        sa.Column("rid", BIG, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "token",
        sa.Column("era", BIG, primary_key=True, autoincrement=False),
        sa.Column("mac", BIG, primary_key=True, autoincrement=False),
        sa.Column("rid", BIG, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pending_reference",
        sa.Column("mac", BIG, primary_key=True, autoincrement=False),
        sa.Column("rid", BIG, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "concept",
        sa.Column("mac", BIG, primary_key=True, autoincrement=False),
        sa.Column("concept", BIG, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "alias",
        sa.Column("retired", BIG, primary_key=True, autoincrement=False),
        sa.Column("survivor", BIG, nullable=False),
        sa.Column("entry", BIG, nullable=False),
        sa.Column("at", BIG, nullable=False),
    )
    op.create_index("alias_by_survivor", "alias", ["survivor"])
    op.create_table(
        "touch",
        sa.Column("era", BIG, primary_key=True, autoincrement=False),
        sa.Column("rid", BIG, primary_key=True, autoincrement=False),
        sa.Column("position", BIG, primary_key=True, autoincrement=False),
        sa.Column("entry", BIG, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "outcome",
        sa.Column("entry", BIG, primary_key=True, autoincrement=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text()),
        sa.Column("place", sa.Text()),
        sa.Column("text", sa.Text()),
        sa.Column("written", BIG, nullable=False),
        sa.Column("unchanged", BIG, nullable=False),
        sa.Column("superseded", BIG, nullable=False),
        sa.Column("flags", sa.Text()),
        sa.Column("reason", sa.LargeBinary()),
        sa.Column("at", BIG, nullable=False),
    )
    parked = sa.text("status = 'parked'")
    op.create_index("outcome_parked", "outcome", ["entry"], sqlite_where=parked, postgresql_where=parked)
    op.create_table(
        "lane",
        sa.Column("lane", BIG, primary_key=True, autoincrement=False),
        sa.Column("watermark", BIG, nullable=False),
    )
    op.create_table(
        "search_key",
        sa.Column("era", BIG, primary_key=True, autoincrement=False),
        sa.Column("mac", BIG, primary_key=True, autoincrement=False),
        sa.Column("entry", BIG, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "delivery",
        sa.Column("id", BIG, primary_key=True, autoincrement=False),
        sa.Column("entry", BIG, nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("detail", sa.LargeBinary(), nullable=False),
        sa.Column("attempts", BIG, nullable=False),
        sa.Column("at", BIG, nullable=False),
    )
    op.create_index("delivery_by_status", "delivery", ["status", "id"])
    op.create_table(
        "audit",
        sa.Column("id", BIG, primary_key=True, autoincrement=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("detail", sa.LargeBinary()),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "audit_head",
        sa.Column("one", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("id", BIG, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
    )
    op.execute("INSERT INTO core_clock (id, seq, rid, at) VALUES (1, 0, 0, 0)")
    start = sa.table("audit_head", sa.column("one"), sa.column("id"), sa.column("hash", sa.LargeBinary))
    op.bulk_insert(start, [{"one": 1, "id": 0, "hash": bytes(16)}])


def downgrade() -> None:
    op.drop_table("audit_head")
    op.drop_table("audit")
    op.drop_table("delivery")
    op.drop_table("search_key")
    op.drop_table("lane")
    op.drop_table("outcome")
    op.drop_table("touch")
    op.drop_table("alias")
    op.drop_table("concept")
    op.drop_table("pending_reference")
    op.drop_table("token")
    op.drop_table("identity")
    op.drop_table("resource")
    op.drop_table("history")
    op.drop_table("pack")
    op.drop_table("rtype")
    op.drop_table("core_clock")
