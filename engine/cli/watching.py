"""The process `watch`: follows what is written to the core store, tells people of critical results, and
programs of what they subscribed to.

In: the project. Out: see `engine.channels.critical.watch` and `engine.channels.subscribing.watch`. A process
of its own, beside the workers: neither a long replay nor a page of the console keeps a critical result
waiting. Finding and sending have a thread each: a slow mail server or endpoint holds back nothing that is
found.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from engine.channels.critical.rules import FILE
from engine.channels.critical.watch import CriticalWatch
from engine.channels.opening import open_journal, open_staff, open_store
from engine.channels.subscribing.watch import SubscriptionWatch
from engine.cli.supervisor import Child
from engine.kernel.config import Config
from engine.kernel.errors import HubError, StoreUnavailable
from engine.security.keys import Keyring

__all__ = ["children", "run_watch"]

log = logging.getLogger("hub.watch")

_IDLE = 0.25  # seconds between looks where there was nothing new
_AGAIN = 1.0  # seconds after something failed
_WRITE = 2.0  # seconds between the figures of /metrics
_STOP = 8.0  # seconds that what is under way has to end


def children(config: Config, keyring: Keyring) -> list[Child]:
    """Return the process, where there is anything to watch for."""
    if (config.root / FILE).exists() or config.subscriptions.hosts:
        return [Child("watch", partial(run_watch, config, keyring))]
    (config.metrics_dir / "watch.prom").unlink(missing_ok=True)  # nobody waits for it any more
    return []


def run_watch(config: Config, keyring: Keyring, ready: Callable[[str], None]) -> None:
    """Watch until SIGTERM. Raises HubError where it cannot begin."""
    stopping = threading.Event()
    with ExitStack() as opened:
        journal = open_journal(config, keyring)
        opened.callback(journal.close)
        store = open_store(config, keyring)
        opened.callback(store.close)
        staff = open_staff(config, keyring)
        opened.callback(staff.close)
        critical = CriticalWatch(config, keyring, journal, store, staff)
        loops: dict[str, Callable[[], object]] = {
            "critical results": critical.step,
            "notices of critical results": critical.send,
        }
        measured: list[CriticalWatch | SubscriptionWatch] = [critical]
        if config.subscriptions.hosts:
            told = SubscriptionWatch(config, store, staff)
            opened.callback(told.close)
            loops |= {"subscriptions": told.step, "calls of subscriptions": told.send}
            measured.append(told)
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        threads = [
            threading.Thread(target=_loop, args=(name, step, stopping), name=name, daemon=True)
            for name, step in loops.items()
        ]
        for thread in threads:
            thread.start()
        ready("")
        while True:
            _write(config.metrics_dir / "watch.prom", measured)
            if stopping.wait(_WRITE):
                break
        for thread in threads:
            thread.join(_STOP)


def _loop(name: str, step: Callable[[], object], stopping: threading.Event) -> None:
    """Call a step again and again, at once while it says that there may be more."""
    while not stopping.is_set():
        try:
            if step():
                continue
        except StoreUnavailable as e:
            log.warning("%s wait: %s", name, e)
            stopping.wait(_AGAIN)
        except HubError as e:
            log.error("%s: %s", name, e)
            stopping.wait(_AGAIN)
        stopping.wait(_IDLE)


def _write(path: Path, measured: list[CriticalWatch | SubscriptionWatch]) -> None:
    """Write the figures; while a database is down they grow old, and that is seen."""
    with suppress(StoreUnavailable):
        for one in measured:
            one.measure()
        fresh = path.with_name(path.name + ".new")
        fresh.write_text("".join(one.metrics.text() for one in measured), "utf-8")
        os.replace(fresh, path)
