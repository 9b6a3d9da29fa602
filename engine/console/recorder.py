"""Every access of patient data, and every refused try, in the audit table before the answer leaves.

In: who asked, an answer with what it shows. Out: a row of the chain; when it cannot be written, the data is
not given out. Refused tries by strangers are recorded one by one up to a rate, and counted beyond it, so that
nobody can fill the disk or hold the writer by asking.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from engine.console.exchange import Reply
from engine.store.audit import Access, Audit

__all__ = ["Recorder"]

_STRANGERS = 10  # refused tries a second that get a row of their own


class Recorder:
    """Writes accesses into one audit table; may be used by several threads."""

    def __init__(self, audit: Audit, clock: Callable[[], float] = time.monotonic) -> None:
        self._audit = audit
        self._clock = clock
        self._lock = threading.Lock()
        self._second = 0
        self._rows = 0
        self._left_out = 0

    def access(self, who: str, area: str, reply: Reply) -> None:
        """Record what somebody known was shown or refused. Raises StoreUnavailable."""
        action = f"{area}:{reply.action or 'refused'}"
        detail = f"{reply.status} {reply.detail}".rstrip()
        self._audit.record(Access(who, action, reply.what or area, detail))

    def stranger(self, area: str, peer: str) -> None:
        """Record that somebody without a valid token was refused. Raises StoreUnavailable."""
        with self._lock:
            second = int(self._clock())
            if second != self._second:
                self._second, self._rows = second, 0
            if self._rows >= _STRANGERS:
                self._left_out += 1
                return
            self._rows += 1
            more, self._left_out = self._left_out, 0
        detail = f"401 from {peer}" + (f"; {more} more before it" if more else "")
        self._audit.record(Access("-", f"{area}:refused", area, detail))
