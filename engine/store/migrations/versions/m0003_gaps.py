"""The worklist of codes that no table knows, and outcomes whose flags are work."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("outcome", sa.Column("work", BIG))
    op.execute("UPDATE outcome SET work = 1 WHERE status = 'done' AND flags LIKE '%,true]%'")
    valued = sa.text("work IS NOT NULL")
    op.create_index("outcome_work", "outcome", ["entry"], sqlite_where=valued, postgresql_where=valued)
    op.create_table(
        "gap",
        sa.Column("id", BIG, primary_key=True, autoincrement=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("count", BIG, nullable=False),
        sa.Column("oldest", BIG, nullable=False),
        sa.Column("newest", BIG, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
    )
    op.create_table(
        "gap_wait",
        sa.Column("gap", BIG, primary_key=True, autoincrement=False),
        sa.Column("entry", BIG, primary_key=True, autoincrement=False),
        sa.Column("how", sa.SmallInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("gap_wait_by_entry", "gap_wait", ["entry"])
    op.create_table(
        "proposal",
        sa.Column("id", BIG, primary_key=True, autoincrement=False),
        sa.Column("gap", BIG, nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
    op.create_index("proposal_by_gap", "proposal", ["gap", "id"])
    op.create_table(
        "revision",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("at", BIG, nullable=False),
        sa.Column("tables", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    for name in ("revision", "proposal", "gap_wait", "gap"):
        op.drop_table(name)
    op.drop_index("outcome_work", "outcome")
    op.drop_column("outcome", "work")
