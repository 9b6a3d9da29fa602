"""The process that follows changes other machines bring live; there is one on every node of a shared hub.

In: the staff database, looked at every second. Out: the files of this machine's project, and the announcement
its processes hear; the keys it signs with; once a minute what this machine has, and a word in the log where
the others have it otherwise. What cannot be followed now is said once and tried again.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from functools import partial
from itertools import count

from engine.channels.alike import Difference, tell
from engine.channels.opening import open_staff
from engine.channels.sharedkeys import follow_keys
from engine.channels.spreading import follow
from engine.kernel.config import Config
from engine.kernel.errors import HubError
from engine.security.keys import Keyring

__all__ = ["run_following"]

log = logging.getLogger("hub.changes")

LOOK = 1.0  # seconds
TELL = 60  # rounds of looking


class Said:
    """What was said of troubles and differences, so that each is said once."""

    def __init__(self) -> None:
        self._troubles: dict[str, str] = {}
        self._differ: list[Difference] = []

    def tried(self, what: str, do: Callable[[], object]) -> None:
        """Do something; say why it could not be done, unless that was said before."""
        try:
            do()
            self._troubles.pop(what, None)
        except (HubError, OSError) as e:
            if self._troubles.get(what) != str(e):
                self._troubles[what] = str(e)
                log.error("other machines cannot be followed now: %s", e)

    def differ(self, found: list[Difference]) -> None:
        """Say what other machines have otherwise, once for as long as it is so."""
        for one in found:
            if one not in self._differ:
                log.warning(
                    "%s: %s and this machine differ: %s. %s", one.topic, one.node, one.said, one.remedy
                )
        self._differ = found


def run_following(config: Config, keyring: Keyring, ready: Callable[[str], None]) -> None:
    """Follow until SIGTERM."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    staff = open_staff(config, keyring)
    said = Said()
    ready("")
    try:
        for number in count():
            said.tried("project", partial(follow, config, staff))
            said.tried("signing keys", partial(follow_keys, config, staff))
            if number % TELL == 0:
                said.tried("alike", lambda: said.differ(tell(config, keyring, staff)))
            if stopping.wait(LOOK):
                return
    finally:
        staff.close()
