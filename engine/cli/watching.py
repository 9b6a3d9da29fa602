"""The process `watch`: follows what is written to the core store and tells people of critical results.

In: the project. Out: see `engine.channels.critical.watch`. A process of its own, beside the workers: neither
a long replay nor a page of the console keeps a critical result waiting.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial

from engine.channels.critical.rules import FILE
from engine.channels.critical.watch import CriticalWatch
from engine.channels.opening import open_journal, open_staff, open_store
from engine.cli.supervisor import Child
from engine.kernel.config import Config
from engine.security.keys import Keyring

__all__ = ["children", "run_watch"]


def children(config: Config, keyring: Keyring) -> list[Child]:
    """Return the process, where there is anything to watch for."""
    if (config.root / FILE).exists():
        return [Child("watch", partial(run_watch, config, keyring))]
    (config.metrics_dir / "watch.prom").unlink(missing_ok=True)  # nobody waits for it any more
    return []


def run_watch(config: Config, keyring: Keyring, ready: Callable[[str], None]) -> None:
    """Watch until SIGTERM. Raises HubError where it cannot begin."""
    journal = open_journal(config, keyring)
    try:
        store = open_store(config, keyring)
        try:
            staff = open_staff(config, keyring)
            try:
                watch = CriticalWatch(config, keyring, journal, store, staff)
                signal.signal(signal.SIGTERM, lambda *_: watch.stopping.set())
                ready("")
                watch.run(config.metrics_dir / "watch.prom")
            finally:
                staff.close()
        finally:
            store.close()
    finally:
        journal.close()
