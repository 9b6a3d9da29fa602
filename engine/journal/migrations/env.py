"""Runs the migrations on the connection and in the transaction that `engine.journal.schema` opened."""

from __future__ import annotations

from alembic import context

from engine.journal.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    transaction_per_migration=False,
)
context.run_migrations()
