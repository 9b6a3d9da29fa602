"""Whose turn each destination is: the number of the hand-over, who took it, who had it before."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("destination") as table:
        table.add_column(sa.Column("handed", BIG, nullable=False, server_default="0"))
        table.add_column(sa.Column("holder", sa.Text(), nullable=False, server_default=""))
        table.add_column(sa.Column("before", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("destination") as table:
        table.drop_column("before")
        table.drop_column("holder")
        table.drop_column("handed")
