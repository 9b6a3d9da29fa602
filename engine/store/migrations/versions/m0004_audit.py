"""The audit found by person, by action and by what a row names, and where its chain begins."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_index("audit_by_who", "audit", ["who", "id"])
    op.create_index("audit_by_action", "audit", ["action", "id"])
    op.create_table(
        "audit_named",
        sa.Column("mac", BIG, primary_key=True, autoincrement=False),
        sa.Column("row", BIG, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit_named_upto",
        sa.Column("one", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("row", BIG, nullable=False),
    )
    op.create_table(
        "audit_begin",
        sa.Column("one", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("row", BIG, nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
    )
    op.execute("INSERT INTO audit_named_upto VALUES (1, 0)")


def downgrade() -> None:
    for name in ("audit_begin", "audit_named_upto", "audit_named"):
        op.drop_table(name)
    for name in ("audit_by_action", "audit_by_who"):
        op.drop_index(name, "audit")
