"""One object of a C-STORE while its bytes come in: into the object store at once, counted against the limit.

In: fragments of a dataset. Out: a status of PS3.4 B.2.3. An object that cannot be kept is still read to its
end, so that the association goes on and the sender is told why.
"""

from __future__ import annotations

import io
import logging
from typing import Any

from engine.kernel.errors import HubError
from engine.kernel.imaging import Arriving, NodeServices, Received

__all__ = ["ObjectSink"]

log = logging.getLogger("hub.dicom")

SUCCESS, OUT_OF_RESOURCES, CANNOT_PROCESS = 0x0000, 0xA700, 0xC000


class ObjectSink(io.BytesIO):
    """Takes the place of pynetdicom's buffer of a dataset; keeps nothing in memory. Writing never raises."""

    def __init__(
        self, services: NodeServices, received: Received, limit: int, refusal: tuple[int, str] | None
    ) -> None:
        super().__init__()
        self.size = 0
        self.status, self.why = refusal or (SUCCESS, "")
        self._services, self._received, self._limit = services, received, limit
        self._arriving: Arriving | None = None
        if refusal is None:
            try:
                self._arriving = services.begin(received)
            except (OSError, HubError) as e:
                self._refuse(OUT_OF_RESOURCES, "there is no room for this object", e)

    def write(self, data: Any) -> int:
        """Take a fragment."""
        size = len(data)
        self.size += size
        if self._arriving is not None:
            if self.size > self._limit:
                self._refuse(OUT_OF_RESOURCES, "the object is longer than the limit")
                return size
            try:
                self._arriving.write(data)
            except (OSError, HubError) as e:
                self._refuse(OUT_OF_RESOURCES, "there is no room for this object", e)
        return size

    def keep(self) -> int:
        """Make it durable; return the status to answer."""
        arriving, self._arriving = self._arriving, None
        if arriving is None:
            return self.status
        try:
            return self._services.store(self._received, arriving)
        except (OSError, HubError) as e:
            arriving.abandon()
            self._arriving = None
            self._refuse(OUT_OF_RESOURCES, "it cannot be kept now", e)
        except Exception:
            arriving.abandon()
            raise
        return self.status

    def abandon(self) -> None:
        """Forget what came: the association ended before the object did."""
        arriving, self._arriving = self._arriving, None
        if arriving is not None:
            arriving.abandon()

    def _refuse(self, status: int, why: str, error: Exception | None = None) -> None:
        self.status, self.why = status, why
        self.abandon()
        if error is not None:
            reason = (
                error.what
                if isinstance(error, HubError)
                else (error.strerror if isinstance(error, OSError) else "")
            )
            log.error("channel %s: an object is refused: %s", self._received.peer.channel, reason or why)
