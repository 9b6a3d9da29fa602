"""Room 2: every message, on disk before its sender is told so, sealed, in an order that never changes.

`sql.SqlJournal` is the door, `retention` deletes by policy, `database.exists` tells whether there is one.
"""
