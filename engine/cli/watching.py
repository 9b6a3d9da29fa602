"""The process `watch`: follows what is written to the core store and tells people of critical results.

In: the project. Out: see `engine.channels.critical.watch`. A process of its own, beside the workers: neither
a long replay nor a page of the console keeps a critical result waiting.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from engine.channels.critical.rules import FILE
from engine.channels.critical.watch import CriticalWatch
from engine.channels.opening import open_journal, open_staff, open_store
from engine.kernel.config import Config
from engine.security.keys import Keyring

__all__ = ["is_wanted", "run_watch"]


def is_wanted(config: Config) -> bool:
    """Say whether there is anything to watch for."""
    return (config.root / FILE).exists()


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
