"""How a page begins a session, gives it another cookie, and asks again who somebody is.

In: a visit, an account. Out: answers with the cookie of a new session; they are in the audit with the person
they are of.
"""

from __future__ import annotations

from engine.console.answers import Goto, Refused
from engine.console.door import COOKIE
from engine.console.seats import StaffSeats
from engine.console.visit import Visit
from engine.staff.accounts import Account
from engine.staff.sessions import Session
from engine.store.audit import Access

__all__ = ["fresh", "let_in", "local", "renewed", "session_of"]

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
