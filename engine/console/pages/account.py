"""One's own account: password, authenticator, where one is signed in; proving again who one is.

In: forms. Out: changes of the own account only. Whatever makes it easier to get in asks for a proof that is
not older than ten minutes, and gives the session another cookie.
"""

from __future__ import annotations

from engine.console.answers import Answer, Goto, Page
from engine.console.door import Door
from engine.console.letting_in import fresh, let_in, local, renewed, session_of
from engine.console.visit import Visit
from engine.kernel.errors import HubError
from engine.security.access import SELF
from engine.staff import second
from engine.staff.signin import NotLetIn

__all__ = ["add"]


def add(door: Door) -> None:
    """Add the pages."""
    door.get("/account", needs=SELF)(account)
    door.post("/account/password", needs=SELF)(password)
    door.get("/account/second", needs=SELF, twin=False)(authenticator)
    door.post("/account/second", needs=SELF)(enrol)
    door.post("/account/second/forget", needs=SELF)(forget)
    door.post("/account/sessions", needs=SELF)(end)
    door.get("/prove", needs=SELF, twin=False)(prove)
    door.post("/prove", needs=SELF)(proven)


def account(visit: Visit) -> Answer:
    """Show the person's own account."""
    return _page(visit)


def password(visit: Visit) -> Answer:
    """Change the password; every other session ends."""
    session, staff, form = session_of(visit), visit.hub.staff, visit.form
    try:
        if form.get("password", "") != form.get("again"):
            raise HubError("the two passwords are not the same")
        staff.signin.known(session.account, form.get("old", ""), visit.peer)
        staff.accounts.set_password(session.account.id, form.get("password", ""))
    except HubError as e:
        return _page(visit, str(e))
    visit.saw("password-changed", f"account/{session.account.id}")
    now = staff.accounts.numbered(session.account.id) or session.account
    return let_in(visit, now, session.how, "/account")


def authenticator(visit: Visit) -> Answer:
    """Show the secret of a new authenticator, once."""
    if first := fresh(visit):
        return first
    return _secret(visit, second.new_secret())


def enrol(visit: Visit) -> Answer:
    """Take an authenticator into use; show the recovery codes, once."""
    session = session_of(visit)
    if first := fresh(visit):
        return first
    secret = str(visit.hub.unseal(visit.form.get("token", "")).get("totp", ""))
    try:
        codes = visit.hub.staff.accounts.set_second(session.account.id, secret, visit.form.get("code", ""))
    except HubError as e:
        return _secret(visit, secret, str(e))
    visit.saw("authenticator-set", f"account/{session.account.id}")
    cookie = visit.hub.staff.sessions.prove(session, "totp")
    return Page(
        "account_codes.html", {"codes": list(codes)}, "Recovery codes", cookies=renewed(visit, cookie)
    )


def forget(visit: Visit) -> Answer:
    """Do without the authenticator; every session ends but a new one."""
    session, staff = session_of(visit), visit.hub.staff
    if first := fresh(visit):
        return first
    if not staff.signin.second(session.account.id, visit.form.get("code", "")):
        return _page(visit, "this code is not right; type the next one")
    staff.accounts.clear_second(session.account.id)
    visit.saw("authenticator-forgotten", f"account/{session.account.id}")
    return let_in(visit, session.account, "password", "/account")


def end(visit: Visit) -> Answer:
    """End another session of the person, or all others."""
    session, sessions = session_of(visit), visit.hub.staff.sessions
    which = visit.form.get("session", "")
    if which.isascii() and which.isdigit() and int(which) != session.id:
        sessions.end(int(which), session.account.id)
    elif which == "others":
        sessions.end_all(session.account.id, but=session.id)
    visit.saw("sessions-ended", f"account/{session.account.id}")
    return Goto("/account", "It is signed out.")


def prove(visit: Visit) -> Answer:
    """Ask again who it is."""
    session = session_of(visit)
    back = local(visit.query.get("back", "/account"))
    if not session.account.local:
        return Goto(f"/signin/with?again=1&back={back}")
    return Page("prove.html", {"back": back, "second": session.account.second, "problem": ""}, "Is it you?")


def proven(visit: Visit) -> Answer:
    """Judge the proof."""
    session, staff = session_of(visit), visit.hub.staff
    back = local(visit.form.get("back", ""))
    try:
        code = visit.form.get("code", "")
        staff.signin.known(session.account, visit.form.get("password", ""), visit.peer, code)
    except NotLetIn as e:
        visit.saw("proof-refused", f"account/{session.account.id}", visit.peer)
        facts = {"back": back, "second": session.account.second, "problem": str(e)}
        return Page("prove.html", facts, "Is it you?", status=403)
    visit.saw("proven", f"account/{session.account.id}")
    return Goto(back, cookies=renewed(visit, staff.sessions.prove(session)))


def _secret(visit: Visit, secret: str, problem: str = "") -> Page:
    session, config = session_of(visit), visit.hub.config
    facts = {
        "picture": second.picture(second.address(secret, session.account.name, config.hub)),
        "secret": " ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        "token": visit.hub.seal({"totp": secret}),
        "problem": problem,
    }
    return Page("account_second.html", facts, "Authenticator", status=409 if problem else 200)


def _page(visit: Visit, problem: str = "") -> Page:
    session, staff = session_of(visit), visit.hub.staff
    who = session.account
    facts = {
        "name": who.name,
        "display": who.display,
        "email": who.email,
        "grants": [{"role": g.role, "channels": list(g.channels)} for g in who.grants],
        "local": who.local,
        "issuer": who.issuer,
        "second": who.second,
        "recovery_left": staff.accounts.recovery_left(who.id) if who.second else 0,
        "must": session.must,
        "sessions": [
            {
                "id": s.id,
                "here": s.id == session.id,
                "made": s.made,
                "seen": s.seen,
                "how": s.how,
                "address": s.address,
                "agent": s.agent,
            }
            for s in staff.sessions.of(who.id)
        ],
        "problem": problem,
    }
    return Page("account.html", facts, "Account", status=409 if problem else 200)
