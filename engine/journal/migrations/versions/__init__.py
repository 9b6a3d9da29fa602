"""One file a migration. A migration that has been released is never edited."""
