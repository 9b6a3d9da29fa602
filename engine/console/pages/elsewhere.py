"""Signing in at the issuer that config.yaml names, and signing out there.

In: a browser on its way there and back. Out: a session of an account that is made at the first sign-in and
has no password here; its roles are those of the groups the issuer names, each time anew.
"""

from __future__ import annotations

from dataclasses import replace

from engine.console.answers import Answer, Goto, Leave, Page, Refused
from engine.console.door import Door
from engine.console.letting_in import let_in, local, refused, session_of
from engine.console.oidc import Begun, Oidc, Refusal, SignedIn
from engine.console.providers import ProviderDown, Web
from engine.console.visit import Visit
from engine.kernel.errors import HubError
from engine.security.access import OPEN, Grant
from engine.staff.accounts import Account, written
from engine.store.audit import Access

__all__ = ["COOKIE", "add"]

COOKIE = "hub-elsewhere"


def add(door: Door) -> None:
    """Add the pages, where an issuer is set."""
    config = door.hub.config
    if config.console.oidc is None:
        return
    oidc = Oidc(config.console.oidc, Web(config.profile == "production"))

    @door.get("/signin/with", needs=OPEN, twin=False)
    def go(visit: Visit) -> Answer:
        """Send the browser to the issuer."""
        try:
            url, begun = oidc.begin(f"{visit.base}/signin/back", "again" in visit.query)
        except ProviderDown as e:
            return _not_let_in(visit, oidc, e)
        back = local(visit.query.get("back", "/now"))
        return Leave(url, ((COOKIE, visit.hub.seal({**begun.words(), "b": back})),))

    @door.get("/signin/back", needs=OPEN, twin=False)
    def come(visit: Visit) -> Answer:
        """Judge what the browser brings back."""
        try:
            try:
                kept = visit.hub.unseal(visit.cookies.get(COOKIE, ""))
                begun = Begun.of(kept)
            except (Refused, KeyError):
                raise Refusal("this sign-in was begun elsewhere", remedy="sign in again") from None
            if visit.hub.staff.once.begin(f"oidc {begun.state}") is not None:
                raise Refusal("this answer was used before", remedy="sign in again")
            person = oidc.finish(visit.query, begun, f"{visit.base}/signin/back")
            account = account_of(visit, oidc.settings.issuer, person)
        except HubError as e:
            return _not_let_in(visit, oidc, e)
        back = local(str(kept.get("b", "")))
        if begun.again and visit.seat is not None and session_of(visit).account.id != account.id:
            back = "/now"  # somebody else than who was asked
        answer = let_in(visit, account, "oidc", back, hint=person.id_token)
        return replace(answer, cookies=(*answer.cookies, (COOKIE, "")))

    @door.get("/signin/leave", needs=OPEN, twin=False)
    def leave(visit: Visit) -> Answer:
        """Sign out at the issuer, too."""
        hint = str(visit.hub.unseal(visit.query.get("token", "")).get("hint", ""))
        url = oidc.leave(hint, f"{visit.base}/signedout") if hint else ""
        return Leave(url) if url else Goto("/signedout")


def account_of(visit: Visit, issuer: str, person: SignedIn) -> Account:
    """Return the account of somebody who signed in elsewhere, made or brought up to date. Raises HubError."""
    accounts = visit.hub.staff.accounts
    account = accounts.of_subject(issuer, person.subject)
    if account is None:
        named = accounts.named(person.name)
        if named is not None and (named.local or named.issuer):
            raise Refusal(
                f"the name {written(person.name)} is another account's here",
                remedy="ask who manages this hub",
            )
        if named is None:
            made = accounts.add(
                person.name,
                person.grants,
                "sign-in elsewhere",
                display=person.display,
                email=person.email,
                issuer=issuer,
                subject=person.subject,
            )
            visit.accesses.append(Access(made.name, "console:account-made", f"account/{made.id}", issuer))
            return made
        accounts.bind(named.id, issuer, person.subject)
        account = named
    if account.disabled:
        raise Refusal("this account is disabled here", remedy="ask who manages this hub")
    if _words(account.grants) != _words(person.grants):
        accounts.grant(account.id, person.grants)
        visit.accesses.append(Access(account.name, "console:roles-changed", f"account/{account.id}", issuer))
    if (account.display, account.email) != (person.display, person.email):
        accounts.describe(account.id, person.display, person.email)
    accounts.noted(account.id)
    return accounts.numbered(account.id) or account


def _words(grants: tuple[Grant, ...]) -> set[tuple[str, str]]:
    return {(grant.role, " ".join(sorted(grant.channels))) for grant in grants}


def _not_let_in(visit: Visit, oidc: Oidc, why: HubError) -> Page:
    refused(visit, "signin", detail=why.what)
    facts = {"back": "/now", "problem": str(why), "name": "", "elsewhere": oidc.settings.name, "first": False}
    status = 503 if isinstance(why, ProviderDown) else 403
    return Page("signin.html", facts, "Sign in", status=status, cookies=((COOKIE, ""),))
