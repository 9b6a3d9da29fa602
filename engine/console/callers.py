"""Who asks at `/fhir`, `/feed` and `/dicomweb`: a line of the token file, a key of a program, or an access
token of an issuer.

In: an Authorization header. Out: a `Caller` with its scopes, or nothing. What a person may who is known here
is never more by a token than by their account: `user/` scopes need a role that shows patient data, on every
channel, because a record is made of what many channels brought.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from engine.console.issuers import Claims, Issuers
from engine.console.sight import Caller
from engine.console.tokens import Tokens, bearer
from engine.security.scopes import Scopes
from engine.staff.keys import PREFIX
from engine.staff.staff import Staff

__all__ = ["Callers"]

_LONGEST = 100  # characters of a name in the audit


@dataclass(frozen=True, slots=True)
class Callers:
    """Everybody who may ask."""

    tokens: Tokens
    staff: Staff | None = None
    issuers: Issuers | None = None

    def who(self, authorization: str, *, basic: bool = False) -> Caller | None:
        """Return who this is; `basic`: also by the password of a browser.

        Raises StoreUnavailable, ProviderDown.
        """
        token = bearer(authorization, basic=basic)
        if not token:
            return None
        if token.startswith(PREFIX) and self.staff is not None:
            key = self.staff.keys.find(token)
            if key is None:
                return None
            return Caller(f"key/{key.name}", Scopes.read(key.scopes), channels=key.channels)
        if (found := self.tokens.find(token)) is not None:
            return found
        said = self.issuers.claims(token) if self.issuers is not None else None
        return None if said is None else self._claimed(said)

    def _claimed(self, said: Claims) -> Caller | None:
        scopes = Scopes.read(said.scopes)
        if said.settings.scopes:
            scopes = scopes.within(Scopes.read(said.settings.scopes))
        host = urlsplit(said.settings.issuer).hostname or ""
        who = f"{said.client or said.subject}@{host}"
        account = (
            self.staff.accounts.of_subject(said.settings.issuer, said.subject)
            if self.staff is not None and said.subject
            else None
        )
        if account is not None:
            if account.disabled:
                return None
            who = account.name
            if not account.person().everywhere("see.bodies"):
                kept = tuple(one for one in scopes.smart if one.context != "user")
                scopes = Scopes(kept, scopes.own)
        printable = "".join(c for c in who if c.isprintable())[:_LONGEST]
        return Caller(printable, scopes, said.patient)
