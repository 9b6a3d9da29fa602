"""Everything people do, in one object: `staff.accounts`, `staff.sessions`, `staff.keys` and so on.

In: the URL of the database and the keyring. Out: its parts, each made when it is first asked for. A new part
is a class below `Part` in a file of its own, its tables in `tables`, and one property here.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.kernel.clock import now_ms
from engine.kernel.web_settings import SignInSettings
from engine.security.keys import Keyring
from engine.staff.accounts import Accounts
from engine.staff.alarms import Alarms
from engine.staff.backups import Backups
from engine.staff.changes import ChangeRows
from engine.staff.criticals import CriticalNotices, Criticals
from engine.staff.database import Database
from engine.staff.drafts import DraftRows
from engine.staff.followed import Followed
from engine.staff.glass import Glass
from engine.staff.hours import Hours
from engine.staff.keys import ProgramKeys
from engine.staff.links import Links
from engine.staff.livefiles import LiveFiles
from engine.staff.nodes import NodeRows, SharedKeys
from engine.staff.notes import Notes
from engine.staff.notices import Notices
from engine.staff.once import Once
from engine.staff.releases import Releases
from engine.staff.searches import Searches
from engine.staff.senders import Senders
from engine.staff.sessions import Sessions
from engine.staff.signin import SignIn
from engine.staff.silences import Silences
from engine.staff.subscriptions import Subscriptions

__all__ = ["Staff"]


class Staff:
    """The database of what people do. Use `Staff.open`."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        now: Callable[[], int] = now_ms,
        settings: SignInSettings | None = None,
    ) -> None:
        self.database, self.keyring, self.now = database, keyring, now
        self.settings = settings or SignInSettings()

    @classmethod
    def open(
        cls,
        url: str,
        keyring: Keyring,
        now: Callable[[], int] = now_ms,
        settings: SignInSettings | None = None,
    ) -> Staff:
        """Open it, making the tables that are missing; raises ConfigError or StoreUnavailable."""
        database = Database(url)
        try:
            database.bring_up_to_date(keyring.mac16("staff", "whose keys are these").hex())
        except BaseException:
            database.close()
            raise
        return cls(database, keyring, now, settings)

    @property
    def accounts(self) -> Accounts:
        """The people of the hub and their roles."""
        return Accounts(self.database, self.keyring, self.now)

    @property
    def links(self) -> Links:
        """Links that let somebody in once."""
        return Links(self.database, self.keyring, self.now)

    @property
    def live_files(self) -> LiveFiles:
        """Files that were changed while the hub runs, for other machines."""
        return LiveFiles(self.database, self.keyring, self.now)

    @property
    def signin(self) -> SignIn:
        """Signing in with a password and a code."""
        return SignIn(self.database, self.keyring, self.now, self.settings)

    @property
    def sessions(self) -> Sessions:
        """Who is signed in."""
        return Sessions(self.database, self.keyring, self.now, self.settings)

    @property
    def glass(self) -> Glass:
        """Patient data that was opened in an emergency."""
        return Glass(self.database, self.keyring, self.now)

    @property
    def keys(self) -> ProgramKeys:
        """Keys of programs."""
        return ProgramKeys(self.database, self.keyring, self.now)

    @property
    def changes(self) -> ChangeRows:
        """What went live, and what was taken back."""
        return ChangeRows(self.database, self.keyring, self.now)

    @property
    def drafts(self) -> DraftRows:
        """The rows of drafts and changes."""
        return DraftRows(self.database, self.keyring, self.now)

    @property
    def hours(self) -> Hours:
        """How many messages each channel received in each hour."""
        return Hours(self.database, self.keyring, self.now)

    @property
    def nodes(self) -> NodeRows:
        """What machines tell of themselves."""
        return NodeRows(self.database, self.keyring, self.now)

    @property
    def signing(self) -> SharedKeys:
        """The signing keys of all machines together."""
        return SharedKeys(self.database, self.keyring, self.now)

    @property
    def notes(self) -> Notes:
        """What people say and decide about work."""
        return Notes(self.database, self.keyring, self.now)

    @property
    def releases(self) -> Releases:
        """What was let run again, or closed, for a cause."""
        return Releases(self.database, self.keyring, self.now)

    @property
    def searches(self) -> Searches:
        """Searches that people keep."""
        return Searches(self.database, self.keyring, self.now)

    @property
    def senders(self) -> Senders:
        """What is known of senders."""
        return Senders(self.database, self.keyring, self.now)

    @property
    def once(self) -> Once:
        """The forms that were sent and may do their work once."""
        return Once(self.database, self.keyring, self.now)

    @property
    def alarms(self) -> Alarms:
        """What was raised, acknowledged and cleared."""
        return Alarms(self.database, self.keyring, self.now)

    @property
    def silences(self) -> Silences:
        """Alarms of which nobody is told for a while."""
        return Silences(self.database, self.keyring, self.now)

    @property
    def notices(self) -> Notices:
        """Notices on their way to people."""
        return Notices(self.database, self.keyring, self.now)

    @property
    def criticals(self) -> Criticals:
        """Critical results, and who took them over."""
        return Criticals(self.database, self.keyring, self.now)

    @property
    def critical_notices(self) -> CriticalNotices:
        """Notices of critical results on their way to people."""
        return CriticalNotices(self.database, self.keyring, self.now)

    @property
    def subscriptions(self) -> Subscriptions:
        """FHIR Subscriptions of programs."""
        return Subscriptions(self.database, self.keyring, self.now)

    @property
    def followed(self) -> Followed:
        """Up to where readers have read the change feed."""
        return Followed(self.database, self.keyring, self.now)

    @property
    def backups(self) -> Backups:
        """Backups that were made or told of."""
        return Backups(self.database, self.keyring, self.now)

    def close(self) -> None:
        """Close every connection."""
        self.database.close()
