"""The `_page` of a `next` link: the search and its place, sealed, so that a URL never holds what was searched
for.

In: the parameters of a search and the store's cursor. Out: a token that only this hub opens, and only where
it made it: another type's or a changed one is refused.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import orjson

from engine.console.refusals import Refusal
from engine.security.crypto import SealError
from engine.security.keys import Keyring

__all__ = ["Continuation", "Pages"]


@dataclass(frozen=True, slots=True)
class Continuation:
    """Where a search goes on. `scope` is the type, or the address of a history."""

    scope: str
    pairs: tuple[tuple[str, str], ...]
    count: int
    cursor: str


class Pages:
    """Seals and opens continuations."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def seal(self, page: Continuation) -> str:
        """Return the token of a continuation."""
        body = orjson.dumps([page.pairs, page.count, page.cursor])
        sealed = self._keyring.seal(body, b"fhir page:" + page.scope.encode())
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, token: str, scope: str) -> Continuation:
        """Return the continuation of a token; raises Refusal."""
        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            pairs, count, cursor = orjson.loads(self._keyring.unseal(sealed, b"fhir page:" + scope.encode()))
        except (SealError, binascii.Error, ValueError):
            raise Refusal(400, "this page cannot be found; start the search again") from None
        return Continuation(scope, tuple((name, value) for name, value in pairs), count, cursor)
