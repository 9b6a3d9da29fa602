"""The watch over critical results: follows the feed, tells people, sends, counts. One `step` of each a call.

In: what a process has opened. Out: rows and notices in the staff database, figures for /metrics. Any loop may
call `step`; what a step has not finished the next one does, here or in another process. Sending has a step of
its own, so that a slow mail server holds back no result.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from engine.channels.critical.following import Following, RulesFile
from engine.channels.critical.telling import check_settings, default_ms, send_due, tell
from engine.journal.sql import SqlJournal
from engine.kernel.clock import now_ms
from engine.kernel.config import Config
from engine.listeners.metrics import Metrics
from engine.security.keys import Keyring
from engine.staff.staff import Staff
from engine.store.sql import SqlStore

__all__ = ["CriticalWatch"]

log = logging.getLogger("hub.critical")

_SECONDS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


class CriticalWatch:
    """Watches one store. Raises ConfigError where rules or settings cannot be followed."""

    def __init__(
        self,
        config: Config,
        keyring: Keyring,
        journal: SqlJournal,
        store: SqlStore,
        staff: Staff,
        now: Callable[[], int] = now_ms,
    ) -> None:
        check_settings(config)
        self.config, self.staff, self._now = config, staff, now
        self.rules = RulesFile(config.root)
        self.following = Following(keyring, journal, store, staff, self.rules, default_ms(config), now)
        self.metrics = _metrics()
        self._raised = self.metrics.histogram(
            "hub_critical_raised_seconds", "From the receipt of a message to its critical result.", _SECONDS
        )
        self._told = self.metrics.histogram(
            "hub_critical_told_seconds", "From the receipt of a message to a notice that arrived.", _SECONDS
        )

    def step(self) -> bool:
        """Find what is critical of what was written since, and make the notices that are due.

        Returns whether there may be more to find at once. Raises StoreUnavailable.
        """
        more = self.following.step()
        seen = self.following.last
        self.metrics.add("hub_critical_judged_total", amount=seen.judged)
        self.metrics.add("hub_critical_unjudged_total", amount=seen.unjudged)
        for row in seen.rows:
            self.metrics.add("hub_critical_results_total", (("kind", row.kind),))
            if not row.late:
                self._raised.observe((row.raised - row.received) / 1000)
                log.warning("critical result %d (%s): channel %s", row.id, row.kind, row.channel)
        tell(self.config, self.staff, self._now())
        return more

    def send(self) -> bool:
        """Send the notice that is due next; returns whether it arrived, and another may be due."""
        sent = send_due(self.config, self.staff)
        for notice in sent:
            row = self.staff.criticals.get(notice.alarm or 0)
            if row is not None and notice.event == row.kind:  # not an escalation
                self._told.observe((self._now() - row.received) / 1000)
        return bool(sent)

    def measure(self) -> None:
        """Take the figures of now."""
        self.metrics.set("hub_critical_open", self.staff.criticals.count_open())


def _metrics() -> Metrics:
    made = Metrics()
    made.counter("hub_critical_judged_total", "Versions of Observations that were judged.")
    made.counter("hub_critical_unjudged_total", "Results that a rule names and could not compare.")
    made.counter("hub_critical_results_total", "Critical results and what became of them, by kind.")
    made.gauge("hub_critical_open", "Critical results that nobody has taken over.")
    return made
