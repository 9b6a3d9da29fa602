"""Everything people do, in one object: `staff.accounts`, `staff.sessions`, `staff.keys` and so on.

In: the URL of the database and the keyring. Out: its parts, each made when it is first asked for. A new part
is a class below `Part` in a file of its own, its tables in `tables`, and one property here.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.kernel.clock import now_ms
from engine.security.keys import Keyring
from engine.staff.database import Database
from engine.staff.drafts import DraftRows
from engine.staff.hours import Hours
from engine.staff.notes import Notes
from engine.staff.releases import Releases
from engine.staff.senders import Senders

__all__ = ["Staff"]


class Staff:
    """The database of what people do. Use `Staff.open`."""

    def __init__(self, database: Database, keyring: Keyring, now: Callable[[], int] = now_ms) -> None:
        self.database, self.keyring, self.now = database, keyring, now

    @classmethod
    def open(cls, url: str, keyring: Keyring, now: Callable[[], int] = now_ms) -> Staff:
        """Open it, making the tables that are missing; raises ConfigError or StoreUnavailable."""
        database = Database(url)
        try:
            database.bring_up_to_date(keyring.mac16("staff", "whose keys are these").hex())
        except BaseException:
            database.close()
            raise
        return cls(database, keyring, now)

    @property
    def drafts(self) -> DraftRows:
        """The rows of drafts and changes."""
        return DraftRows(self.database, self.keyring, self.now)

    @property
    def hours(self) -> Hours:
        """How many messages each channel received in each hour."""
        return Hours(self.database, self.keyring, self.now)

    @property
    def notes(self) -> Notes:
        """What people say and decide about work."""
        return Notes(self.database, self.keyring, self.now)

    @property
    def releases(self) -> Releases:
        """What was let run again, or closed, for a cause."""
        return Releases(self.database, self.keyring, self.now)

    @property
    def senders(self) -> Senders:
        """What is known of senders."""
        return Senders(self.database, self.keyring, self.now)

    def close(self) -> None:
        """Close every connection."""
        self.database.close()
