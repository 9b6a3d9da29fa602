"""Direct messages of which nothing is told: the other side was asked to say what became of them, and did not.

In: the destinations that ask (`ask`, `notices`, `notice_within`), the deliveries and their evidence. Out: one
condition for each destination, with a count; it is gone once the notice is there, the delivery is refused, or
a person sent it again or skipped it. Implementation Guide for Delivery Notification in Direct 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.channels.alarms.followed import BACK, Followed
from engine.channels.alerts import duration_ms, span_words
from engine.channels.definition import Channel
from engine.channels.delivering.places import destinations_of
from engine.destinations.direct_settings import DirectSettings
from engine.kernel.config import Config
from engine.staff.alarms import Condition
from engine.store.sql import SqlStore

__all__ = ["UntoldMessages"]

_ENOUGH = {
    "processed": ("told: processed", "told: dispatched", "told: displayed"),
    "dispatched": ("told: dispatched", "told: displayed"),
}
"""What must have been told, by what was asked."""


class UntoldMessages:
    """Watches the Direct messages of one hub. `found` is None until it has looked at all once."""

    def __init__(self, config: Config, store: SqlStore, channels: Callable[[], Sequence[Channel]]) -> None:
        self._config, self._store, self._channels = config, store, channels
        self._followed = Followed(store.deliveries)
        self._open: dict[str, set[int]] = {}
        self.found: list[Condition] | None = None

    def forget(self) -> None:
        """Let nothing count as found before the next look."""
        self.found = None

    def look(self, now: int) -> None:
        """Look once. Raises StoreUnavailable or ConfigError; what was found before then stays."""
        found = []
        for place in destinations_of(self._config, self._channels()).values():
            settings = place.settings
            if not isinstance(settings, DirectSettings) or settings.notices is None:
                continue
            if not settings.notice_within:
                continue
            within = duration_ms(settings.notice_within, f"{place.where}: notice_within")
            waiting = self._open.setdefault(place.name, set())
            waiting |= {one.id for one in self._followed.fresh(place.name, now)}
            late = self._late(waiting, _ENOUGH[settings.ask], within, now)
            if late:
                found.append(_condition(place.name, settings.ask, late))
        self.found = found

    def _late(self, waiting: set[int], enough: Sequence[str], within: int, now: int) -> list[int]:
        """Return for how long late messages have been without a notice; forget what needs none any more."""
        deliveries, late = self._store.deliveries, []
        for number in sorted(waiting):
            one = deliveries.get(number)
            if one is None or one.status in ("refused", "skipped") or now - one.at > BACK:
                waiting.discard(number)
                continue
            if one.status != "sent" or one.done is None or now - one.done < within:
                continue
            since = one.done if one.anew else 0  # sent as new it is another message
            told = [t.why for t in deliveries.tries(number) if t.verdict == "told" and t.at >= since]
            if not one.reference or any(why in enough for why in told):
                waiting.discard(number)  # nothing was sent, or it was told
            else:
                late.append(now - one.done)
        return late


def _condition(name: str, asked: str, late: list[int]) -> Condition:
    count = len(late)
    messages = f"{count:,} message{'' if count == 1 else 's'} to {name}"
    text = f"{messages} that nobody told to be {asked}, the oldest for {span_words(max(late) / 1000)}"
    say = "Ask the other side by another way: nothing proves that it arrived"
    return Condition(f"notice|{name}", "notice", text, "", say, count)
