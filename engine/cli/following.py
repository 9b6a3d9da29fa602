"""The process that follows changes other machines bring live; there is one on every node of a shared hub.

In: the staff database, looked at every second. Out: the files of this machine's project, and the announcement
its processes hear. What cannot be followed now is said once and tried again.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable

from engine.channels.opening import open_staff
from engine.channels.spreading import follow
from engine.kernel.config import Config
from engine.kernel.errors import HubError
from engine.security.keys import Keyring

__all__ = ["run_following"]

log = logging.getLogger("hub.changes")

LOOK = 1.0  # seconds


def run_following(config: Config, keyring: Keyring, ready: Callable[[str], None]) -> None:
    """Follow until SIGTERM."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    staff = open_staff(config, keyring)
    said = ""
    ready("")
    try:
        while not stopping.wait(LOOK):
            try:
                follow(config, staff)
                said = ""
            except (HubError, OSError) as e:
                if str(e) != said:
                    said = str(e)
                    log.error("changes of other machines cannot be followed now: %s", e)
    finally:
        staff.close()
