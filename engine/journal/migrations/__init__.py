"""Alembic migrations of the journal, run by `engine.journal.schema` when a journal is opened."""
