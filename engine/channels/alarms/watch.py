"""The watch: looks at everything every few seconds, raises and clears alarms, tells people.

In: the figures of the moment, the rates, the hub's own state. Out: alarms and notices in the staff database,
a line in the log when one begins and when it is over, copies of the audit's head. What is dear to judge
(certificates, the chain of the audit) is judged rarely. Runs beside the web side, in four threads: one
looks, one sends, one proves the audit and one looks for late orders and notices, so that neither a slow mail
server nor a long audit delays a look.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from engine.channels.alarms import ofthehub
from engine.channels.alarms.conditions import AT_ONCE, KINDS, of_channels, rules_of
from engine.channels.alarms.publishing import check_named
from engine.channels.alarms.sending import send_due
from engine.channels.alarms.telling import tell
from engine.channels.alarms.untold import UntoldMessages
from engine.channels.alerts import Alarm, AlertRule, State, duration_ms, rules_for_all
from engine.channels.auditheads import copies, keep_head
from engine.channels.definition import Channel
from engine.channels.orders.overdue import OverdueOrders
from engine.channels.orders.standing import Journal
from engine.channels.rates import Rates
from engine.kernel.clock import now_ms
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError, HubError, place_of
from engine.security.keys import Keyring
from engine.staff.alarms import AlarmRow, Condition
from engine.staff.staff import Staff
from engine.store.sql import SqlStore

__all__ = ["States", "Watch"]

log = logging.getLogger("hub.alert")

_LOOK, _SEND, _PROVE, _LATE = 5.0, 2.0, 10.0, 30.0  # seconds
_LATE_SHARE = 9  # of the time that looking for late ones takes, it rests
_BREATH = 0.02  # seconds between thousands of rows of the audit
_STOP = 3.0  # seconds
_RARELY = 300_000  # ms between looks at certificates and disks
_OF_CHANNELS = ("held", "waiting", "oldest waiting", "unmapped codes", "silent", "unusual silence")


_OF_DELIVERIES = ("destination", "undelivered")


class States(Protocol):
    """What says how every channel is."""

    def states(self) -> dict[str, State]:
        """Return how every channel is now. Raises StoreUnavailable."""


class Watch:
    """Watches one hub. `channels` gives the channels as their files say now."""

    def __init__(
        self,
        config: Config,
        keyring: Keyring,
        store: SqlStore,
        staff: Staff,
        figures: States,
        rates: Rates,
        channels: Callable[[], Sequence[Channel]],
        now: Callable[[], int] = now_ms,
        journal: Journal | None = None,
    ) -> None:
        self._config, self._keyring, self._store, self._staff = config, keyring, store, staff
        self._figures, self._rates, self._channels, self._now = figures, rates, channels, now
        self._every = rules_for_all(config.alerts.every_channel, config.at("alerts.every_channel"))
        self._settle = duration_ms(config.alerts.settle, config.at("alerts.settle"))
        never = config.alerts.audit == "never"
        self._audit_every = None if never else duration_ms(config.alerts.audit, config.at("alerts.audit"))
        if config.alerts.escalate_after != "never":
            duration_ms(config.alerts.escalate_after, config.at("alerts.escalate_after"))
        check_named(config, config.alerts.destinations, config.at("alerts.destinations"))
        self._overdue = OverdueOrders(config, store, journal, channels) if journal is not None else None
        self._untold = UntoldMessages(config, store, channels)
        self._began = now()
        self._rare: tuple[int, list[Condition]] = (0, [])
        self._audited: tuple[int, list[Condition]] = (0, [])
        self._rules: dict[str, tuple[AlertRule, ...]] = {}
        self._on: list[AlarmRow] = staff.alarms.open()
        self.stopping = threading.Event()
        self._turn: Callable[[], bool] = lambda: True
        self._threads: list[threading.Thread] = []

    def on(self) -> list[Alarm]:
        """Return the alarms of channels that were on at the last look, named by their rules."""
        return [
            Alarm(a.channel, a.key.partition("|")[2], a.say, a.value, a.raised) for a in self._on if a.channel
        ]

    def start(self, turn: Callable[[], bool] = lambda: True) -> None:
        """Look and send until `stopping` is set; `turn` says whether it is this process that does."""
        self._turn = turn
        works = (
            ("alarms", self.look, _LOOK),
            ("notices", self.send, _SEND),
            ("audit", self.prove, _PROVE),
            ("late", self.late, _LATE),
        )
        for name, work, pause in works:
            thread = threading.Thread(target=self._run, args=(name, work, pause), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Stop looking and sending; a mail on its way is waited for, but not for long."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(_STOP)

    def _run(self, name: str, work: Callable[[], None], pause: float) -> None:
        while not self.stopping.is_set():
            try:
                if self._turn():
                    work()
                else:
                    self._on = self._staff.alarms.open()
                    for watched in (self._untold, self._overdue):
                        if watched is not None:
                            watched.forget()
            except HubError as e:
                log.warning("%s: %s", name, e)
            except Exception as e:
                log.error("%s: internal error %s; it goes on", name, place_of(e))
            self.stopping.wait(pause)

    def look(self) -> None:
        """Judge everything once. Raises HubError where the staff database does not answer."""
        now = self._now()
        judged = set(KINDS) - {*_OF_CHANNELS, *_OF_DELIVERIES}
        known = self._staff.alarms.open()
        unseen = any(a.kind == "audit" and a.acknowledged is None for a in known)
        if unseen or not self._audited[0]:
            # whoever hides the traces does not end the alarm before somebody has seen it
            judged.discard("audit")
        conditions = self._of_the_hub(now) + self._late(judged)
        try:
            self._rates.look()
            channels = self._channels()
            self._rules = rules_of(channels, self._every)
            conditions += of_channels(self._rules, self._states(now), self._began, now)
            conditions += ofthehub.destinations(self._config, self._store.deliveries.places(), now)
            judged |= {*_OF_CHANNELS, *_OF_DELIVERIES}
        except ConfigError as e:
            log.warning("the rules of channels are those of before: %s", e)
        except HubError as e:
            conditions.append(ofthehub.database(e.where, e.what))
        changed = self._staff.alarms.settle(conditions, judged, self._settle, AT_ONCE)
        for alarm in changed.raised:
            log.warning("%s%s", _where(alarm), f"{alarm.what}: {alarm.say}" if alarm.say else alarm.what)
        for alarm in changed.cleared:
            log.warning("%s%s: over", _where(alarm), alarm.what)
        keyed = {f"{c}|{rule.when}": rule for c, lines in self._rules.items() for rule in lines}
        tell(self._config.alerts, self._staff, keyed, now)
        self._on = self._staff.alarms.open()

    def late(self) -> None:
        """Look for what the other side owes: answers and results of orders, notices of messages.

        It takes as long as there is much that is late; then it looks less often.
        """
        began = time.monotonic()
        now = self._now()
        self._untold.look(now)
        if self._overdue is not None:
            self._overdue.look(now)
        self.stopping.wait(_LATE_SHARE * (time.monotonic() - began))

    def _late(self, judged: set[str]) -> list[Condition]:
        """Return what is late; what was not looked at yet is not judged."""
        found: list[Condition] = []
        for kind, watched in (("order", self._overdue), ("notice", self._untold)):
            if watched is not None and watched.found is not None:
                found += watched.found
            else:
                judged.discard(kind)
        return found

    def send(self) -> None:
        """Send the notices that are due."""
        send_due(self._config, self._staff, self._store.audit)

    def _states(self, now: int) -> dict[str, State]:
        found = self._figures.states()
        for name, rules in self._rules.items():
            state = found.get(name)
            if state is None or state.last is None:
                continue
            if any(rule.kind == "unusual silence" for rule in rules):
                found[name] = replace(state, missed=self._rates.missed(name, state.last, now))
        return found

    def _of_the_hub(self, now: int) -> list[Condition]:
        config, staff = self._config, self._staff
        if now - self._rare[0] >= _RARELY:
            try:
                expiring = ofthehub.expiring(config, self._channels(), now)
            except ConfigError:
                expiring = ofthehub.expiring(config, (), now)  # `look` says which channel cannot be read
            self._rare = now, [*expiring, *ofthehub.disk(config)]
        newest = next(iter(staff.backups.newest()), None)
        return [
            *self._rare[1],
            *self._audited[1],
            *ofthehub.running(config, now),
            *ofthehub.glass(staff.glass.open()),
            *ofthehub.backup(config, newest, self._began, now),
            *ofthehub.critical(config, staff, now),
            *ofthehub.subscriptions(staff),
        ]

    def prove(self) -> None:
        """Keep a copy of the audit's head, read new rows for who looked at whom, and now and then prove the
        chain, with pauses: nobody's work shall wait for it.
        """
        now = self._now()
        try:
            self._store.audit.names.catch_up(2000)
            keep_head(self._config, self._keyring, self._store, now)
            if self._audit_every is not None and now - self._audited[0] >= self._audit_every:
                known = copies(self._config, self._keyring)
                verdict = self._store.audit.prove(known, lambda rows: self._pause())
                self._audited = now, ofthehub.audit(verdict)
        except ConfigError as e:  # a copy of the head that was changed
            self._audited = now, ofthehub.audit(None, e.what)

    def _pause(self) -> None:
        self.stopping.wait(_BREATH)


def _where(alarm: AlarmRow) -> str:
    return f"channel {alarm.channel}: " if alarm.channel else ""
