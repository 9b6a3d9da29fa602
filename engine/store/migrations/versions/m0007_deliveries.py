"""Deliveries: destinations by number, what waits for them and in which order, every try with its evidence.

The table of before was never written: there were no destinations.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.drop_index("delivery_by_status", "delivery")
    op.drop_table("delivery")
    op.create_table(
        "destination",
        sa.Column("id", BIG, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", BIG, nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
    )
    op.create_table(
        "delivery",
        sa.Column("id", BIG, primary_key=True, autoincrement=False),
        sa.Column("entry", BIG, nullable=False),
        sa.Column("destination", BIG, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("keys", sa.Text(), nullable=False),
        sa.Column("due", BIG, nullable=False),
        sa.Column("tries", BIG, nullable=False),
        sa.Column("round", BIG, nullable=False),
        sa.Column("anew", BIG, nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("first", BIG),
        sa.Column("done", BIG),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary()),
    )
    for name, where in (("pending", "status = 'pending'"), ("held", "status IN ('parked', 'refused')")):
        op.create_index(
            f"delivery_{name}",
            "delivery",
            ["destination", "id"],
            sqlite_where=sa.text(where),
            postgresql_where=sa.text(where),
        )
    op.create_index("delivery_by_entry", "delivery", ["entry"])
    op.create_table(
        "delivery_try",
        sa.Column("delivery", BIG, primary_key=True, autoincrement=False),
        sa.Column("n", BIG, primary_key=True, autoincrement=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("ms", BIG, nullable=False),
        sa.Column("times", BIG, nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for table in ("delivery_try", "delivery", "destination"):
        op.drop_table(table)
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
