"""The sessions of `staff.db` as the door asks for them.

In: a cookie. Out: a `Seat`.
"""

from __future__ import annotations

from engine.console.visit import Seat
from engine.staff.staff import Staff

__all__ = ["StaffSeats"]


class StaffSeats:
    """Knows who is signed in."""

    def __init__(self, staff: Staff) -> None:
        self._sessions = staff.sessions

    def seat(self, cookie: str, *, stirs: bool = True) -> Seat | None:
        """Return whose session a cookie is, None where there is none (any more). Raises StoreUnavailable."""
        found = self._sessions.find(cookie, active=stirs) if cookie else None
        if found is None:
            return None
        account = found.account.id
        return Seat(found.person, found.csrf, str(found.id), found.proven, account, found.must)
