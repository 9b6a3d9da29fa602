"""Alembic's entry: run the migrations on the connection that `migrate` hands over."""

from alembic import context

from engine.store.migrations import VERSION_TABLE
from engine.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    transactional_ddl=False,  # the caller holds the transaction
)
context.run_migrations()
