"""The keeper: applies `keep:` of config.yaml once a day at `keep: at:`, in a process of its own beside the
workers.

In: the policy. Out: deletions (see `engine/journal/retention.py`), each run said in the log and written in
the audit table before and after. It deletes a few messages a transaction and runs at a lower priority, so
that neither senders nor workers wait for it; what goes wrong is said and tried again. A run missed while the
hub was down is made up for at the next start.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

from engine.channels.keeping import days_of
from engine.channels.opening import open_journal, open_store
from engine.channels.sharing import open_queue
from engine.cli.keep import keep_and_tell, keep_imaging
from engine.kernel.config import Config
from engine.kernel.errors import HubError
from engine.security.keys import Keyring

__all__ = ["due_at", "is_wanted", "run_keeper"]

log = logging.getLogger("hub.keep")

WHO = "hub"
AGAIN = 600.0  # seconds until a run that failed is tried again
_TURN = 5.0  # seconds between looks whether it is this machine's turn, where several share the work
_LOOK = 60.0  # seconds between looks at the clock: it may be set


def is_wanted(config: Config) -> bool:
    """Say whether there is anything to do: a policy with an end, and a time of day."""
    limits = (
        days_of(config.keep.messages, "config.yaml: keep: messages"),
        days_of(config.keep.imaging, "config.yaml: keep: imaging"),
    )
    audit = "audit" in config.keep.model_fields_set and config.keep.audit != "forever"
    return config.keep.at != "never" and (audit or any(limit is not None for limit in limits))


def due_at(at: str, last: date | None, now: datetime) -> datetime:
    """Return when the next run is due, local time: the next `at` after the last run, even if that is past."""
    hour, minute = map(int, at.split(":"))
    today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if last is None:
        return today if today >= now else today + timedelta(days=1)
    return datetime(last.year, last.month, last.day, hour, minute) + timedelta(days=1)


def run_keeper(
    config: Config,
    keyring: Keyring,
    ready: Callable[[str], None],
    clock: Callable[[], datetime] = datetime.now,
    stop: threading.Event | None = None,
) -> None:
    """Wait and keep until SIGTERM."""
    stopping = stop or threading.Event()
    if stop is None:
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        os.nice(10)
    ready("")
    queue = open_queue(config, "keeper")
    mark = config.data_dir / "keep.last"
    failed_at: float | None = None
    due = due_at(config.keep.at, _last(mark), clock())
    while not stopping.is_set():
        waiting = (due - clock()).total_seconds()
        if waiting > 0:
            stopping.wait(min(waiting, _LOOK))
            continue
        if failed_at is not None and time.monotonic() < failed_at + AGAIN:
            stopping.wait(1.0)
            continue
        if not queue.turn("keeper"):
            stopping.wait(_TURN)
            continue
        try:
            _once(config, keyring)
        except HubError as e:
            failed_at = time.monotonic()
            log.error("retention did not run, trying again in %.0f s: %s", AGAIN, e)
            continue
        failed_at = None
        today = clock().date()
        mark.write_text(today.isoformat() + "\n")
        due = due_at(config.keep.at, today, clock())
    queue.close()


def _once(config: Config, keyring: Keyring) -> None:
    journal = open_journal(config, keyring)
    try:
        store = open_store(config, keyring)
        try:
            for line in keep_and_tell(config, journal, store, WHO):
                log.info("%s", line)
            for line in keep_imaging(config, keyring, store, WHO):
                log.info("%s", line)
        finally:
            store.close()
    finally:
        journal.close()


def _last(mark: Path) -> date | None:
    try:
        return date.fromisoformat(mark.read_text().strip())
    except (OSError, ValueError):  # never run here, or a file nobody can read: wait for the next time
        return None
