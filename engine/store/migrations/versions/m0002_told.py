"""Senders' own times of what they said, and the numbers of merged patients."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("resource", sa.Column("times", sa.Text()))
    op.add_column("touch", sa.Column("late", sa.SmallInteger()))
    op.add_column("touch", sa.Column("times", sa.Text()))
    op.add_column("alias", sa.Column("numbers", sa.LargeBinary()))


def downgrade() -> None:
    op.drop_column("alias", "numbers")
    op.drop_column("touch", "times")
    op.drop_column("touch", "late")
    op.drop_column("resource", "times")
