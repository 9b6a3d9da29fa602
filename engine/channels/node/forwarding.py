"""Forwarding: objects go on to other systems by rule, each queued for its destination, tried until taken.

In: objects as they are indexed, the nodes' rules. Out: C-STOREs, and a queue on disk. What is queued was held
first; a destination that is away keeps nobody else waiting; one that refuses an object for good leaves it
parked in the queue, where a person sees it and sends it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from engine.channels.node.again import wait_ms
from engine.kernel.errors import HubError, StoreUnavailable, place_of
from engine.kernel.imaging import HeldInstance
from engine.listeners.dicom_settings import DicomPeer, DicomSettings

__all__ = ["Forwarding", "destinations_of"]

log = logging.getLogger("hub.dicom")

AT_ONCE = 100
CURSOR = "forward"


class Queue(Protocol):
    """Where what goes on is kept (`engine.imaging`)."""

    def cursor(self, name: str) -> int: ...
    def newest(self) -> int: ...
    def after(self, number: int, limit: int) -> Sequence[tuple[int, str, str, HeldInstance]]: ...
    def queue(self, name: str, upto: int, sendings: Sequence[tuple[str, str]]) -> None: ...
    def due_sendings(self, to: str, at: int, limit: int) -> Sequence[Any]: ...
    def sent(self, numbers: Sequence[int]) -> None: ...
    def send_failed(self, number: int, next_at: int | None, why: str) -> None: ...


class Outcome(Protocol):
    """What became of one object on its way out."""

    @property
    def sop_instance(self) -> str: ...
    @property
    def kind(self) -> str: ...  # sent | retry | refuse | park
    @property
    def why(self) -> str: ...


Send = Callable[[DicomSettings, DicomPeer, Sequence[HeldInstance]], Iterable[Outcome]]
"""Sends objects over one association. Raises HubError where there is none."""


def destinations_of(node: DicomSettings, held: HeldInstance, sender: str) -> list[str]:
    """Name the peers an object goes on to; never the one it came from."""
    modality = str(held.dataset.get("Modality") or "")
    return [
        rule.to
        for rule in node.forward
        if rule.to != sender
        and (not rule.modality or modality in rule.modality)
        and (not rule.sender or sender in rule.sender)
    ]


class Forwarding:
    """Sends on what the rules of all nodes name."""

    def __init__(
        self,
        queue: Queue,
        look: Callable[[str], HeldInstance | None],
        send: Send,
        nodes: Mapping[str, DicomSettings],
        clock: Callable[[], int],
        chance: Callable[[], float],
    ) -> None:
        self._queue, self._look, self._send, self._nodes = queue, look, send, nodes
        self._clock, self._chance = clock, chance

    def begin(self) -> None:
        """Start where the index ends, the first time: what was held before there was a rule stays here."""
        if self._queue.cursor(CURSOR) == 0:
            self._queue.queue(CURSOR, self._queue.newest(), ())

    @property
    def destinations(self) -> list[tuple[str, DicomPeer]]:
        """The (channel, peer) that rules name: each has a queue of its own, and is served by itself."""
        return [
            (channel, peer)
            for channel, node in self._nodes.items()
            for peer in node.peers
            if any(rule.to == peer.ae_title for rule in node.forward)
        ]

    def fill(self) -> int:
        """Queue what is new, in the order it came; return how many objects were looked at."""
        looked = 0
        while found := self._fill():
            looked += found
        return looked

    def _fill(self) -> int:
        found = self._queue.after(self._queue.cursor(CURSOR), AT_ONCE)
        if not found:
            return 0
        sendings = []
        for _, channel, sender, held in found:
            node = self._nodes.get(channel)
            if node is not None:
                sendings += [
                    (f"{channel}/{to}", held.sop_instance) for to in destinations_of(node, held, sender)
                ]
        self._queue.queue(CURSOR, max(number for number, *_ in found), sendings)
        return len(found)

    def empty(self, channel: str, peer: DicomPeer) -> int:
        """Send what is due to one destination; return how many objects were taken."""
        node = self._nodes[channel]
        due = list(self._queue.due_sendings(f"{channel}/{peer.ae_title}", self._clock(), AT_ONCE))
        held = {one.sop_instance: self._look(one.sop_instance) for one in due}
        for one in due:
            if held[one.sop_instance] is None:
                self._queue.send_failed(one.number, None, "it is held no more")
        there = [one for one in due if held[one.sop_instance] is not None]
        if not there:
            return 0
        waiting = {one.sop_instance: one for one in there}
        taken: list[int] = []
        try:
            for outcome in self._send(node, peer, [h for one in there if (h := held[one.sop_instance])]):
                one = waiting.pop(outcome.sop_instance)
                if outcome.kind == "sent":
                    taken.append(one.number)
                    continue
                again = outcome.kind == "retry"
                self._queue.send_failed(one.number, self._next(one.tries) if again else None, outcome.why)
        except StoreUnavailable:
            raise
        except HubError as e:
            log.warning("%s: %s takes no objects now: %s", channel, peer.ae_title, e.what)
            for one in waiting.values():
                self._queue.send_failed(one.number, self._next(one.tries), e.what)
        except Exception as e:  # the object that was under way stops no other
            log.error("%s: an object cannot be sent to %s: %s", channel, peer.ae_title, place_of(e))
            for one in list(waiting.values())[:1]:
                self._queue.send_failed(one.number, self._next(one.tries), place_of(e))
        finally:
            self._queue.sent(taken)
        return len(taken)

    def _next(self, tries: int) -> int:
        return self._clock() + wait_ms(tries + 1, self._chance())
