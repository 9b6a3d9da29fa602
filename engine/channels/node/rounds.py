"""What a node does beside its associations, again and again, each in a thread of its own.

In: functions that do what is due. Out: nothing. One that fails is said once in the log
(without the text of the fault, which may quote what it stumbled over) and tried again; it stops no other.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from engine.kernel.errors import HubError, place_of

__all__ = ["Round"]

log = logging.getLogger("hub.dicom")

LONGEST = 30.0  # seconds


class Round:
    """One task, done every `seconds`, at once when woken, and later after a failure; left out while `turn`
    says that another machine does it."""

    def __init__(
        self,
        name: str,
        tick: Callable[[], object],
        seconds: float,
        turn: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self._name, self._tick, self._seconds, self._turn = name, tick, seconds, turn
        self._wake = threading.Event()
        self._stopping = False
        self._said = ""
        self._thread = threading.Thread(target=self._run, name=f"dicom {name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Do it now: there is something to do."""
        self._wake.set()

    def stop(self, seconds: float = 5.0) -> None:
        """End after what is being done; waits for it so long."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        pause = self._seconds
        while not self._stopping:
            self._wake.clear()
            try:
                if self._turn(self._name):
                    self._tick()
            except Exception as e:  # a fault of one task is no reason to stop the node
                self._say(e)
                pause = min(LONGEST, pause * 2)
            else:
                if self._said:
                    log.warning("%s: it works again", self._name)
                self._said, pause = "", self._seconds
            if not self._stopping:
                self._wake.wait(pause)

    def _say(self, error: Exception) -> None:
        text = error.what if isinstance(error, HubError) else f"internal error {place_of(error)}"
        if text != self._said:
            log.error("%s: %s; it is tried again", self._name, text)
            self._said = text
