"""Orders that went out and are late: without an answer, or without a result, for longer than a rule allows.

In: the rules of `alerts: orders:`, the deliveries of destinations that take orders, the core store. Out: one
condition for each destination and what is missing, with a count and no patient data; it is gone once the
answer or the result is there, the order is called off, or a person skipped it. A delivery is read once; an
order is looked at when its time is over and from then on at each look until it is no longer waited for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from engine.channels.alarms.followed import BACK, Followed
from engine.channels.alerts import span_words
from engine.channels.definition import Channel
from engine.channels.delivering.places import Destined, destinations_of
from engine.channels.orders.patience import Patience, late_by, patience_of
from engine.channels.orders.standing import WAITED_FOR, Journal, Reports, carries_orders, orders_of, state_of
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError
from engine.mapping.outbound.library import OutMaps
from engine.staff.alarms import Condition
from engine.store.deliveries import Delivery
from engine.store.sql import SqlStore

__all__ = ["OverdueOrders"]


class OverdueOrders:
    """Watches the orders of one hub. `found` is None until it has looked at all once."""

    def __init__(
        self, config: Config, store: SqlStore, journal: Journal, channels: Callable[[], Sequence[Channel]]
    ) -> None:
        self._config, self._store, self._journal, self._channels = config, store, journal, channels
        self._lines = patience_of(config)
        limits = [t for one in self._lines for t in (one.answered, one.resulted) if t is not None]
        self._first = min(limits, default=0)
        self._followed = Followed(store.deliveries)
        self._open: dict[
            tuple[str, str], tuple[int, int]
        ] = {}  # (destination, order): delivery, when asked for
        self._fresh: dict[str, deque[Delivery]] = {}  # read, and their orders not yet
        self._maps: OutMaps | None = None
        self.found: list[Condition] | None = None if self._lines else []

    def forget(self) -> None:
        """Let nothing count as found before the next look."""
        self.found = None if self._lines else []

    def look(self, now: int) -> None:
        """Look once. Raises StoreUnavailable or ConfigError; what was found before then stays."""
        if not self._lines:
            return
        places = destinations_of(self._config, self._channels())
        for line in self._lines:
            if line.to not in places:
                raise ConfigError(
                    f"alerts: orders: there is no destination {line.to}",
                    where=self._config.at("alerts.orders"),
                    remedy=f"there are: {', '.join(places)}",
                )
        for name in dict.fromkeys(line.to for line in self._lines):
            self._read(places[name], now)
        self.found = self._judged(now)

    def _read(self, place: Destined, now: int) -> None:
        """Take up the orders that were newly to go out."""
        if self._maps is None:
            self._maps = OutMaps.open(self._config.root, identity_base=self._config.identity_base)
        channels = carries_orders(place, self._maps)
        if not channels:
            return
        waiting = self._fresh.setdefault(place.name, deque())
        waiting += self._followed.fresh(place.name, now)
        while waiting:
            for order in orders_of(waiting[0], place, channels, self._store, self._journal):
                self._open[place.name, order["id"]] = (waiting[0].id, waiting[0].at)
            waiting.popleft()

    def _judged(self, now: int) -> list[Condition]:
        reports = Reports(self._store)
        late: dict[tuple[str, str], list[tuple[int, Patience]]] = {}
        for (name, id_), (number, at) in sorted(self._open.items(), key=lambda one: one[1][1]):
            age = now - at
            if age < self._first:
                break  # all that follow are younger
            delivery = self._store.deliveries.get(number)
            order = self._store.read("ServiceRequest", id_) if delivery is not None else None
            if delivery is None or order is None or age > BACK:
                del self._open[name, id_]
                continue
            state = state_of(delivery, order, reports)
            if state not in WAITED_FOR:
                del self._open[name, id_]
            elif (found := late_by(self._lines, name, order, state, age)) is not None:
                late.setdefault((name, found[1]), []).append((age, found[0]))
        return [_condition(name, what, found) for (name, what), found in sorted(late.items())]


def _condition(name: str, what: str, late: list[tuple[int, Patience]]) -> Condition:
    count = len(late)
    orders = f"{count:,} order{'' if count == 1 else 's'} to {name}"
    oldest = span_words(max(age for age, _ in late) / 1000)
    missing = "an answer" if what == "answer" else "a result"
    text = f"{orders} without {missing} in time, the oldest for {oldest}"
    say = next((line.say for _, line in late if line.say), f"Ask {name} what became of them")
    return Condition(
        f"order|{name}|{what}", "order", text, "", say, count, any(line.urgent for _, line in late)
    )
