"""How a page begins a session, gives it another cookie, and asks again who somebody is.

In: a visit, an account. Out: answers with the cookie of a new session; they are in the audit with the person
they are of.
"""

from __future__ import annotations

import threading
import time

from engine.console.answers import Goto, Refused
from engine.console.door import COOKIE
from engine.console.seats import StaffSeats
from engine.console.visit import Visit
from engine.staff.accounts import Account
from engine.staff.sessions import Session
from engine.store.audit import Access

__all__ = ["fresh", "let_in", "local", "refused", "renewed", "session_of"]

_ROWS = 10  # failed tries a second that get an audit row of their own
_FRESH = 10 * 60_000  # after a proof, for so long nothing asks for another


def session_of(visit: Visit) -> Session:
    """Return the session of who asks. Raises Refused."""
    found = visit.hub.staff.sessions.find(visit.cookies.get(COOKIE, ""), active=False)
    if found is None:
        raise Refused(401, "Nobody is signed in.", "Sign in at /signin.")
    return found


def let_in(visit: Visit, account: Account, how: str, to: str, *, hint: str = "") -> Goto:
    """Begin a session and lead to a page; the cookie the browser had before is worth nothing then."""
    cookie = visit.hub.staff.sessions.start(
        account, how, address=visit.peer, agent=visit.agent, hint=hint, old=visit.cookies.get(COOKIE, "")
    )
    visit.accesses.append(
        Access(account.name, "console:signin", f"account/{account.id}", f"{how} {visit.peer}")
    )
    return Goto(local(to), cookies=((COOKIE, cookie),))


def refused(visit: Visit, what: str, account: int = 0, detail: str = "") -> None:
    """Note a failed try to get in, with whose account it was; what was typed may be a password and stays out.

    So many a second have a row of their own; the others are counted in the next.
    """
    left_out = _RATE.take()
    if left_out is None:
        return
    text = f"{visit.peer} {detail}".strip() + (f"; {left_out} more before it" if left_out else "")
    place = f"account/{account}" if account else what
    visit.accesses.append(Access("-", f"console:{what}-refused", place, text))


class _Rate:
    """Lets so many a second pass, and counts the others."""

    def __init__(self) -> None:
        self._lock, self._second, self._passed, self._left_out = threading.Lock(), 0, 0, 0

    def take(self) -> int | None:
        """Return how many were left out before this one; None: this one is left out."""
        with self._lock:
            second = int(time.monotonic())
            if second != self._second:
                self._second, self._passed = second, 0
            if self._passed >= _ROWS:
                self._left_out += 1
                return None
            self._passed += 1
            more, self._left_out = self._left_out, 0
            return more


_RATE = _Rate()


def renewed(visit: Visit, cookie: str) -> tuple[tuple[str, str], ...]:
    """Let the rest of this answer belong to the session's new cookie; return it for the browser."""
    visit.seat = StaffSeats(visit.hub.staff).seat(cookie)
    return ((COOKIE, cookie),)


def local(path: str) -> str:
    """Return a path of the console; what leads elsewhere becomes the first page."""
    bad = not path.startswith("/") or path.startswith(("//", "/\\", "/sign")) or "\\" in path
    return "/now" if bad or not path.isprintable() else path


def fresh(visit: Visit) -> Goto | None:
    """Return where to go first, when who asks has not proven for a while who they are."""
    if visit.seat is None or visit.hub.staff.now() - visit.seat.at < _FRESH:
        return None
    back = visit.url if visit.method == "GET" else "/" + visit.url.strip("/").split("/")[0]
    return Goto(f"/prove?back={back}")
