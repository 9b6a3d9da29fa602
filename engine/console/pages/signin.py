"""Signing in and out: password, code, the link that lets somebody in once.

In: forms. Out: a session, or one and the same refusal. A link carries its code behind `#`, which no browser
sends and no log keeps; without scripts it is typed.
"""

from __future__ import annotations

from engine.console.answers import Answer, Goto, Page
from engine.console.door import COOKIE, Door
from engine.console.letting_in import let_in, local, refused, session_of
from engine.console.visit import Visit
from engine.kernel.errors import HubError
from engine.security.access import OPEN, SELF
from engine.staff.links import LinkRefused
from engine.staff.signin import NotLetIn
from engine.store.audit import Access

__all__ = ["add"]


def add(door: Door) -> None:
    """Add the pages."""
    door.get("/signin", needs=OPEN, twin=False)(signin)
    door.post("/signin", needs=OPEN)(password_given)
    door.post("/signin/code", needs=OPEN)(code_given)
    door.get("/welcome", needs=OPEN, twin=False)(welcome)
    door.post("/welcome", needs=OPEN)(link_given)
    door.post("/signout", needs=SELF)(signout)
    door.get("/signedout", needs=OPEN, twin=False)(signedout)


def signin(visit: Visit) -> Answer:
    """Ask for name and password."""
    back = local(visit.query.get("back", "/now"))
    return Goto(back) if visit.seat is not None else _form(visit, back)


def password_given(visit: Visit) -> Answer:
    """Judge name and password."""
    name, back = visit.form.get("name", ""), local(visit.form.get("back", ""))
    try:
        account, step = visit.hub.staff.signin.password(name, visit.form.get("password", ""), visit.peer)
    except NotLetIn as e:
        refused(visit, "signin", e.account)
        return _form(visit, back, str(e), name)
    if step:
        return Page("signin_code.html", {"step": step, "back": back, "problem": ""}, "Sign in")
    return let_in(visit, account, "password", back)


def code_given(visit: Visit) -> Answer:
    """Judge the code of an authenticator."""
    step, back = visit.form.get("step", ""), local(visit.form.get("back", ""))
    try:
        account, how = visit.hub.staff.signin.code(step, visit.form.get("code", ""), visit.peer)
    except NotLetIn as e:
        refused(visit, "signin", e.account)
        facts = {"step": step, "back": back, "problem": str(e)}
        return Page("signin_code.html", facts, "Sign in", status=403)
    return let_in(visit, account, how, back)


def welcome(visit: Visit) -> Answer:
    """Ask for the code of a link."""
    return Page("welcome.html", {"problem": ""}, "Welcome")


def link_given(visit: Visit) -> Answer:
    """Judge the code of a link; with a password, set it and sign in."""
    code, links = visit.form.get("code", ""), visit.hub.staff.links
    name, display = visit.form.get("name", ""), visit.form.get("display", "")
    try:
        account = links.whose(code)
    except LinkRefused as e:
        refused(visit, "link")
        return Page("welcome.html", {"problem": str(e)}, "Welcome", status=403)
    facts = {"code": code, "account": account.name if account else "", "name": name, "display": display}
    if "password" not in visit.form:
        return Page("welcome_set.html", {**facts, "problem": ""}, "Welcome")
    try:
        if visit.form["password"] != visit.form.get("again"):
            raise HubError("the two passwords are not the same")
        made = links.use(code, visit.form["password"], name=name, display=display)
    except HubError as e:
        return Page("welcome_set.html", {**facts, "problem": str(e)}, "Welcome", status=409)
    visit.accesses.append(Access(made.name, "console:link-used", f"account/{made.id}", visit.peer))
    if made.second:  # a link stands for the password, not for the code
        return Goto("/signin")
    return let_in(visit, made, "link", "/now")


def signout(visit: Visit) -> Answer:
    """End the session."""
    session = session_of(visit)
    hint = visit.hub.staff.sessions.end(session.id, session.account.id)
    visit.saw("signout", f"account/{session.account.id}")
    token = f"?token={visit.hub.seal({'hint': hint})}" if hint else ""
    return Goto(f"/signedout{token}", cookies=((COOKIE, ""),))


def signedout(visit: Visit) -> Answer:
    """Say that nobody is signed in here any more."""
    oidc = visit.hub.config.console.oidc
    token = visit.query.get("token", "") if oidc is not None else ""
    facts = {"token": token, "elsewhere": oidc.name if oidc is not None else ""}
    return Page("signedout.html", facts, "Signed out")


def _form(visit: Visit, back: str, problem: str = "", name: str = "") -> Page:
    oidc = visit.hub.config.console.oidc
    facts = {
        "back": back,
        "problem": problem,
        "name": name,
        "elsewhere": oidc.name if oidc is not None else "",
        "first": not visit.hub.staff.accounts.any(),
    }
    return Page("signin.html", facts, "Sign in", status=403 if problem else 200)
