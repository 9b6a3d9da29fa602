"""Status messages of orders: whoever a node names is told of every step that began, ended or was given up.

In: the change feed of the core store, outbound maps. Out: ORM^O01 over MLLP (IHE RAD TF-2 4.6), until each is
acknowledged. Where the feed was read to is kept, so that a receiver that was away is told later, in order;
one that refuses a message is told of the next, and the log says so. A step that changed twice meanwhile is
told once, as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from engine.channels.node.statusout import order_of, status_message
from engine.kernel.clock import iso
from engine.kernel.errors import HubError
from engine.mapping.outbound.library import OutMaps

__all__ = ["StatusOut"]

log = logging.getLogger("hub.dicom")

AT_ONCE = 200


class Store(Protocol):
    """The core store."""

    def read(self, type: str, id: str) -> dict[str, Any] | None: ...
    def feed(self, since: int = 0, limit: int = 100) -> Sequence[Any]: ...
    def head(self) -> int: ...
    def history(self, type: str, id: str) -> Sequence[Any]: ...


class Cursors(Protocol):
    """Where readers of the feed are (`engine.imaging`)."""

    def cursor(self, name: str) -> int: ...
    def queue(self, name: str, upto: int, sendings: Sequence[tuple[str, str]]) -> None: ...


Send = Callable[[str, bytes], str]
"""Sends a message to a URL; returns the acknowledgement code. Raises HubError where nobody answers."""


class StatusOut:
    """The status messages of one node."""

    def __init__(
        self,
        channel: str,
        url: str,
        store: Store,
        cursors: Cursors,
        channel_of: Callable[[int], str],
        maps: OutMaps,
        send: Send,
        clock: Callable[[], int],
        given: Mapping[str, str],
    ) -> None:
        self._channel, self._url, self._store, self._cursors = channel, url, store, cursors
        self._channel_of, self._maps, self._send, self._clock = channel_of, maps, send, clock
        self._given, self._name = given, f"status {channel}"

    def tick(self) -> int:
        """Tell of what changed; return how many messages were taken. Raises HubError: it is tried again."""
        at = self._cursors.cursor(self._name)
        if at == 0:
            self._cursors.queue(self._name, self._store.head(), ())  # what was before nobody waits for
            return 0
        told = 0
        while changes := self._store.feed(at, AT_ONCE):
            for change in changes:
                if change.type == "Task" and self._is_news(change):
                    told += self._tell(change)
                    self._cursors.queue(self._name, change.seq, ())
            at = changes[-1].seq
            self._cursors.queue(self._name, at, ())
        return told

    def _is_news(self, change: Any) -> bool:
        """Say whether a Task of this node changed: what it says, or that its order is known now."""
        versions = self._store.history("Task", change.id)
        if not versions or self._channel_of(versions[-1].entry) != self._channel:
            return False
        if change.op != "relink":
            return True
        before = next((v.resource for v in versions if v.version == change.version - 1), None)
        return before is not None and not order_of(before)

    def _tell(self, change: Any) -> int:
        task = self._store.read("Task", change.id)
        if task is None or task["meta"]["versionId"] != str(change.version):
            return 0  # it has changed since: told then, as it is
        given = {**self._given, "control": f"{change.id}-{change.version}"[:20], "now": iso(self._clock())}
        try:
            message = status_message(self._store, self._maps, change.id, given)
        except HubError as e:
            log.warning("%s: no status message for Task %s: %s", self._channel, change.id, e.what)
            return 0
        if message is None:
            return 0
        code = self._send(self._url, message)
        if code not in ("AA", "CA", ""):
            log.error("%s: the status of Task %s was refused (%s)", self._channel, change.id, code)
            return 0
        return 1
