"""Indexes to find entries by channel, sender, type and kind without sorting a million of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the indexes."""
    op.drop_index("entry_source", "entry")
    op.create_index("entry_source", "entry", ["source", "type", "id"])
    unusual = sa.text("kind > 0")
    op.create_index("entry_kind", "entry", ["kind", "id"], sqlite_where=unusual, postgresql_where=unusual)


def downgrade() -> None:
    """Put the old index back."""
    op.drop_index("entry_kind", "entry")
    op.drop_index("entry_source", "entry")
    op.create_index("entry_source", "entry", ["source", "id"])
