"""The watch over FHIR Subscriptions: finds what matches in the change feed, and tells it.

In: what a process has opened. Out: calls, and how they went. A change matches when the search of a
subscription finds the resource as it is now; deletions match nothing (FHIR R4 subscription.html). Any loop
may call `step`; `send` is for a thread of its own. A subscription is told one resource after the other, in
the order of their changes; one that fails waits, with a growing pause, and holds back nobody else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl

from engine.channels.alerts import duration_ms
from engine.channels.subscribing.wanted import Unwanted, read_wanted
from engine.destinations.resthook import RestHook
from engine.fhir import jsonio
from engine.kernel.clock import now_ms
from engine.kernel.config import Config
from engine.kernel.errors import HubError, StoreUnavailable, place_of
from engine.listeners.metrics import Metrics
from engine.security.scopes import Scopes
from engine.staff.staff import Staff
from engine.staff.subscriptions import READER, Subscription, Told
from engine.store.cursor import FeedRestored, cursor_at, position_of
from engine.store.sql import SqlStore

__all__ = ["SubscriptionWatch"]

log = logging.getLogger("hub.subscriptions")

_BATCH = 200
_AT_ONCE = 4  # endpoints called at the same time
_A_TURN = 20  # calls of one subscription before another has its turn
_KEY = "key/"


class SubscriptionWatch:
    """Watches one store. Raises ConfigError where a setting cannot be followed."""

    def __init__(
        self, config: Config, store: SqlStore, staff: Staff, now: Callable[[], int] = now_ms
    ) -> None:
        self._config, self._store, self._staff, self._now = config, store, staff, now
        self._give_up = duration_ms(config.subscriptions.give_up_after, config.at("subscriptions"))
        self._hook = RestHook(config.subscriptions.timeout_seconds)
        self._pool = ThreadPoolExecutor(_AT_ONCE, "subscription")
        self.metrics = Metrics()
        self.metrics.counter("hub_subscription_calls_total", "Calls of subscriptions' endpoints, by verdict.")
        self.metrics.gauge("hub_subscription_waiting", "Resources that wait to be told to a subscription.")
        self.metrics.gauge("hub_subscriptions", "Subscriptions, by status.")

    def close(self) -> None:
        """Let calls under way end, and give back connections."""
        self._pool.shutdown()
        self._hook.close()

    # -- finding

    def step(self) -> bool:
        """Look at what has been written since; returns whether there may be more. Raises StoreUnavailable."""
        subscriptions = self._staff.subscriptions
        for one in subscriptions.all(status="requested"):
            subscriptions.set_status(one.id, "active", when="requested")
        before = self._staff.followed.cursor(READER)
        position = self._position(before)
        changes = self._store.feed(position, _BATCH)
        if not changes:
            if before is None:
                subscriptions.note(None, cursor_at(self._store, position), ())
            return False
        active = [one for one in subscriptions.all(status="active") if not self._ended(one)]
        newest = {(c.type, c.id): c for c in changes if c.op != "delete"}
        told: list[Told] = []
        for (kind, id_), change in newest.items():
            for one in active:
                if one.kind == kind and change.seq > one.since and self._matches(one, kind, id_):
                    told.append(Told(one.id, f"{kind}/{id_}", change.seq, self._now()))
        subscriptions.note(before, cursor_at(self._store, changes[-1].seq), told)
        return len(changes) == _BATCH

    def _position(self, cursor: str | None) -> int:
        if cursor is None:
            return self._store.head()
        try:
            return position_of(self._store, cursor)
        except FeedRestored:
            log.warning("an older backup of the core store was restored; subscriptions go on from now")
            return self._store.head()

    def _ended(self, one: Subscription) -> bool:
        if one.ends is not None and self._now() >= one.ends:
            self._staff.subscriptions.set_status(one.id, "off", "its end has come")
            return True
        return False

    def _matches(self, one: Subscription, kind: str, id_: str) -> bool:
        pairs = parse_qsl(one.criteria.partition("?")[2], keep_blank_values=True)
        try:
            page = self._store.search(kind, [*((k, v) for k, v in pairs if v), ("_id", id_)], 1)
        except StoreUnavailable:
            raise
        except HubError as e:  # it was searched for once when it was made: a parameter that is known no more
            self._staff.subscriptions.set_status(
                one.id, "error", f"its criteria are not understood: {e.what}"
            )
            return False
        return bool(page.resources)

    # -- telling

    def send(self) -> int:
        """Call whoever is due; returns how many subscriptions were called. Raises StoreUnavailable."""
        backlog = self._staff.subscriptions.backlog()
        now = self._now()
        due = [
            one
            for one in self._staff.subscriptions.all(status="active")
            if backlog.get(one.id) and one.due <= now
        ]
        list(self._pool.map(self._turn, due))
        return len(due)

    def _turn(self, one: Subscription) -> None:
        try:
            self._tell(one)
        except HubError as e:
            log.warning("subscription %s waits: %s", one.id, e)
        except Exception as e:  # one subscription must not end the turn of the others
            log.error("subscription %s: internal error %s; it goes on", one.id, place_of(e))

    def _tell(self, one: Subscription) -> None:
        subscriptions = self._staff.subscriptions
        if why := self._may_not(one):
            subscriptions.set_status(one.id, "off", why)
            return
        try:
            wanted = read_wanted(one.body, self._config.subscriptions.hosts)
        except Unwanted as e:
            subscriptions.set_status(one.id, "error", str(e))
            return
        for told in subscriptions.waiting(one.id, _A_TURN):
            kind, _, id_ = told.resource.partition("/")
            found = self._store.read(kind, id_)
            # deleted since, or put right while it waited: it may be another patient's now
            if found is None or not self._matches(one, kind, id_):
                subscriptions.gone(told)
                continue
            body = jsonio.dumps(found) if wanted.payload else None
            once = f"{one.id}:{told.resource}:{told.seq}"
            receipt = self._hook.call(wanted.endpoint, wanted.headers, told.resource, body, once)
            self.metrics.add("hub_subscription_calls_total", (("verdict", receipt.verdict),))
            subscriptions.called(told, receipt)
            if receipt.verdict == "retry":
                failing = one.failing or self._now()
                if self._now() - failing >= self._give_up:
                    subscriptions.set_status(one.id, "error", f"given up: {receipt.why}")
                    log.error("subscription %s is given up: %s", one.id, receipt.why)
                return

    def _may_not(self, one: Subscription) -> str:
        """Return why its owner may not be told any more, nothing where they may."""
        if not one.owner.startswith(_KEY):
            return ""
        name = one.owner.removeprefix(_KEY)
        key = next((key for key in self._staff.keys.all() if key.name == name), None)
        if key is None or key.state(self._now()) != "ok":
            return "the key it was made with is worth nothing any more"
        if not Scopes.read(key.scopes).contexts(one.kind, "r") & {"system", "user"}:
            return f"the key it was made with may not read {one.kind}"
        return ""

    def measure(self) -> None:
        """Take the figures of now."""
        counts: dict[str, int] = dict.fromkeys(("requested", "active", "error", "off"), 0)
        for one in self._staff.subscriptions.all():
            counts[one.status] += 1
        for status, count in counts.items():
            self.metrics.set("hub_subscriptions", count, (("status", status),))
        self.metrics.set("hub_subscription_waiting", sum(self._staff.subscriptions.backlog().values()))
