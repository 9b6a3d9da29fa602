"""Who works on which lane, and the number of the newest hand-over."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("core_clock", sa.Column("handed", BIG, nullable=False, server_default="0"))
    op.create_table(
        "lane_owner",
        sa.Column("lane", BIG, primary_key=True, autoincrement=False),
        sa.Column("handed", BIG, nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("lane_owner")
    op.drop_column("core_clock", "handed")
