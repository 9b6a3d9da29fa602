"""People: who may sign in, what they may do on which channels, their sessions; whose glass was broken.

In: forms. Out: changes that the audit names. Whatever lets somebody in or gives a right asks for a proof that
is not older than ten minutes; a link that sets a password is shown once and to nobody else.
"""

from __future__ import annotations

from engine.console.answers import Answer, Goto, Page, Refused
from engine.console.door import Door
from engine.console.letting_in import fresh
from engine.console.visit import Visit
from engine.kernel.clock import now_ms
from engine.security.access import PERMISSIONS, ROLES, Grant
from engine.staff.accounts import Account

__all__ = ["add"]


def add(door: Door) -> None:
    """Add the pages."""
    door.get("/admin/users", needs="admin.users")(users)
    door.post("/admin/users", needs="admin.users")(new)
    door.get("/admin/users/{number}", needs="admin.users")(user)
    door.post("/admin/users/{number}/grants", needs="admin.users")(grants)
    door.post("/admin/users/{number}/disable", needs="admin.users")(disable)
    door.post("/admin/users/{number}/enable", needs="admin.users")(enable)
    door.post("/admin/users/{number}/unlock", needs="admin.users")(unlock)
    door.post("/admin/users/{number}/link", needs="admin.users")(link)
    door.post("/admin/users/{number}/second", needs="admin.users")(second)
    door.post("/admin/users/{number}/sessions", needs="admin.users")(sessions)
    door.get("/admin/glass", needs="see.audit")(glass)
    door.post("/admin/glass/{number}/acknowledge", needs="see.audit")(looked_into)


def users(visit: Visit) -> Page:
    """Show everybody who may sign in."""
    return Page(
        "admin_users.html",
        {
            "people": [_line(one) for one in visit.hub.staff.accounts.all()],
            "roles": _roles(),
            "channels": visit.hub.channel_names(),
        },
        "People",
    )


def new(visit: Visit) -> Answer:
    """Make an account and show the link with which the person sets a password."""
    if first := fresh(visit):
        return first
    form = visit.form
    made = visit.hub.staff.accounts.add(
        form.get("name", ""),
        _grants(visit),
        visit.person.name,
        display=form.get("display", ""),
        email=form.get("email", ""),
    )
    visit.saw("account:add", f"account/{made.id}", _said(made.grants))
    return _shown_once(visit, made)


def user(visit: Visit) -> Answer:
    """Show one person: roles, sessions, what can be done."""
    account = _account(visit)
    return Page(
        "admin_user.html",
        {
            "account": _line(account),
            "grants": [{"role": g.role, "channels": " ".join(g.channels)} for g in account.grants],
            "sessions": [
                {"made": s.made, "seen": s.seen, "how": s.how, "address": s.address, "agent": s.agent}
                for s in visit.hub.staff.sessions.of(account.id)
            ],
            "roles": _roles(),
            "channels": visit.hub.channel_names(),
        },
        account.display or account.name,
    )


def grants(visit: Visit) -> Answer:
    """Give a person other roles; their sessions end where something was taken away."""
    if first := fresh(visit):
        return first
    account, given = _account(visit), _grants(visit)
    visit.hub.staff.accounts.grant(account.id, given)
    visit.saw("account:grant", f"account/{account.id}", f"{_said(account.grants)} -> {_said(given)}")
    return _back(account, "The roles are changed.")


def disable(visit: Visit) -> Answer:
    """Let a person in no more; their sessions end."""
    account = _account(visit)
    visit.hub.staff.accounts.disable(account.id)
    visit.saw("account:disable", f"account/{account.id}")
    return _back(account, f"{account.name} is let in no more, and every session has ended.")


def enable(visit: Visit) -> Answer:
    """Let a person in again."""
    if first := fresh(visit):
        return first
    account = _account(visit)
    visit.hub.staff.accounts.disable(account.id, False)
    visit.saw("account:enable", f"account/{account.id}")
    return _back(account, f"{account.name} may sign in again.")


def unlock(visit: Visit) -> Answer:
    """Forget the failed attempts to sign in."""
    account = _account(visit)
    visit.hub.staff.accounts.unlock(account.id)
    visit.saw("account:unlock", f"account/{account.id}")
    return _back(account, "The account is open again.")


def link(visit: Visit) -> Answer:
    """Show a link with which the person sets a new password."""
    if first := fresh(visit):
        return first
    account = _account(visit)
    visit.saw("account:link", f"account/{account.id}")
    return _shown_once(visit, account)


def second(visit: Visit) -> Answer:
    """Forget the authenticator; the person sets up another at the next sign-in."""
    if first := fresh(visit):
        return first
    account = _account(visit)
    visit.hub.staff.accounts.clear_second(account.id)
    visit.saw("account:second-reset", f"account/{account.id}")
    return _back(account, "The authenticator is forgotten.")


def sessions(visit: Visit) -> Answer:
    """End every session of a person."""
    account = _account(visit)
    ended = visit.hub.staff.sessions.end_all(account.id)
    visit.saw("account:sessions-end", f"account/{account.id}", str(ended))
    return _back(account, f"{ended} sessions have ended.")


def glass(visit: Visit) -> Page:
    """Show every time the glass was broken, with the reason."""
    text = visit.query.get("before", "")
    before = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
    found = visit.hub.staff.glass.all(before)
    visit.saw("glass:list", "glass", " ".join(str(one.id) for one in found))
    return Page("admin_glass.html", {"broken": found, "now_ms": now_ms()}, "Broken glass")


def looked_into(visit: Visit) -> Answer:
    """Note that somebody has looked into it."""
    text = visit.path["number"]
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
    visit.hub.staff.glass.acknowledge(number, visit.person.name)
    visit.saw("glass:acknowledge", f"glass/{number}")
    return Goto("/admin/glass", "Noted.")


def _account(visit: Visit) -> Account:
    text = visit.path["number"]
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
    account = visit.hub.staff.accounts.numbered(number)
    if account is None:
        raise Refused(404, "There is no such account.")
    return account


def _shown_once(visit: Visit, account: Account) -> Page:
    code = visit.hub.staff.links.for_account(account.id)
    facts = {"name": account.name, "number": account.id, "address": f"{visit.base}/welcome#{code}"}
    return Page("admin_link.html", facts, "A link, shown once", headers={"Cache-Control": "no-store"})


def _back(account: Account, notice: str) -> Goto:
    return Goto(f"/admin/users/{account.id}", notice)


def _grants(visit: Visit) -> list[Grant]:
    """Read the roles of a form: one line each, a role and its channels; an empty role is none."""
    roles, channels = visit.forms.get("role", []), visit.forms.get("channels", [])
    found = []
    for n, role in enumerate(roles):
        if role:
            words = (channels[n] if n < len(channels) else "").replace(",", " ").split()
            found.append(Grant(role, tuple(words) or ("*",)))
    return found


def _said(given: object) -> str:
    return (
        "; ".join(f"{g.role} on {' '.join(g.channels)}" for g in given)
        if isinstance(given, (list, tuple))
        else ""
    )


def _roles() -> list[dict[str, str]]:
    return [
        {"role": role, "may": "; ".join(PERMISSIONS[p] for p in PERMISSIONS if p in permissions)}
        for role, permissions in ROLES.items()
    ]


def _line(account: Account) -> dict[str, object]:
    now = now_ms()
    return {
        "id": account.id,
        "name": account.name,
        "display": account.display,
        "email": account.email,
        "roles": [f"{g.role} on {' '.join(g.channels)}" for g in account.grants],
        "local": account.local,
        "issuer": account.issuer,
        "second": account.second,
        "state": "disabled" if account.disabled else "locked" if account.locked_until > now else "ok",
        "signed_in": account.signed_in,
        "made": account.made,
        "made_by": account.made_by,
    }
