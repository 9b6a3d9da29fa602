"""Answers `/fhir` and `/feed`: who is it, what do they get, and the audit row before they get it.

In: an `Ask` and the Authorization header. Out: a `Reply`. Every answer has its row in the audit table,
refusals too; where that cannot be written, nobody is shown anything (503). Synchronous; calls come from
several threads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from engine.console.callers import Callers
from engine.console.endpoint import Endpoint, refusal
from engine.console.exchange import Ask, Reply
from engine.console.feed import BadFeed, FeedAsk, read_feed
from engine.console.providers import ProviderDown
from engine.console.recorder import Recorder
from engine.console.refusals import Refusal
from engine.console.sight import Caller
from engine.console.smart import smart_configuration
from engine.fhir import jsonio
from engine.kernel.errors import HubError, place_of
from engine.store.sql import SqlStore

__all__ = ["Desk", "outcome_reply", "problem"]

log = logging.getLogger("hub.console")

R = TypeVar("R")
Shape = Callable[[int, str, dict[str, str]], Reply]


def problem(status: int, text: str, headers: dict[str, str]) -> Reply:
    """Make a refusal as plain JSON."""
    return Reply(status, jsonio.dumps({"error": text}), headers=headers, action="refused")


def outcome_reply(status: int, text: str, headers: dict[str, str]) -> Reply:
    """Make a refusal as an OperationOutcome."""
    return refusal(Refusal(status, text, headers=headers))


@dataclass(slots=True)
class Desk:
    """Everything that is guarded by a token."""

    store: SqlStore
    callers: Callers
    endpoint: Endpoint
    recorder: Recorder

    def fhir(self, ask: Ask, authorization: str, peer: str) -> Reply:
        """Answer a request below `/fhir`."""
        if ask.path == ("metadata",) and ask.method in ("GET", "HEAD"):
            return self._safely(lambda: self.endpoint.metadata(ask), outcome_reply)
        if ask.path == (".well-known", "smart-configuration") and ask.method in ("GET", "HEAD"):
            return self._safely(self._smart, problem)

        def answered(caller: Caller) -> Reply:
            reply = self.endpoint.answer(replace(ask, caller=caller))
            if reply.action == "refused":  # what was asked for may hold patient data: sealed, never plain
                reply.detail = (
                    f"{ask.method} {'/'.join(ask.path)} {' '.join(f'{k}={v}' for k, v in ask.query)}"
                )
            self.recorder.access(caller.who, "fhir", reply)
            return reply

        return self._known("fhir", authorization, peer, outcome_reply, answered)

    def feed(self, ask: Ask, authorization: str, peer: str, last: bool) -> Reply | None:
        """Answer a request for the feed; None: nothing new, ask again (never when `last`)."""

        def answered(caller: Caller) -> Reply | None:
            try:
                asked = FeedAsk(ask)
                asked.keep_to(caller)
                reply, moved = read_feed(self.store, asked)
                if not moved and asked.wait and not last:
                    return None
            except BadFeed as bad:
                reply = problem(bad.status, bad.text, {})
            except Refusal as refused:
                reply = problem(refused.status, refused.text, refused.headers)
            self.recorder.access(caller.who, "feed", reply)
            return reply

        return self._known("feed", authorization, peer, problem, answered)

    def _known(
        self,
        area: str,
        authorization: str,
        peer: str,
        shape: Shape,
        answer: Callable[[Caller], R],
    ) -> R | Reply:
        """Answer somebody who is known; refuse a stranger."""

        def answered() -> R | Reply:
            caller = self.callers.who(authorization)
            return self._stranger(area, authorization, peer, shape) if caller is None else answer(caller)

        return self._safely(answered, shape)

    def _smart(self) -> Reply:
        found = smart_configuration(self.callers.issuers)
        if found is None:
            return problem(404, "no issuer is set: the tokens of this hub are its own", {})
        return Reply(200, jsonio.dumps_pretty(found))

    def _stranger(self, area: str, authorization: str, peer: str, shape: Shape) -> Reply:
        challenge = 'Bearer realm="hub"' + (', error="invalid_token"' if authorization else "")
        self.recorder.stranger(area, peer)
        return shape(401, "a bearer token is needed", {"WWW-Authenticate": challenge})

    def _safely(self, answer: Callable[[], R], shape: Shape) -> R | Reply:
        """Answer, or say that the hub cannot: nothing of what was found is shown then."""
        try:
            return answer()
        except ProviderDown as e:
            log.error("%s", e)
            return shape(503, "the issuer of this token does not answer; try again", {"Retry-After": "10"})
        except HubError as e:
            log.error("%s", e)
            return shape(503, "the store does not answer; try again", {"Retry-After": "5"})
        except Exception as e:
            log.error("internal error %s", place_of(e))
            return shape(500, "a fault of the hub; its log says where", {})
