"""Finding messages: by state, channel and cause; and from which entry on words of a kind are kept."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    left = sa.text("status <> 'done'")
    columns = ["status", "channel", "cause", "entry"]
    op.create_index("outcome_why", "outcome", columns, sqlite_where=left, postgresql_where=left)
    valued = sa.text("work IS NOT NULL")
    op.create_index(
        "outcome_flagged", "outcome", ["channel", "entry"], sqlite_where=valued, postgresql_where=valued
    )
    op.create_table(
        "searched",
        sa.Column("channel", sa.Text(), primary_key=True),
        sa.Column("place", sa.Text(), primary_key=True),
        sa.Column("first", BIG, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO searched SELECT '', 'code', COALESCE(MAX(entry), 0) + 1 FROM outcome")


def downgrade() -> None:
    op.drop_table("searched")
    op.drop_index("outcome_flagged", "outcome")
    op.drop_index("outcome_why", "outcome")
